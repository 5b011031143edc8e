"""Banking: from bytes, or from what others made of them, to an item that is found from now on."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from index.audit import actor
from index.catalog import Catalog
from index.records.banks import Labels
from index.records.items import Added, Idempotency, ItemKind, NewFrame, NewItem, Tiling
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.views import Views
from models.errors import MediaError
from models.media.sandbox import Decoder, Precedence
from models.media.types import DecodedFrame, Media
from models.views import tiles as tiles_of
from service.errors import LowInformation, OriginalsUnavailable
from service.matching.local_features import kept_features
from service.matching.queries import Asker, Signature
from service.metrics import Metrics
from service.originals import OriginalStore, Staged

_KIND = {"image": ItemKind.IMAGE, "video": ItemKind.VIDEO}


@dataclass(frozen=True, slots=True)
class AddOptions:
    """How to bank. `deadline` is a `time.monotonic()` instant."""

    labels: Labels = field(default_factory=dict)
    force: bool = False
    """Bank it although there is too little to see in it."""
    idempotency_key: str | None = None
    deadline: float | None = None
    precedence: Precedence = Precedence.UPLOAD


class Banker:
    """Puts items into banks; safe from any thread."""

    def __init__(
        self,
        *,
        decoder: Decoder,
        asker: Asker,
        catalog: Catalog,
        views: Views,
        originals: OriginalStore,
        metrics: Metrics,
        keep_features: bool = True,
    ) -> None:
        self._decoder = decoder
        self._asker = asker
        self._catalog = catalog
        self._views = views
        self._originals = originals
        self._metrics = metrics
        self._keep_features = keep_features

    def add(self, bank: str, data: bytes, options: AddOptions | None = None) -> Added:
        """
        Banks the media itself; bytes that the bank holds already are not looked at again, but for the sake of a key.

        Raises:
            UnknownBank, LowInformation, IdempotencyConflict, MediaError, EmbeddingError, CatalogUnavailable
            OriginalsUnavailable, OriginalBeingRemoved: its original cannot be kept now, so it is not banked.
        """
        options = options or AddOptions()
        digest = hashlib.sha256(data).hexdigest()
        request = _idempotency(bank, options, digest)
        earlier = None if request is None else self._catalog.replayed(request)
        if earlier is not None:
            return earlier
        known = self._catalog.item_by_sha256(bank, digest)
        if known is not None and request is None:  # what a key was used for is written down
            return Added(known, self._catalog.version(), created=False)
        media = self.decoded(data, options, digest)
        (item,) = self.items_of([(media, options)], self._catalog.bank(bank).settings.tiles)
        if self._originals.keeps:
            self._originals.put(digest, data)
            item = replace(item, original_bytes=len(data))
        added = self._banked(bank, item, request)
        self.keep_still(added, lambda: data)
        return added

    def stage(self, item: NewItem, data: bytes) -> tuple[NewItem, Staged | None]:
        """
        For who banks many: what was prepared, its original staged. `keep` comes before banking, `keep_still` after.

        Raises:
            OriginalsUnavailable, StorageFull
        """
        if not self._originals.keeps or item.sha256 is None:
            return item, None
        return replace(item, original_bytes=len(data)), self._originals.stage(item.sha256, data)

    def keep(self, staged: Sequence[Staged]) -> None:
        """
        Raises:
            OriginalsUnavailable, StorageFull
        """
        self._originals.keep(staged)

    def keep_still(self, added: Added, read: Callable[[], bytes]) -> None:
        """
        After banking: somebody who removed the same bytes meanwhile may have deleted the original that we put.

        Raises:
            OriginalsUnavailable, StorageFull: it is banked, and its original may be gone.
        """
        digest = added.item.sha256
        kept = added.created and added.item.original_bytes is not None
        if kept and digest is not None and not self._originals.exists(digest):
            data = read()
            if hashlib.sha256(data).hexdigest() != digest:  # its file is another one by now
                raise OriginalsUnavailable("The original of what was banked is gone, and cannot be had again.")
            self._originals.put(digest, data)

    def decoded(self, data: bytes, options: AddOptions, digest: str | None = None) -> Media:
        """
        The first half of banking but for keeping and writing: for who banks many in one transaction.

        Args:
            data: the media.
            options: how to bank them.
            digest: their SHA-256, where the caller has it.

        Raises:
            LowInformation, MediaError, DeadlinePassed
        """
        try:
            media = self._decoder.decode(data, options.deadline, digest, options.precedence)
        except MediaError as error:
            self._metrics.undecodable(error)
            raise
        if media.low_information and not options.force:
            raise LowInformation("There is too little to see in this picture to bank it.")
        return media

    def items_of(self, asked: Sequence[tuple[Media, AddOptions]], tiles: int = 0) -> list[NewItem]:
        """
        The second half, for several at once: the model is fastest so.

        Args:
            asked: what was decoded, and how to bank each; the earliest deadline is that of all.
            tiles: how many of each frame the bank wants.

        Raises:
            EmbeddingError
        """
        stills = [frame for media, _ in asked for frame in media.frames]
        parts = [tiles_of(frame.pixels, tiles) for frame in stills]
        deadlines = [options.deadline for _, options in asked if options.deadline is not None]
        spaces = self._asker.references([frame.pixels for frame in stills], parts, min(deadlines, default=None))
        frames = (
            self._frame(frame, {space: rows[i] for space, rows in spaces.items()}, Tiling(tiles, len(parts[i])))
            for i, frame in enumerate(stills)
        )
        return [_item(media, options, list(islice(frames, len(media.frames)))) for media, options in asked]

    def add_signature(self, bank: str, signature: Signature, options: AddOptions | None = None) -> Added:
        """
        Banks hashes and embeddings of media that stayed elsewhere.

        Raises:
            UnknownBank, IdempotencyConflict, CatalogUnavailable
            SpaceMismatch, InvalidEmbedding, InvalidHash, InvalidField: it is not what it is said to be.
        """
        options = options or AddOptions()
        content = [signature.embedder_id, [list(row) for row in signature.embeddings], list(signature.pdq)]
        request = _idempotency(bank, options, hashlib.sha256(json.dumps(content).encode()).hexdigest())
        earlier = None if request is None else self._catalog.replayed(request)
        if earlier is not None:
            return earlier
        self._catalog.bank(bank)
        space = SpaceId(signature.embedder_id)
        frames = [
            NewFrame(
                position_ms=0,
                pdq=frame.pdq,
                pdq_quality=None,
                embeddings={} if frame.embedding is None else {space: frame.embedding},
            )
            for frame in self._asker.frames_of(signature)
            if frame.pdq is not None or frame.embedding is not None
        ]
        return self._banked(bank, NewItem(ItemKind.SIGNATURE, frames, labels=options.labels), request)

    def _banked(self, bank: str, item: NewItem, request: Idempotency | None) -> Added:
        """Written, and in the views of this process before anyone is told."""
        added = self._catalog.add_item(bank, item, request)
        self._views.follow()
        return added

    def _frame(self, frame: DecodedFrame, embeddings: Mapping[SpaceId, Embeddings], tiling: Tiling) -> NewFrame:
        return NewFrame(
            position_ms=frame.position_ms,
            pdq=frame.pdq,
            pdq_quality=frame.pdq_quality,
            embeddings=embeddings,
            low_information=frame.low_information,
            features=kept_features(frame.pixels) if self._keep_features and not frame.low_information else None,
            tiling=tiling,
        )


def _item(media: Media, options: AddOptions, frames: Sequence[NewFrame]) -> NewItem:
    return NewItem(
        kind=_KIND[media.kind],
        frames=frames,
        labels=options.labels,
        sha256=media.sha256,
        media_format=media.format,
        duration_ms=media.duration_ms,
        forced=options.force,
    )


def _idempotency(bank: str, options: AddOptions, digest: str) -> Idempotency | None:
    """Everything that decides what is banked is in the digest; how it was packed for sending is not."""
    if options.idempotency_key is None:
        return None
    labels: Mapping[str, object] = dict(options.labels)
    rest = json.dumps([digest, labels, options.force], sort_keys=True)
    whose = actor().participant  # two participants may well choose the same Idempotency-Key
    return Idempotency(
        key=options.idempotency_key,
        scope=f"POST /v1/banks/{bank}/items" + (f" by {whose}" if whose else ""),
        request_digest=hashlib.sha256(rest.encode()).hexdigest(),
    )
