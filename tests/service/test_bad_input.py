"""Bad input: each with its own problem, and nothing harmed. After each, a good picture is answered."""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from gunicorn.http.errors import InvalidChunkSize, NoMoreData
from PIL import Image
from werkzeug.test import TestResponse

SPACE = "toy-0123456789ab"
DIM = 48
UNIT = [1.0] + [0.0] * (DIM - 1)
ITEMS = "/v1/banks/first/items"

Bytes = Callable[..., bytes]


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is large and has next to nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def client(shared_client: FlaskClient) -> FlaskClient:
    """One service for all of them: that is the point."""
    return shared_client


@pytest.fixture
def good(client: FlaskClient, jpeg: Bytes) -> Iterator[str]:
    """A banked picture, which must be found after whatever the test did."""
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    item_id = client.post(ITEMS, data=jpeg(1), content_type="image/jpeg").json["item_id"]
    yield item_id
    answer = client.post("/v1/match", data=jpeg(1), content_type="image/jpeg")
    assert [match["item_id"] for match in answer.json["matches"]] == [item_id]


def refused(answer: TestResponse, status: int, slug: str) -> Any:
    assert (answer.status_code, answer.json["type"]) == (status, f"/problems/{slug}"), answer.text
    assert answer.content_type == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance", "errors"} <= set(answer.json)
    assert answer.json["instance"] == answer.headers["X-Request-ID"]
    assert answer.json["status"] == status
    return answer.json


def post(client: FlaskClient, data: bytes, path: str = "/v1/match", content_type: str = "image/jpeg") -> TestResponse:
    return client.post(path, data=data, content_type=content_type)


@pytest.mark.parametrize("path", ["/v1/match", ITEMS])
@pytest.mark.usefixtures("good")
class TestMedia:
    def test_empty(self, client: FlaskClient, path: str) -> None:
        refused(post(client, b"", path), 400, "empty-body")
        refused(client.post(path, data={"media": (io.BytesIO(b""), "x.jpg")}), 400, "empty-body")

    @pytest.mark.parametrize(
        "data", [b"GIF", b"%PDF-1.7 hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(99)]
    )
    def test_not_a_picture(self, client: FlaskClient, path: str, data: bytes) -> None:
        refused(post(client, data, path), 415, "unsupported-media")

    def test_truncated(self, client: FlaskClient, path: str, jpeg: Bytes) -> None:
        refused(post(client, jpeg(2)[:1500], path), 422, "corrupt-media")

    def test_a_bomb(self, client: FlaskClient, path: str) -> None:
        refused(post(client, bomb(60_000, 60_000), path), 413, "too-many-pixels")

    def test_too_many_frames(self, client: FlaskClient, path: str, encoded: Bytes, picture: Callable[..., Any]) -> None:
        frames = [picture(seed, (40, 40)) for seed in range(21)]
        gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        refused(post(client, gif, path), 413, "too-many-frames")

    def test_over_the_byte_limit_is_not_read(self, client: FlaskClient, path: str) -> None:
        body = Counted(400_000)
        sent = {"wsgi.input": body, "CONTENT_LENGTH": "400000"}
        answer = client.post(path, content_type="image/jpeg", environ_overrides=sent)
        refused(answer, 413, "body-too-large")
        assert (body.read_bytes, answer.headers["Connection"]) == (0, "close")

    def test_over_the_byte_limit_without_saying_so_is_read_no_further(self, client: FlaskClient, path: str) -> None:
        body = Counted(100_000_000)
        sent = {"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        answer = client.post(path, content_type="image/jpeg", environ_overrides=sent)
        refused(answer, 413, "body-too-large")
        assert body.read_bytes < 1_000_000

    def test_a_multipart_file_over_the_byte_limit(self, client: FlaskClient, path: str) -> None:
        answer = client.post(path, data={"media": (io.BytesIO(bytes(320_000)), "x.jpg")})
        refused(answer, 413, "body-too-large")

    def test_a_model_that_fails_on_it(self, client: FlaskClient, path: str, encoded: Bytes) -> None:
        noise = Image.effect_noise((80, 80), 90).convert("RGB")
        noise.paste((255, 0, 255), (0, 0, 8, 8))
        refused(post(client, encoded(noise, "PNG"), path), 422, "embedding-failed")

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "audio/mpeg"])
    def test_another_kind_of_body(self, client: FlaskClient, path: str, kind: str, jpeg: Bytes) -> None:
        refused(client.post(path, data=jpeg(1), content_type=kind), 415, "unsupported-content-type")

    def test_multipart_without_its_field(self, client: FlaskClient, path: str, jpeg: Bytes) -> None:
        refused(client.post(path, data={"picture": (io.BytesIO(jpeg(1)), "x")}), 400, "bad-multipart")
        refused(client.post(path, data={"media": "text"}, content_type="multipart/form-data"), 400, "bad-multipart")
        refused(client.post(path, data=b"--x", content_type="multipart/form-data; boundary=x"), 400, "bad-multipart")
        two = {"media": [(io.BytesIO(jpeg(1)), "x"), (io.BytesIO(jpeg(1)), "y")]}
        refused(client.post(path, data=two), 400, "bad-multipart")


@pytest.mark.usefixtures("good")
class TestLabels:
    """What comes beside a file is not lost without a word."""

    @pytest.mark.parametrize("labels", [["{}", "{}"], (io.BytesIO(b"{}"), "labels.json")], ids=["twice", "as a file"])
    def test_in_a_form_that_is_not_read(self, client: FlaskClient, jpeg: Bytes, labels: Any) -> None:
        upload = {"media": (io.BytesIO(jpeg(3)), "x.jpg"), "labels": labels}
        assert refused(client.post(ITEMS, data=upload), 400, "bad-multipart")["errors"][0]["pointer"] == "/labels"

    @pytest.mark.parametrize("labels", ["[]", "nonsense", '{"a": []}'])
    def test_that_are_none(self, client: FlaskClient, jpeg: Bytes, labels: str) -> None:
        upload = {"media": (io.BytesIO(jpeg(3)), "x.jpg"), "labels": labels}
        refused(client.post(ITEMS, data=upload), 422, "invalid-field")


@pytest.mark.usefixtures("good")
class TestOddPictures:
    @pytest.mark.parametrize("size", [(1, 1), (2000, 2), (2, 2000), (10_000, 2)])
    def test_odd_sizes_are_answered(self, client: FlaskClient, size: tuple[int, int], encoded: Bytes) -> None:
        answer = post(client, encoded(Image.new("RGB", size, "teal"), "PNG"), content_type="image/png")
        assert (answer.status_code, answer.json["media"]["low_information"]) == (200, True)

    def test_blank_pictures_are_flagged_and_not_banked(self, client: FlaskClient, encoded: Bytes) -> None:
        blank = encoded(Image.new("RGB", (200, 200), "white"), "PNG")
        assert post(client, blank).json["media"]["low_information"] is True
        refused(post(client, blank, ITEMS), 422, "low-information")


@pytest.mark.usefixtures("good")
class TestQueries:
    @pytest.mark.parametrize(
        ("query", "slug", "pointer"),
        [
            ("k=0", "invalid-parameter", "/k"),
            ("k=101", "invalid-parameter", "/k"),
            ("k=five", "invalid-parameter", "/k"),
            ("k=5.0", "invalid-parameter", "/k"),
            ("k=1&k=2", "invalid-parameter", "/k"),
            ("min_band=sure", "invalid-parameter", "/min_band"),
            ("min_index_version=-1", "invalid-parameter", "/min_index_version"),
            ("verify=true", "invalid-parameter", "/verify"),
            ("record=1", "invalid-parameter", "/record"),
            ("observed_at=yesterday", "invalid-parameter", "/observed_at"),
            ("observed_at=2026-11-22T10:00:00", "invalid-parameter", "/observed_at"),
            ("upload_id=", "invalid-parameter", "/upload_id"),
            ("platform=a%20b", "invalid-parameter", "/platform"),
            ("bank=a%20b", "invalid-parameter", "/bank/0"),
            ("limit=5", "unknown-parameter", "/limit"),
            ("K=5", "unknown-parameter", "/K"),
        ],
    )
    def test_each_is_pointed_at(self, client: FlaskClient, jpeg: Bytes, query: str, slug: str, pointer: str) -> None:
        problem = refused(post(client, jpeg(1), f"/v1/match?{query}"), 422, slug)
        assert [(fault["where"], fault["pointer"]) for fault in problem["errors"]] == [("query", pointer)]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/banks?k=1"),
            ("GET", "/v1/banks/first?x="),
            ("DELETE", "/v1/banks/first?force=true"),
            ("POST", f"{ITEMS}?k=1"),
        ],
    )
    def test_unknown_parameters_are_refused_everywhere(self, client: FlaskClient, method: str, path: str) -> None:
        refused(client.open(path, method=method), 422, "unknown-parameter")

    def test_an_unknown_bank(self, client: FlaskClient, jpeg: Bytes) -> None:
        refused(post(client, jpeg(1), "/v1/match?bank=none"), 404, "unknown-bank")
        refused(post(client, jpeg(1), "/v1/banks/none/items"), 404, "unknown-bank")
        refused(client.get("/v1/banks/none/items"), 404, "unknown-bank")

    def test_another_address_or_method(self, client: FlaskClient) -> None:
        refused(client.get("/v1/nothing"), 404, "not-found")
        answer = client.get("/v1/match")
        refused(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == "POST"

    @pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
    def test_an_idempotency_key_that_cannot_be_one(self, client: FlaskClient, jpeg: Bytes, key: str) -> None:
        answer = client.post(ITEMS, data=jpeg(1), content_type="image/jpeg", headers={"Idempotency-Key": key})
        assert refused(answer, 422, "invalid-parameter")["errors"][0]["where"] == "header"


@pytest.mark.usefixtures("good")
class TestJson:
    @pytest.mark.parametrize("path", ["/v1/match/embeddings", ITEMS])
    @pytest.mark.parametrize("body", [b"{", b"nonsense", b'{"pdq": ["\xff"]}', b"[1,", b'{"a": 1} x'])
    def test_bad_json(self, client: FlaskClient, path: str, body: bytes) -> None:
        problem = refused(post(client, body, path, "application/json"), 400, "bad-json")
        assert problem["errors"][0]["pointer"] == ""

    @pytest.mark.parametrize("path", ["/v1/match/embeddings", ITEMS])
    @pytest.mark.parametrize(
        ("body", "slug", "pointer"),
        [
            ({}, "invalid-field", ""),
            ({"pdq": [None]}, "invalid-field", ""),
            ([], "invalid-field", ""),
            ({"pdq": [7]}, "invalid-field", "/pdq/0"),
            ({"embeddings": [["1"]], "embedder_id": SPACE}, "invalid-field", "/embeddings/0/0"),
            ({"embeddings": [UNIT], "embedder_id": SPACE, "x": 1}, "invalid-field", "/x"),
            ({"embeddings": [UNIT, UNIT], "embedder_id": SPACE, "pdq": ["0" * 64]}, "invalid-field", "/pdq"),
            ({"pdq": [None, "zz"]}, "bad-hash", "/pdq/1"),
            ({"embeddings": [[1.0]], "embedder_id": SPACE}, "bad-embedding", "/embeddings/0"),
            ({"embeddings": [UNIT, [0.5] * DIM], "embedder_id": SPACE}, "bad-embedding", "/embeddings/1"),
            ({"embeddings": [[0.0] * DIM], "embedder_id": SPACE}, "bad-embedding", "/embeddings/0"),
            ({"embeddings": [[math.nan] * DIM], "embedder_id": SPACE}, "bad-embedding", "/embeddings/0"),
            ({"embeddings": [[math.inf] * DIM], "embedder_id": SPACE}, "bad-embedding", "/embeddings/0"),
            ({"embeddings": [[1e308] * DIM], "embedder_id": SPACE}, "bad-embedding", "/embeddings/0"),
        ],
    )
    def test_each_is_pointed_at(self, client: FlaskClient, path: str, body: object, slug: str, pointer: str) -> None:
        problem = refused(client.post(path, json=body), 422, slug)
        assert pointer in [fault["pointer"] for fault in problem["errors"]]

    @pytest.mark.parametrize("path", ["/v1/match/embeddings", ITEMS])
    def test_embeddings_of_another_space(self, client: FlaskClient, path: str) -> None:
        problem = refused(
            client.post(path, json={"embedder_id": "other-1", "embeddings": [UNIT]}), 409, "space-mismatch"
        )
        assert SPACE in problem["detail"]

    def test_an_empty_or_too_large_body(self, client: FlaskClient) -> None:
        refused(post(client, b"", "/v1/match/embeddings", "application/json"), 400, "empty-body")
        refused(post(client, b" " * 200_001, "/v1/match/embeddings", "application/json"), 413, "body-too-large")

    def test_json_where_none_is_read(self, client: FlaskClient) -> None:
        refused(client.post("/v1/match", json={}), 415, "unsupported-content-type")
        refused(post(client, b"{}", "/v1/match/embeddings", "text/plain"), 415, "unsupported-content-type")

    def test_deep_json_harms_nothing(self, client: FlaskClient) -> None:
        deep = b'{"pdq": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
        assert post(client, deep, "/v1/match/embeddings", "application/json").status_code in {400, 422}


@pytest.mark.usefixtures("good")
class TestSlowSenders:
    @pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError, NoMoreData])
    def test_a_body_that_stops_arriving(self, client: FlaskClient, error: type[Exception]) -> None:
        sent = {"wsgi.input": Failing(error), "wsgi.input_terminated": True, "CONTENT_LENGTH": "1000"}
        for path, kind in (("/v1/match", "image/jpeg"), ("/v1/match", "multipart/form-data; boundary=x")):
            answer = client.post(path, content_type=kind, environ_overrides=sent)
            refused(answer, 408, "body-timeout")
            assert answer.headers["Connection"] == "close"

    def test_a_body_that_is_not_in_the_chunks_it_was_said_to_be_in(self, client: FlaskClient) -> None:
        sent = {"wsgi.input": Failing(InvalidChunkSize), "wsgi.input_terminated": True}
        for kind in ("image/jpeg", "multipart/form-data; boundary=x"):
            refused(
                client.post("/v1/match", content_type=kind, environ_overrides=sent, content_length=None),
                400,
                "bad-request",
            )

    @pytest.mark.parametrize("terminated", [{}, {"wsgi.input_terminated": True}], ids=["plain", "terminated"])
    def test_a_body_that_ends_early(self, client: FlaskClient, terminated: dict[str, bool]) -> None:
        sent = {"wsgi.input": io.BytesIO(b"half"), "CONTENT_LENGTH": "1000", **terminated}
        answer = client.post("/v1/match", content_type="image/jpeg", environ_overrides=sent)
        refused(answer, 408, "body-timeout")


@pytest.mark.usefixtures("good")
class TestBatches:
    def test_too_many_files(self, client: FlaskClient, jpeg: Bytes) -> None:
        files = [(io.BytesIO(jpeg(1)), str(i)) for i in range(9)]
        refused(client.post("/v1/match/batch", data={"media": files}), 413, "body-too-large")

    def test_no_file(self, client: FlaskClient) -> None:
        refused(client.post("/v1/match/batch", data={}, content_type="multipart/form-data"), 400, "bad-multipart")

    def test_another_kind_of_body(self, client: FlaskClient, jpeg: Bytes) -> None:
        refused(post(client, jpeg(1), "/v1/match/batch"), 415, "unsupported-content-type")


class Counted(io.RawIOBase):
    """A body that counts what is read of it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._left, 65536)
        buffer[:count] = bytes(count)
        self._left -= count
        self.read_bytes += count
        return count


class Failing(io.RawIOBase):
    """A connection on which something happens in the middle of a body."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> int:
        raise self._error("secret")
