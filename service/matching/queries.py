"""From media, or from what others made of it, to the rows that the views are asked about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from index.errors import SpaceMismatch
from index.records.rows import Embeddings, PdqRows
from index.records.spaces import SpaceId
from models.errors import BadHash
from models.media.types import Frame, Media
from models.perceptual import PDQ_BYTES, pdq_from_hex
from service.errors import Fault, InvalidEmbedding, InvalidField, InvalidHash
from service.matching.evidence import HashRows, Query, SpaceRows
from service.matching.policy import Thresholds
from service.schemas import MediaFacts
from service.spaces.space_set import LiveSpaces, Records, ServedSpace, SpaceSet

_NORM_TOLERANCE = 1e-2
"""Writing an embedding in float16 or in a few decimals moves its norm by less than this."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Frames of media that stayed elsewhere: embeddings of one space, PDQ in hex; the i-th of both are of one frame."""

    embedder_id: str
    embeddings: Sequence[Sequence[float]]
    pdq: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class SignatureFrame:
    """One of its frames, checked."""

    embedding: Embeddings | None
    """Shape (1, dim)."""
    pdq: bytes | None


@dataclass(frozen=True, slots=True)
class DefaultThresholds:
    """Where the bands begin in a space that nobody has calibrated."""

    variant: float
    related: float


class Asker:
    """
    Makes queries for the spaces that answer; safe from any thread.

    Args:
        spaces: what is open.
        records: the spaces of the catalog as they are now.
        defaults: for spaces that nobody has calibrated.
    """

    def __init__(self, spaces: LiveSpaces, records: Callable[[], Records], defaults: DefaultThresholds) -> None:
        self._spaces = spaces
        self._records = records
        self._defaults = defaults

    @property
    def current(self) -> SpaceSet:
        """
        The spaces as they are now.

        Raises:
            NotReady: the one that answers is not open here yet.
        """
        return self._spaces.at(self._records())

    def is_of(self, query: Query, records: Records) -> bool:
        """Whether the query was made for the spaces that answer at that version of the catalog."""
        return query.asked.ids == self._spaces.at(records).ids

    def about_media(self, media: Media, deadline: float | None) -> Query:
        """
        Raises:
            EmbeddingError: the queue is full, time ran out, or the model failed on it.
            NotReady: the space that answers is not open here yet.
        """
        with self._spaces.using(self._records()) as current:
            return self.about_media_in(current, media, deadline)

    def about_media_in(self, spaces: SpaceSet, media: Media, deadline: float | None) -> Query:
        """The same, in spaces that the caller has taken."""
        frames = [frame for frame in media.frames if not frame.low_information]
        pixels = [frame.pixels for frame in frames]
        rows_in: dict[SpaceId, SpaceRows] = {}
        if frames:
            for served in spaces.asked:
                views = served.batcher.embed_queries(pixels, deadline)
                positions = [frame.position_ms for frame, rows in zip(frames, views, strict=True) for _ in rows]
                numbers = tuple(number for number, rows in enumerate(views) for _ in rows)
                rows_in[served.id] = replace(self._rows(served, np.concatenate(views), positions), frames=numbers)
        facts = MediaFacts(
            kind=media.kind,
            frames=len(media.frames),
            duration_ms=media.duration_ms,
            sha256=media.sha256,
            low_information=media.low_information,
        )
        hashes = HashRows(
            hashes=_pdq_rows([frame.pdq for frame in frames]),
            positions_ms=tuple(frame.position_ms for frame in frames),
            qualities=tuple(frame.pdq_quality for frame in frames),
        )
        return Query(facts, rows_in, hashes, _calibrated(spaces.asked), spaces, tuple(pixels))

    def references(
        self, frames: Sequence[Frame], parts: Sequence[Sequence[Frame]], deadline: float | None
    ) -> dict[SpaceId, list[Embeddings]]:
        """
        The embeddings of frames that are to be banked, and of parts of each, in every space that new items are written
        to.

        Raises:
            EmbeddingError, NotReady: as `about_media`.
        """
        with self._spaces.using(self._records()) as current:
            return {served.id: served.batcher.embed_references(frames, deadline, parts) for served in current.written}

    def about_signature(self, signature: Signature) -> Query:
        """
        Raises:
            SpaceMismatch, InvalidEmbedding, InvalidHash, InvalidField: it is not what it is said to be.
        """
        current = self.current
        frames = self._frames_of(signature, current.asked)
        embeddings = [frame.embedding for frame in frames if frame.embedding is not None]
        spaces: dict[SpaceId, SpaceRows] = {}
        calibrated = _calibrated(current.asked)
        if embeddings:
            served = _served(signature.embedder_id, current.asked)
            numbers = tuple(number for number, frame in enumerate(frames) if frame.embedding is not None)
            rows = self._rows(served, np.concatenate(embeddings), [0] * len(embeddings))
            spaces[served.id] = replace(rows, frames=numbers)
            calibrated = _calibrated([served])
        pdq = [frame.pdq for frame in frames if frame.pdq is not None]
        hashed = tuple(number for number, frame in enumerate(frames) if frame.pdq is not None)
        hashes = HashRows(_pdq_rows(pdq), (0,) * len(pdq), (None,) * len(pdq), hashed)
        facts = MediaFacts(kind="signature", frames=len(frames), duration_ms=None, sha256=None, low_information=False)
        return Query(facts, spaces, hashes, calibrated, current)

    def frames_of(self, signature: Signature) -> list[SignatureFrame]:
        """
        Of a signature that is to be banked, in any space that new items are written to.

        Raises:
            SpaceMismatch, InvalidEmbedding, InvalidHash, InvalidField: it is not what it is said to be.
        """
        return self._frames_of(signature, self.current.written)

    def _frames_of(self, signature: Signature, spaces: Sequence[ServedSpace]) -> list[SignatureFrame]:
        rows: list[Embeddings] = []
        if signature.embeddings:
            served = _served(signature.embedder_id, spaces)
            rows = [_row(i, values, served.space.dim) for i, values in enumerate(signature.embeddings)]
        hashes = [None if text is None else _hash(i, text) for i, text in enumerate(signature.pdq)]
        if rows and hashes and len(rows) != len(hashes):
            raise InvalidField(
                "There are as many hashes as embeddings, or none.",
                [Fault("/pdq", f"{len(hashes)} hashes for {len(rows)} embeddings")],
            )
        frames = max(len(rows), len(hashes))
        return [SignatureFrame(rows[i] if rows else None, hashes[i] if hashes else None) for i in range(frames)]

    def _rows(self, served: ServedSpace, embeddings: Embeddings, positions_ms: Sequence[int]) -> SpaceRows:
        calibration = served.space.calibration
        if calibration is None:
            thresholds = (Thresholds(self._defaults.variant, self._defaults.related),) * len(embeddings)
        else:
            thresholds = tuple(
                Thresholds(float(variant), float(related), calibration)
                for variant, related in calibration.thresholds_for(embeddings)
            )
        return SpaceRows(embeddings, tuple(positions_ms), thresholds)


def _served(embedder_id: str, spaces: Sequence[ServedSpace]) -> ServedSpace:
    """
    Raises:
        SpaceMismatch: it is none of these.
    """
    for served in spaces:
        if served.space.embedder_id == embedder_id:
            return served
    names = ", ".join(served.space.embedder_id for served in spaces)
    raise SpaceMismatch(f"The embeddings are of another space. Served here: {names}.")


def _calibrated(spaces: Sequence[ServedSpace]) -> bool:
    return all(served.space.calibration is not None for served in spaces)


def _pdq_rows(hashes: Sequence[bytes]) -> PdqRows:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, PDQ_BYTES)


def _hash(i: int, text: str) -> bytes:
    try:
        return pdq_from_hex(text)
    except BadHash as error:
        raise InvalidHash(str(error), [Fault(f"/pdq/{i}", "not 64 hexadecimal digits")]) from None


def _row(i: int, values: Sequence[float], dim: int) -> Embeddings:
    """One embedding of someone else's making; its small deviation from norm 1 is mended, a large one is not."""
    row = np.asarray(values, np.float64)
    with np.errstate(all="ignore"):
        norm = float(np.linalg.norm(row))
    if len(row) != dim:
        reason = f"{len(row)} numbers; this space has {dim}"
    elif not np.isfinite(row).all():
        reason = "not finite throughout"
    elif not abs(norm - 1.0) <= _NORM_TOLERANCE:
        reason = "not of norm 1"
    else:
        return (row / norm).astype(np.float32)[np.newaxis]
    raise InvalidEmbedding("An embedding is not one of this space.", [Fault(f"/embeddings/{i}", reason)])
