"""The job `features`: gives what was banked without local features, or by another version of them, those it lacks."""

from dataclasses import dataclass
from typing import Final

from index.catalog import Catalog
from index.records.items import Item, ItemId, LocalFeatures
from index.records.jobs import JobJson, Plan
from models.errors import MediaError
from models.features import EXTRACTOR
from models.media.sandbox import Decoder, Precedence
from service.concurrently import concurrently
from service.errors import OriginalMissing
from service.jobs.options import NoOptions, read_options
from service.jobs.task import Task
from service.matching.local_features import features_of
from service.originals import OriginalStore

FEATURES: Final = "features"
_PAGE: Final = 32
"""Items between two writes."""


@dataclass(frozen=True, slots=True)
class FeatureTools:
    """What the job works with."""

    catalog: Catalog
    decoder: Decoder
    originals: OriginalStore
    at_once: int
    """How many originals are decoded at the same time."""


class FillFeatures:
    """The job kind; it takes no options. Items without an original stay as they are, and are counted."""

    def __init__(self, tools: FeatureTools) -> None:
        self._tools = tools

    def checked(self, options: JobJson) -> JobJson:
        """
        Raises:
            InvalidField
        """
        read_options(NoOptions, options)
        return {}

    def plan(self, task: Task) -> Plan:
        del task
        return Plan([{}])

    def run(self, task: Task) -> None:
        cursor = None if task.cursor is None else task.cursor["after"]
        while True:
            page = self._tools.catalog.features.lacking(EXTRACTOR, _PAGE, cursor)
            counts = self._fill(page.items)
            cursor = page.next
            if cursor is None:
                task.checkpoint({"after": None}, **counts)
                return
            task.checkpoint({"after": cursor}, **counts)

    def finish(self, task: Task) -> JobJson:
        del task
        return {"extractor": EXTRACTOR}

    def _fill(self, item_ids: tuple[ItemId, ...]) -> dict[str, int]:
        items = self._tools.catalog.items_by_id(item_ids)
        kept: dict[ItemId, dict[int, LocalFeatures]] = {}
        for item, future in concurrently(self._features, list(items.values()), self._tools.at_once):
            made = future.result()
            if made is not None:
                kept[item.item_id] = made
        written = self._tools.catalog.features.put(kept) if kept else set()
        return {"done": len(items), "filled": len(written), "without_original": len(items) - len(kept)}

    def _features(self, item: Item) -> dict[int, LocalFeatures] | None:
        """None where the original is not kept or cannot be read any more."""
        if item.sha256 is None:
            return None
        try:
            original = self._tools.originals.get(item.sha256)
            return features_of(self._tools.decoder.decode(original, precedence=Precedence.BACKGROUND))
        except (OriginalMissing, MediaError):
            return None
