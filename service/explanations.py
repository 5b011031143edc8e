"""The explanation of an answer: the best verified matches, drawn beside their originals."""

import base64
import math
from collections.abc import Sequence

from models.errors import MediaError
from models.geometry import Location
from models.media.sandbox import Decoder
from models.media.types import Frame
from service.answering import positions, query_frame
from service.edits import named_edits
from service.errors import OriginalMissing, OriginalsUnavailable
from service.evidence import Query
from service.explaining import MOST_ROWS, Shown, draw_explanation
from service.originals import OriginalStore
from service.policy import Judged
from service.schemas import Explanation


class Explainer:
    """Safe from any thread."""

    def __init__(self, originals: OriginalStore, decoder: Decoder) -> None:
        self._originals = originals
        self._decoder = decoder

    def explanation(self, query: Query, matches: Sequence[Judged], deadline: float | None) -> Explanation | None:
        """
        What the upload shows of the originals that were found in it; None where none was.

        Raises:
            DeadlinePassed, DecoderClosed: no time or no decoder is left to read the originals.
        """
        shown: list[Shown] = []
        missing: list[str] = []
        for match in matches:
            if match.look is None or match.look.location is None or not match.look.confirmed:
                continue
            original = self._original(match, query, deadline)
            shown.append(_shown(match, match.look.location, query, original))
            if original is None:
                missing.append(match.item.item_id)
            if len(shown) == MOST_ROWS:
                break
        if not shown:
            return None
        picture = base64.b64encode(draw_explanation(shown)).decode()
        return Explanation(
            image=f"data:image/png;base64,{picture}",
            item_ids=[each.item_id for each in shown],
            missing_originals=missing,
        )

    def _original(self, match: Judged, query: Query, deadline: float | None) -> Frame | None:
        """The frame of the original that the evidence lies in; None where it is not kept or cannot be read."""
        if match.item.sha256 is None:
            return None
        try:
            media = self._decoder.decode(self._originals.get(match.item.sha256), deadline)
        except (OriginalMissing, OriginalsUnavailable, MediaError):
            return None
        position_ms = positions(match, query)[1]
        return next(
            (frame.pixels for frame in media.frames if frame.position_ms == position_ms), media.frames[0].pixels
        )


def _shown(match: Judged, location: Location, query: Query, original: Frame | None) -> Shown:
    upload = query.frames[query_frame(match, query)]
    edits = [edit.value for edit in named_edits(location, upload)]
    facts = [f"{location.inliers} places agree", f"{_percent(location.coverage)} of the original is seen"]
    if edits.count("rotated"):
        way = "clockwise" if location.rotation_deg > 0 else "anticlockwise"
        facts.append(f"turned by {abs(location.rotation_deg):.0f}° {way}")
    if match.semantic is not None:
        facts.append(f"score {match.semantic.hit.score:.2f}")
    if match.perceptual is not None:
        facts.append(f"PDQ distance {match.perceptual.distance}")
    return Shown(
        item_id=match.item.item_id,
        upload=upload,
        original=original,
        original_size=_size(location, upload) if original is None else (original.shape[1], original.shape[0]),
        location=location,
        title=f"Bank “{match.item.bank}”: {_article(', '.join(edits))} copy",
        facts=facts,
    )


def _article(words: str) -> str:
    return f"{'an' if words.startswith('i') else 'a'} {words}".strip()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _size(location: Location, upload: Frame) -> tuple[int, int]:
    """Of an original that is gone, in proportion: as long as its sides are where it lies in the upload."""
    height, width = upload.shape[:2]
    (left, top), across, _, down = ((x * width, y * height) for x, y in location.query_quad)
    return max(1, round(math.dist((left, top), across))), max(1, round(math.dist((left, top), down)))
