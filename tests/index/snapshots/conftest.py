"""A data directory with snapshots, for as many processes as a test wants."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from index.catalog import Catalog
from index.records.items import Added, ItemId, NewItem
from index.records.spaces import SpaceId
from index.views.snapshots import SnapshotStore
from index.views.view import Event, EventKind, LargePart
from index.views.views import ViewOptions, Views

Picture = Callable[..., NewItem]


@pytest.fixture
def database() -> str:
    """What the catalog is kept in makes no difference here."""
    return "sqlite"


class Site:
    """A data directory: its catalog, its snapshots, and the views of as many processes as a test wants."""

    def __init__(self, catalog: Catalog, folder: Path, space: SpaceId, picture: Picture) -> None:
        self.catalog = catalog
        self.store = SnapshotStore(folder / "snapshots")
        self.space = space
        self.told: list[Event] = []
        self._picture = picture
        self.opened: list[Views] = []

    def open(self, catalog: Catalog | None = None, **options: object) -> Views:
        values: dict[str, object] = {"fold_rows": 8, "stored_rows": 8, "tell": self.told.append}
        views = Views(
            catalog or self.catalog,
            {self.space: 16},
            snapshots=self.store,
            options=ViewOptions(**(values | options)),  # type: ignore[arg-type]
        )
        self.opened.append(views)
        return views

    def bank(self, count: int, catalog: Catalog | None = None) -> dict[ItemId, NewItem]:
        news = [self._picture() for _ in range(count)]
        added: list[Added] = (catalog or self.catalog).add_items("known", news)
        return {one.item.item_id: new for one, new in zip(added, news, strict=True)}

    def folders(self, view: str) -> list[Path]:
        """Newest first."""
        return [folder for _, folder in self.store.of_view(view)]

    def heard(self, kind: EventKind) -> list[Event]:
        return [event for event in self.told if event.kind is kind]

    def found(self, views: Views, new: NewItem) -> set[ItemId]:
        """What is found of exactly this, in both views: they must agree."""
        frame = new.frames[0]
        hashes = np.frombuffer(frame.pdq or b"", np.uint8).reshape(1, 32)
        reading = views.reading()
        hits = reading.search(self.space, frame.embeddings[self.space], 1)
        semantic = {hit.item_id for hit in hits if hit.score > 0.999}
        assert semantic == {hit.item_id for hit in reading.search_pdq(hashes, 1, 0)}
        return semantic

    def finds_all(self, views: Views, items: Mapping[ItemId, NewItem]) -> bool:
        return all(self.found(views, new) == {item_id} for item_id, new in items.items())

    def finds_none(self, views: Views, items: Mapping[ItemId, NewItem]) -> bool:
        return all(self.found(views, new) == set() for new in items.values())

    def settle(self) -> None:
        """Until what is built in the background is built."""
        for thread in threading.enumerate():
            if thread.name == "index-fold":
                thread.join()

    def part(self, views: Views, view: str | None = None) -> LargePart:
        """The large part of the space, or of another view."""
        return {part.view: part for part in views.large_parts()}[view or self.space]


@pytest.fixture
def site(catalog: Catalog, tmp_path: Path, space: SpaceId, picture: Picture) -> Iterator[Site]:
    made = Site(catalog, tmp_path, space, picture)
    yield made
    for views in made.opened:
        views.close()
