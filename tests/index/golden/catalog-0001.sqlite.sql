BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE banks (
	bank_key INTEGER NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	labels JSON NOT NULL, 
	settings JSON NOT NULL, 
	item_count BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	CONSTRAINT pk_banks PRIMARY KEY (bank_key), 
	CONSTRAINT uq_banks_name UNIQUE (name)
);
INSERT INTO "banks" VALUES(1,'known','harmful','{"owner": "Zo\u00eb", "case": 7}','{"variant_score": 0.8, "related_score": null, "block_on_semantic": true}',3,1793534400000000,1793534400000000);
INSERT INTO "banks" VALUES(2,'news','public_interest','{}','{"variant_score": null, "related_score": null, "block_on_semantic": false}',2,1793534401000000,1793534401000000);
CREATE TABLE changes (
	seq INTEGER NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	bank_key INTEGER NOT NULL, 
	item_key INTEGER, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_changes PRIMARY KEY (seq)
);
INSERT INTO "changes" VALUES(1,'bank_put',1,NULL,1793534400000000);
INSERT INTO "changes" VALUES(2,'bank_put',2,NULL,1793534401000000);
INSERT INTO "changes" VALUES(3,'bank_put',3,NULL,1793534402000000);
INSERT INTO "changes" VALUES(4,'item_added',1,4,1793534403000000);
INSERT INTO "changes" VALUES(5,'item_added',1,5,1793534404000000);
INSERT INTO "changes" VALUES(6,'item_added',1,6,1793534405000000);
INSERT INTO "changes" VALUES(7,'item_state',1,6,1793534406000000);
INSERT INTO "changes" VALUES(8,'item_added',2,8,1793534407000000);
INSERT INTO "changes" VALUES(9,'item_added',2,9,1793534408000000);
INSERT INTO "changes" VALUES(10,'item_added',3,10,1793534409000000);
INSERT INTO "changes" VALUES(11,'item_added',1,11,1793534410000000);
INSERT INTO "changes" VALUES(12,'item_deleted',1,11,1793534411000000);
INSERT INTO "changes" VALUES(13,'bank_deleted',3,NULL,1793534412000000);
CREATE TABLE embeddings (
	item_key INTEGER NOT NULL, 
	frame_no INTEGER NOT NULL, 
	space_key INTEGER NOT NULL, 
	views INTEGER NOT NULL, 
	vectors BLOB NOT NULL, 
	CONSTRAINT pk_embeddings PRIMARY KEY (item_key, frame_no, space_key), 
	CONSTRAINT fk_embeddings_frames FOREIGN KEY(item_key, frame_no) REFERENCES frames (item_key, frame_no) ON DELETE CASCADE, 
	CONSTRAINT fk_embeddings_spaces FOREIGN KEY(space_key) REFERENCES spaces (space_key)
);
INSERT INTO "embeddings" VALUES(4,0,1,1,X'003C000000000000');
INSERT INTO "embeddings" VALUES(5,0,1,1,X'0000003C00000000');
INSERT INTO "embeddings" VALUES(5,1,1,2,X'00000000003C0000000000000000003C');
INSERT INTO "embeddings" VALUES(6,0,1,1,X'00000000003C0000');
INSERT INTO "embeddings" VALUES(9,0,1,1,X'000000000000003C');
CREATE TABLE frames (
	item_key INTEGER NOT NULL, 
	frame_no INTEGER NOT NULL, 
	position_ms BIGINT NOT NULL, 
	pdq BLOB, 
	pdq_quality INTEGER, 
	low_information BOOLEAN NOT NULL, 
	CONSTRAINT pk_frames PRIMARY KEY (item_key, frame_no), 
	CONSTRAINT fk_frames_items FOREIGN KEY(item_key) REFERENCES items (item_key) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "frames" VALUES(4,0,0,X'CA978112CA1BBDCAFAC231B39A23DC4DA786EFF8147C4E72B9807785AFEE48BB',80,0);
INSERT INTO "frames" VALUES(5,0,0,X'C02C0B965E023ABEE808F2B548D8D5193A8B5229BE6F3121A6F16E2D41A449B3',80,0);
INSERT INTO "frames" VALUES(5,1,500,X'7DC96F776C8423E57A2785489A3F9C43FB6E756876D6AD9A9CAC4AA4E72EC193',80,0);
INSERT INTO "frames" VALUES(6,0,0,X'18AC3E7343F016890C510E93F935261169D9E3F565436429830FAF0934F4F8E4',80,0);
INSERT INTO "frames" VALUES(8,0,0,X'3F79BB7B435B05321651DAEFD374CDC681DC06FAA65E374E38337B88CA046DEA',NULL,0);
INSERT INTO "frames" VALUES(9,0,0,X'252F10C83610EBCA1A059C0BAE8255EBA2F95BE4D1D7BCFA89D7248A82D9F111',80,1);
CREATE TABLE idempotency (
	scope VARCHAR(255) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	request_digest VARCHAR(128) NOT NULL, 
	answer JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY (scope, "key")
);
INSERT INTO "idempotency" VALUES('scope','key','digest','{"item": {"item_id": "0000000000043e3f0038d032f199", "bank": "known", "kind": "image", "state": "active", "labels": {"source": "a"}, "sha256": "6cb582df210178c487ccbb53884d520227d2ba8f885bb5516d27b75ee21dc365", "frames": 1, "duration_ms": null, "low_information": false, "spaces": ["golden-000000000000"], "created_at": "2026-11-01T12:00:03+00:00", "updated_at": "2026-11-01T12:00:03+00:00"}, "index_version": 4, "created": true}',1793534403000000);
CREATE TABLE items (
	item_key INTEGER NOT NULL, 
	item_id VARCHAR(28) NOT NULL, 
	bank_key INTEGER NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	labels JSON NOT NULL, 
	sha256 VARCHAR(64), 
	media_format VARCHAR(64), 
	duration_ms BIGINT, 
	frames INTEGER NOT NULL, 
	low_information BOOLEAN NOT NULL, 
	forced BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	CONSTRAINT pk_items PRIMARY KEY (item_key), 
	CONSTRAINT fk_items_banks FOREIGN KEY(bank_key) REFERENCES banks (bank_key) ON DELETE CASCADE, 
	CONSTRAINT uq_items_bank_key_sha256 UNIQUE (bank_key, sha256)
);
INSERT INTO "items" VALUES(4,'0000000000043e3f0038d032f199',1,'image','active','{"source": "a"}','6cb582df210178c487ccbb53884d520227d2ba8f885bb5516d27b75ee21dc365','jpeg',NULL,1,0,0,1793534403000000,1793534403000000);
INSERT INTO "items" VALUES(5,'000000000005cbdb3bdbe03488c3',1,'video','active','{}','e24838fef65056c6569a11fb59622bedb8eb71b51ab1237e4dee880848420c6a','mp4',1000,2,0,0,1793534404000000,1793534404000000);
INSERT INTO "items" VALUES(6,'00000000000688698c31b1bd2202',1,'image','disabled','{}','464b5369c86803d67960ee82095c9d4db17cf0a3a3e742c72e8de20fb1775fcf','png',NULL,1,0,0,1793534405000000,1793534406000000);
INSERT INTO "items" VALUES(8,'0000000000088f65ae2cd79ea277',2,'signature','active','{}',NULL,NULL,NULL,1,0,0,1793534407000000,1793534407000000);
INSERT INTO "items" VALUES(9,'000000000009f2cb26ca0fd7b83f',2,'image','active','{}','f7ee82818eeed7f992f9d68da1eabc8ea3ac6a7b80709935af9d6ab0b1cbbfe3','gif',NULL,1,1,0,1793534408000000,1793534408000000);
CREATE TABLE log_head (
	one INTEGER NOT NULL, 
	seq BIGINT NOT NULL, 
	checked_at BIGINT, 
	CONSTRAINT pk_log_head PRIMARY KEY (one), 
	CONSTRAINT ck_log_head_ck_log_head_single CHECK (one = 1)
);
INSERT INTO "log_head" VALUES(1,13,1793534413000000);
CREATE TABLE spaces (
	space_key INTEGER NOT NULL, 
	space VARCHAR(255) NOT NULL, 
	dim INTEGER NOT NULL, 
	CONSTRAINT pk_spaces PRIMARY KEY (space_key), 
	CONSTRAINT uq_spaces_space UNIQUE (space)
);
INSERT INTO "spaces" VALUES(1,'golden-000000000000',4);
CREATE INDEX ix_items_bank_key_item_key ON items (bank_key, item_key);
CREATE INDEX ix_items_sha256 ON items (sha256);
CREATE INDEX ix_idempotency_created_at ON idempotency (created_at);
COMMIT;
