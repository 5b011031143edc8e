"""Catalogs as earlier releases left them: opened, brought up to date, and everything is still there."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from index.catalog import Catalog
from index.catalog.tables import metadata
from index.records.banks import Purpose
from index.records.items import Idempotency, ItemId, ItemKind, ItemState, NewItem
from index.records.spaces import SpaceId
from index.views.views import Views

SPACE = SpaceId("golden-000000000000")
KNOWN = ("0000000000043e3f0038d032f199", "000000000005cbdb3bdbe03488c3", "00000000000688698c31b1bd2202")
NEWS = ("0000000000088f65ae2cd79ea277", "000000000009f2cb26ca0fd7b83f")
GONE = ("00000000000a36ab8f923bad2845", "00000000000bf644f4862e19abeb")
REMEMBERED = Idempotency(key="key", scope="scope", request_digest="digest")
THAT_DAY = datetime(2026, 11, 1, 20, tzinfo=UTC)

pytestmark = pytest.mark.parametrize("release", ["0001"])


@pytest.fixture
def golden(release: str, url: str, load_golden: Callable[[str], None]) -> str:
    """The URL of a catalog with the contents of that release's golden file."""
    load_golden(release)
    return url


def test_everything_of_an_earlier_release_is_there(golden: str) -> None:
    catalog = Catalog.open(golden, clock=lambda: THAT_DAY)
    known, news = catalog.bank("known"), catalog.bank("news")
    assert (known.purpose, known.items, dict(known.labels)) == (Purpose.HARMFUL, 3, {"owner": "Zoë", "case": 7})
    assert (known.settings.variant_score, known.settings.block_on_semantic) == (0.8, True)
    assert (news.purpose, news.items) == (Purpose.PUBLIC_INTEREST, 2)
    items = catalog.items("known", 10).items
    assert tuple(item.item_id for item in items) == KNOWN
    assert [item.kind for item in items] == [ItemKind.IMAGE, ItemKind.VIDEO, ItemKind.IMAGE]
    assert [item.state for item in items] == [ItemState.ACTIVE, ItemState.ACTIVE, ItemState.DISABLED]
    assert [item.spaces for item in items] == [(SPACE,)] * 3
    assert items[1].duration_ms == 1000
    assert tuple(item.item_id for item in catalog.items("news", 10).items) == NEWS
    assert catalog.items_by_id([ItemId(item_id) for item_id in GONE]) == {}
    remembered = catalog.replayed(REMEMBERED)
    assert remembered is not None
    assert remembered.item == items[0]
    assert (catalog.version(), len(catalog.identity())) == (13, 32)
    catalog.delete_bank("known")
    assert catalog.replayed(REMEMBERED) is None
    catalog.close()


def test_views_of_it_find_what_they_found(golden: str) -> None:
    catalog = Catalog.open(golden)
    views = Views(catalog, {SPACE: 4})
    found = [hit.item_id for hit in views.search(SPACE, np.eye(4, dtype=np.float32), 10)]
    assert found == [KNOWN[0], KNOWN[1]]  # the third is disabled, the last of low information
    hashes = views.distances_of(np.zeros((1, 32), np.uint8), [ItemId(item_id) for item_id in (*KNOWN, *NEWS, *GONE)])
    assert set(hashes) == {KNOWN[0], KNOWN[1], NEWS[0]}
    views.close()
    catalog.close()


def test_it_goes_on_where_that_release_stopped(golden: str) -> None:
    catalog = Catalog.open(golden)
    added = catalog.add_item("known", NewItem(ItemKind.IMAGE, []))
    assert added.index_version == 14
    assert catalog.set_item("known", ItemId(KNOWN[2]), state=ItemState.ACTIVE)[1] == 15
    assert catalog.audit.verify().broken is None
    catalog.register_space(SpaceId("another-00000000000"), 8)  # its key is not one that was given before
    assert len(catalog.spaces()) == 2
    catalog.close()


def test_its_tables_are_those_of_a_new_one(golden: str) -> None:
    Catalog.open(golden).close()
    engine = create_engine(golden)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
