"""The explanation of an answer: what was found in the upload, drawn beside its originals."""

import base64
import math
from collections.abc import Sequence

from models.errors import MediaError
from models.geometry import Location
from models.media.sandbox import Decoder
from models.media.types import Frame
from service.errors import OriginalMissing, OriginalsUnavailable
from service.matching.answering import positions, query_frame
from service.matching.edits import named_edits
from service.matching.evidence import Query
from service.matching.explaining import MOST_ROWS, Shown, draw_explanation
from service.matching.policy import Judged, Look
from service.originals import OriginalStore
from service.schemas import Explanation


class Explainer:
    """Safe from any thread."""

    def __init__(self, originals: OriginalStore, decoder: Decoder) -> None:
        self._originals = originals
        self._decoder = decoder

    def explanation(self, query: Query, matches: Sequence[Judged], deadline: float | None) -> Explanation | None:
        """
        What the upload shows of the originals that were found in it; None where none was.

        Where none convinced, the best that was found is drawn and said to be no proof.

        Raises:
            DeadlinePassed, DecoderClosed: no time or no decoder is left to read the originals.
        """
        shown: list[Shown] = []
        missing: list[str] = []
        for match, look, location in _told(matches):
            original = self._original(match, query, deadline)
            shown.append(_shown(match, look, location, (query.frames[query_frame(match, query)], original)))
            if original is None:
                missing.append(match.item.item_id)
        if not shown:
            return None
        picture = base64.b64encode(draw_explanation(shown)).decode()
        return Explanation(
            image=f"data:image/png;base64,{picture}",
            item_ids=[each.item_id for each in shown],
            missing_originals=missing,
            unverified=[each.item_id for each in shown if not each.proven],
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


def _told(matches: Sequence[Judged]) -> list[tuple[Judged, Look, Location]]:
    """What is drawn: what is verified, or else what came nearest to it."""
    found = [
        (match, match.look, match.look.location)
        for match in matches
        if match.look is not None and match.look.location is not None
    ]
    proven = [each for each in found if each[1].confirmed]
    nearest = sorted(found, key=lambda each: each[1].probability or 0.0, reverse=True)
    return proven[:MOST_ROWS] or nearest[:1]


def _shown(match: Judged, look: Look, location: Location, pictures: tuple[Frame, Frame | None]) -> Shown:
    upload, original = pictures
    edits = [edit.value for edit in named_edits(location, upload)]
    facts = [f"{location.inliers} places agree", f"{_percent(location.coverage)} of the original is seen"]
    if edits.count("rotated"):
        way = "clockwise" if location.rotation_deg > 0 else "anticlockwise"
        facts.append(f"turned by {abs(location.rotation_deg):.0f}° {way}")
    if match.semantic is not None:
        facts.append(f"score {match.semantic.hit.score:.2f}")
    if match.perceptual is not None:
        facts.append(f"PDQ distance {match.perceptual.distance}")
    kind = _article(", ".join(edits))
    return Shown(
        item_id=match.item.item_id,
        upload=upload,
        original=original,
        original_size=_size(location, upload) if original is None else (original.shape[1], original.shape[0]),
        location=location,
        title=f"Bank “{match.item.bank}”: {kind} copy" if look.confirmed else "Found, but not shown to be a copy",
        facts=facts if look.confirmed else [facts[0], *_why_not(look, location)],
        proven=look.confirmed,
    )


def _why_not(look: Look, location: Location) -> list[str]:
    """What was found and is missing, in a few words each."""
    facts = [f"{_percent(location.agreement)} of it looks the same, {_percent(location.disputed)} shows something else"]
    if look.probability is not None and look.needed is not None:
        facts.append(f"probability {look.probability:.2f}, {look.needed:.2f} is needed")
    return facts


def _article(words: str) -> str:
    return f"{'an' if words.startswith('i') else 'a'} {words}".strip()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _size(location: Location, upload: Frame) -> tuple[int, int]:
    """Of an original that is gone, in proportion: as long as its sides are where it lies in the upload."""
    height, width = upload.shape[:2]
    (left, top), across, _, down = ((x * width, y * height) for x, y in location.query_quad)
    return max(1, round(math.dist((left, top), across))), max(1, round(math.dist((left, top), down)))
