"""A catalog that goes away or has no room, seen by who asks over HTTP: told so, and served again without a hand."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from service.runtime import Runtime
from service.settings import Settings

Jpeg = Callable[[int], bytes]


def bank(client: FlaskClient, media: bytes) -> Any:
    return client.post("/v1/banks/known/items", data=media, content_type="image/jpeg")


def match(client: FlaskClient, media: bytes) -> Any:
    return client.post("/v1/match", data=media, content_type="image/jpeg")


def test_a_disk_without_room_is_said_to_be_full_and_banking_goes_on_when_there_is_room(
    service: Runtime, client: FlaskClient, jpeg: Jpeg
) -> None:
    client.put("/v1/banks/known", json={"purpose": "harmful"})
    assert bank(client, jpeg(1)).status_code == 201
    write = service.catalog.database.write

    def fill(connection: Any) -> None:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))

    write(fill)
    statuses = [bank(client, jpeg(seed)).status_code for seed in range(2, 30)]
    assert 507 in statuses
    assert set(statuses) <= {201, 507}
    full = bank(client, jpeg(50))
    assert full.json["type"] == "/problems/storage-full"
    assert match(client, jpeg(1)).json["verdict"]["band"] == "exact"  # asking needs no room
    write(lambda connection: connection.execute(text("PRAGMA max_page_count = 1000000")))
    assert bank(client, jpeg(50)).status_code == 201
    banked = client.get("/v1/banks/known").json["items"]
    assert banked == 2 + statuses.count(201)


class TestOnPostgres:
    @pytest.fixture
    def settings(self, settings: Settings, postgres_to_stop: Any) -> Iterator[Settings]:
        with postgres_to_stop.database() as url:
            yield settings.model_copy(update={"catalog": url})

    def test_a_server_restarted_while_it_is_asked_is_503_and_then_well(
        self, postgres_to_stop: Any, client: FlaskClient, jpeg: Jpeg
    ) -> None:
        client.put("/v1/banks/known", json={"purpose": "harmful"})
        assert bank(client, jpeg(1)).status_code == 201
        assert match(client, jpeg(1)).json["verdict"]["band"] == "exact"
        postgres_to_stop.stop()
        for ask in (match, bank, match):
            answer = ask(client, jpeg(1))
            assert (answer.status_code, answer.json["type"]) == (503, "/problems/catalog-unavailable")
            assert answer.headers["Retry-After"]
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        postgres_to_stop.start()
        assert match(client, jpeg(1)).json["verdict"]["band"] == "exact"
        assert bank(client, jpeg(2)).status_code == 201
        assert match(client, jpeg(2)).json["verdict"]["band"] == "exact"
