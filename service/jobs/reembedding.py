"""Embedding what is banked once more, from its originals."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from index.records.items import FilledFrame, ItemId, KeptItem, Tiling
from index.records.rows import Embeddings
from models.errors import EmbeddingFailed, MediaError, QueueFull
from models.media.sandbox import Decoder, Precedence
from models.views import tiles
from service.concurrently import concurrently
from service.errors import OriginalMissing
from service.originals import OriginalStore
from service.spaces.space_set import LiveSpaces, ServedSpace

_LOOK_EVERY_S: Final = 0.5

Made = Mapping[ItemId, Mapping[int, FilledFrame] | None]
"""The rows of each item by frame number; None where they could not be made."""


@dataclass(frozen=True, slots=True)
class Reembedder:
    """What it takes to embed originals in a space that is open. Safe from any thread."""

    spaces: LiveSpaces
    decoder: Decoder
    originals: OriginalStore
    at_once: int
    """How many originals are decoded at the same time."""
    log: FilteringBoundLogger

    def made(self, served: ServedSpace, page: Sequence[KeptItem]) -> Made:
        """Of each of these items, whole frames and the tiles that its bank wants."""
        outcomes: dict[ItemId, Mapping[int, FilledFrame] | None] = {}
        with self.spaces.keeping(served.id):
            for item, future in concurrently(lambda each: self._embedded(served, each), page, self.at_once):
                outcomes[item.item_id] = future.result()
        return outcomes

    def _embedded(self, served: ServedSpace, item: KeptItem) -> dict[int, FilledFrame] | None:
        try:
            frames = self.decoder.decode(self.originals.get(item.sha256), precedence=Precedence.BACKGROUND).frames
            if [frame.position_ms for frame in frames] != [frame.position_ms for frame in item.frames]:
                return None  # other frames are looked at by now: they would not be the same item
            pixels = [frame.pixels for frame in frames]
            parts = [tiles(frame, item.tiles) for frame in pixels]
            rows = _patiently(lambda: served.batcher.embed_references(pixels, parts=parts))
        except (OriginalMissing, MediaError, EmbeddingFailed) as error:
            self.log.warning("an item cannot be embedded again", item=item.item_id, reason=type(error).__name__)
            return None
        return {
            held.frame_no: FilledFrame(row, Tiling(item.tiles, len(cut)))
            for held, row, cut in zip(item.frames, rows, parts, strict=True)
        }


def _patiently(embed: Callable[[], list[Embeddings]]) -> list[Embeddings]:
    """Uploads go first: where too many wait for the model, the job waits."""
    while True:
        try:
            return embed()
        except QueueFull:
            time.sleep(_LOOK_EVERY_S)
