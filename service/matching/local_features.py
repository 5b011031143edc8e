"""Local features of banked frames, as they are kept: made, filled in later, and those looked at lately at hand."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from threading import Lock

from index.catalog import Catalog
from index.records.items import ItemId, LocalFeatures
from models.features import EXTRACTOR, BadFeatures, Features, extract, from_bytes, to_bytes
from models.media.types import Frame, Media


@dataclass(frozen=True, slots=True)
class PlacedFeatures:
    """Of one frame of an item."""

    position_ms: int
    features: Features
    size_bytes: int


def kept_features(frame: Frame) -> LocalFeatures:
    """What is kept of a frame that is banked."""
    features = extract(frame)
    return LocalFeatures(EXTRACTOR, features.count, to_bytes(features))


def features_of(media: Media) -> dict[int, LocalFeatures]:
    """What is kept of a decoded original, by frame number."""
    frames = enumerate(media.frames)
    return {number: kept_features(frame.pixels) for number, frame in frames if not frame.low_information}


class FeatureCache:
    """
    The features of items, read from the catalog when they are first asked for. Safe from any thread.

    An item's features never change, so nothing here grows old; whether the item may still be found is not asked here.
    """

    def __init__(self, catalog: Catalog, extractor: str, most_bytes: int) -> None:
        self._catalog = catalog
        self._extractor = extractor
        self._most_bytes = most_bytes
        self._items: OrderedDict[ItemId, tuple[PlacedFeatures, ...]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def of(self, item_ids: Collection[ItemId]) -> dict[ItemId, tuple[PlacedFeatures, ...]]:
        """Those that have features of this extractor that can be read, in one query for all that are not at hand."""
        found: dict[ItemId, tuple[PlacedFeatures, ...]] = {}
        with self._lock:
            for item_id in item_ids:
                if item_id in self._items:
                    self._items.move_to_end(item_id)
                    found[item_id] = self._items[item_id]
        missing = [item_id for item_id in item_ids if item_id not in found]
        if missing:
            read = self._read(missing)
            found |= read
            self._remember(read)
        return found

    def _read(self, item_ids: Collection[ItemId]) -> dict[ItemId, tuple[PlacedFeatures, ...]]:
        read: dict[ItemId, tuple[PlacedFeatures, ...]] = {}
        for item_id, frames in self._catalog.features.of_items(item_ids, self._extractor).items():
            placed = []
            for frame in frames:
                try:
                    features = from_bytes(frame.data)
                except BadFeatures:
                    continue  # damaged: as if there were none
                placed.append(PlacedFeatures(frame.position_ms, features, 2 * len(frame.data)))
            read[item_id] = tuple(placed)
        return read

    def _remember(self, read: dict[ItemId, tuple[PlacedFeatures, ...]]) -> None:
        with self._lock:
            for item_id, placed in read.items():
                if item_id not in self._items:
                    self._items[item_id] = placed
                    self._bytes += _size(placed)
            while self._bytes > self._most_bytes and self._items:
                _, dropped = self._items.popitem(last=False)
                self._bytes -= _size(dropped)


def _size(placed: tuple[PlacedFeatures, ...]) -> int:
    return 1024 + sum(each.size_bytes for each in placed)
