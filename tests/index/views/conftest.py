"""Views in memory, and whoever asks them in every way they can be asked."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from index.catalog import Catalog
from index.records.items import ItemId, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.views import ViewOptions, Views


@pytest.fixture
def views(catalog: Catalog, space: SpaceId) -> Iterator[Views]:
    opened = Views(catalog, {space: 16}, options=ViewOptions(fold_rows=8))
    yield opened
    opened.close()


def embedding_of(new: NewItem, space: SpaceId) -> Embeddings:
    return np.concatenate([frame.embeddings[space] for frame in new.frames])


def hashes_of(new: NewItem) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(frame.pdq or b"" for frame in new.frames), np.uint8).reshape(-1, 32)


class Finder:
    """Asks the views in every way they can be asked; the answers must agree."""

    def __init__(self, views: Views, space: SpaceId) -> None:
        self._views = views
        self._space = space

    def finds(self, new: NewItem, item_id: ItemId, **options: object) -> bool:
        queries, hashes = embedding_of(new, self._space), hashes_of(new)
        reading = self._views.reading()
        semantic = reading.search(self._space, queries, 1, **options)  # type: ignore[arg-type]
        perceptual = reading.search_pdq(hashes, 1, 0, **options)  # type: ignore[arg-type]
        answers = {
            any(hit.item_id == item_id and hit.score > 0.999 for hit in semantic),
            any(hit.item_id == item_id for hit in perceptual),
        }
        if not options:
            answers.add(item_id in reading.scores_of(self._space, queries, [item_id]))
            answers.add(item_id in reading.distances_of(hashes, [item_id]))
        assert len(answers) == 1
        return answers.pop()


@pytest.fixture
def finder_of(space: SpaceId) -> Callable[[Views], Finder]:
    return lambda views: Finder(views, space)


@pytest.fixture
def finder(views: Views, space: SpaceId) -> Finder:
    return Finder(views, space)
