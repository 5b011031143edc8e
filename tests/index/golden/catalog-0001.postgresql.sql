
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE public.banks (
    bank_key bigint NOT NULL,
    name character varying(255) NOT NULL,
    purpose character varying(32) NOT NULL,
    labels json NOT NULL,
    settings json NOT NULL,
    item_count bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

CREATE TABLE public.changes (
    seq bigint NOT NULL,
    kind character varying(32) NOT NULL,
    bank_key bigint NOT NULL,
    item_key bigint,
    at bigint NOT NULL
);

CREATE TABLE public.embeddings (
    item_key bigint NOT NULL,
    frame_no integer NOT NULL,
    space_key integer NOT NULL,
    views integer NOT NULL,
    vectors bytea NOT NULL
);

CREATE TABLE public.frames (
    item_key bigint NOT NULL,
    frame_no integer NOT NULL,
    position_ms bigint NOT NULL,
    pdq bytea,
    pdq_quality integer,
    low_information boolean NOT NULL
);

CREATE TABLE public.idempotency (
    scope character varying(255) NOT NULL,
    key character varying(255) NOT NULL,
    request_digest character varying(128) NOT NULL,
    answer json NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE public.items (
    item_key bigint NOT NULL,
    item_id character varying(28) NOT NULL,
    bank_key bigint NOT NULL,
    kind character varying(32) NOT NULL,
    state character varying(32) NOT NULL,
    labels json NOT NULL,
    sha256 character varying(64),
    media_format character varying(64),
    duration_ms bigint,
    frames integer NOT NULL,
    low_information boolean NOT NULL,
    forced boolean NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

CREATE TABLE public.log_head (
    one integer NOT NULL,
    seq bigint NOT NULL,
    checked_at bigint,
    CONSTRAINT ck_log_head_ck_log_head_single CHECK ((one = 1))
);

CREATE TABLE public.spaces (
    space_key integer NOT NULL,
    space character varying(255) NOT NULL,
    dim integer NOT NULL
);

CREATE SEQUENCE public.spaces_space_key_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.spaces_space_key_seq OWNED BY public.spaces.space_key;

ALTER TABLE ONLY public.spaces ALTER COLUMN space_key SET DEFAULT nextval('public.spaces_space_key_seq'::regclass);

INSERT INTO public.alembic_version VALUES ('0001');

INSERT INTO public.banks VALUES (1, 'known', 'harmful', '{"owner": "Zo\u00eb", "case": 7}', '{"variant_score": 0.8, "related_score": null, "block_on_semantic": true}', 3, 1793534400000000, 1793534400000000);
INSERT INTO public.banks VALUES (2, 'news', 'public_interest', '{}', '{"variant_score": null, "related_score": null, "block_on_semantic": false}', 2, 1793534401000000, 1793534401000000);

INSERT INTO public.changes VALUES (1, 'bank_put', 1, NULL, 1793534400000000);
INSERT INTO public.changes VALUES (2, 'bank_put', 2, NULL, 1793534401000000);
INSERT INTO public.changes VALUES (3, 'bank_put', 3, NULL, 1793534402000000);
INSERT INTO public.changes VALUES (4, 'item_added', 1, 4, 1793534403000000);
INSERT INTO public.changes VALUES (5, 'item_added', 1, 5, 1793534404000000);
INSERT INTO public.changes VALUES (6, 'item_added', 1, 6, 1793534405000000);
INSERT INTO public.changes VALUES (7, 'item_state', 1, 6, 1793534406000000);
INSERT INTO public.changes VALUES (8, 'item_added', 2, 8, 1793534407000000);
INSERT INTO public.changes VALUES (9, 'item_added', 2, 9, 1793534408000000);
INSERT INTO public.changes VALUES (10, 'item_added', 3, 10, 1793534409000000);
INSERT INTO public.changes VALUES (11, 'item_added', 1, 11, 1793534410000000);
INSERT INTO public.changes VALUES (12, 'item_deleted', 1, 11, 1793534411000000);
INSERT INTO public.changes VALUES (13, 'bank_deleted', 3, NULL, 1793534412000000);

INSERT INTO public.embeddings VALUES (4, 0, 1, 1, '\x003c000000000000');
INSERT INTO public.embeddings VALUES (5, 0, 1, 1, '\x0000003c00000000');
INSERT INTO public.embeddings VALUES (5, 1, 1, 2, '\x00000000003c0000000000000000003c');
INSERT INTO public.embeddings VALUES (6, 0, 1, 1, '\x00000000003c0000');
INSERT INTO public.embeddings VALUES (9, 0, 1, 1, '\x000000000000003c');

INSERT INTO public.frames VALUES (4, 0, 0, '\xca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 80, false);
INSERT INTO public.frames VALUES (5, 0, 0, '\xc02c0b965e023abee808f2b548d8d5193a8b5229be6f3121a6f16e2d41a449b3', 80, false);
INSERT INTO public.frames VALUES (5, 1, 500, '\x7dc96f776c8423e57a2785489a3f9c43fb6e756876d6ad9a9cac4aa4e72ec193', 80, false);
INSERT INTO public.frames VALUES (6, 0, 0, '\x18ac3e7343f016890c510e93f935261169d9e3f565436429830faf0934f4f8e4', 80, false);
INSERT INTO public.frames VALUES (8, 0, 0, '\x3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea', NULL, false);
INSERT INTO public.frames VALUES (9, 0, 0, '\x252f10c83610ebca1a059c0bae8255eba2f95be4d1d7bcfa89d7248a82d9f111', 80, true);

INSERT INTO public.idempotency VALUES ('scope', 'key', 'digest', '{"item": {"item_id": "0000000000043e3f0038d032f199", "bank": "known", "kind": "image", "state": "active", "labels": {"source": "a"}, "sha256": "6cb582df210178c487ccbb53884d520227d2ba8f885bb5516d27b75ee21dc365", "frames": 1, "duration_ms": null, "low_information": false, "spaces": ["golden-000000000000"], "created_at": "2026-11-01T12:00:03+00:00", "updated_at": "2026-11-01T12:00:03+00:00"}, "index_version": 4, "created": true}', 1793534403000000);

INSERT INTO public.items VALUES (4, '0000000000043e3f0038d032f199', 1, 'image', 'active', '{"source": "a"}', '6cb582df210178c487ccbb53884d520227d2ba8f885bb5516d27b75ee21dc365', 'jpeg', NULL, 1, false, false, 1793534403000000, 1793534403000000);
INSERT INTO public.items VALUES (5, '000000000005cbdb3bdbe03488c3', 1, 'video', 'active', '{}', 'e24838fef65056c6569a11fb59622bedb8eb71b51ab1237e4dee880848420c6a', 'mp4', 1000, 2, false, false, 1793534404000000, 1793534404000000);
INSERT INTO public.items VALUES (6, '00000000000688698c31b1bd2202', 1, 'image', 'disabled', '{}', '464b5369c86803d67960ee82095c9d4db17cf0a3a3e742c72e8de20fb1775fcf', 'png', NULL, 1, false, false, 1793534405000000, 1793534406000000);
INSERT INTO public.items VALUES (8, '0000000000088f65ae2cd79ea277', 2, 'signature', 'active', '{}', NULL, NULL, NULL, 1, false, false, 1793534407000000, 1793534407000000);
INSERT INTO public.items VALUES (9, '000000000009f2cb26ca0fd7b83f', 2, 'image', 'active', '{}', 'f7ee82818eeed7f992f9d68da1eabc8ea3ac6a7b80709935af9d6ab0b1cbbfe3', 'gif', NULL, 1, true, false, 1793534408000000, 1793534408000000);

INSERT INTO public.log_head VALUES (1, 13, 1793534413000000);

INSERT INTO public.spaces VALUES (1, 'golden-000000000000', 4);

SELECT pg_catalog.setval('public.spaces_space_key_seq', 1, true);

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.banks
    ADD CONSTRAINT pk_banks PRIMARY KEY (bank_key);

ALTER TABLE ONLY public.changes
    ADD CONSTRAINT pk_changes PRIMARY KEY (seq);

ALTER TABLE ONLY public.embeddings
    ADD CONSTRAINT pk_embeddings PRIMARY KEY (item_key, frame_no, space_key);

ALTER TABLE ONLY public.frames
    ADD CONSTRAINT pk_frames PRIMARY KEY (item_key, frame_no);

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT pk_idempotency PRIMARY KEY (scope, key);

ALTER TABLE ONLY public.items
    ADD CONSTRAINT pk_items PRIMARY KEY (item_key);

ALTER TABLE ONLY public.log_head
    ADD CONSTRAINT pk_log_head PRIMARY KEY (one);

ALTER TABLE ONLY public.spaces
    ADD CONSTRAINT pk_spaces PRIMARY KEY (space_key);

ALTER TABLE ONLY public.banks
    ADD CONSTRAINT uq_banks_name UNIQUE (name);

ALTER TABLE ONLY public.items
    ADD CONSTRAINT uq_items_bank_key_sha256 UNIQUE (bank_key, sha256);

ALTER TABLE ONLY public.spaces
    ADD CONSTRAINT uq_spaces_space UNIQUE (space);

CREATE INDEX ix_idempotency_created_at ON public.idempotency USING btree (created_at);

CREATE INDEX ix_items_bank_key_item_key ON public.items USING btree (bank_key, item_key);

CREATE INDEX ix_items_sha256 ON public.items USING btree (sha256);

ALTER TABLE ONLY public.embeddings
    ADD CONSTRAINT fk_embeddings_frames FOREIGN KEY (item_key, frame_no) REFERENCES public.frames(item_key, frame_no) ON DELETE CASCADE;

ALTER TABLE ONLY public.embeddings
    ADD CONSTRAINT fk_embeddings_spaces FOREIGN KEY (space_key) REFERENCES public.spaces(space_key);

ALTER TABLE ONLY public.frames
    ADD CONSTRAINT fk_frames_items FOREIGN KEY (item_key) REFERENCES public.items(item_key) ON DELETE CASCADE;

ALTER TABLE ONLY public.items
    ADD CONSTRAINT fk_items_banks FOREIGN KEY (bank_key) REFERENCES public.banks(bank_key) ON DELETE CASCADE;

