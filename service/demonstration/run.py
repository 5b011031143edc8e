"""Banks the photographs, edits them, and asks about every edit."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from service.demonstration.edits import EDITS
from service.demonstration.outcomes import Demonstration, Outcome
from service.demonstration.photographs import Photograph

Json = dict[str, Any]
_SEED = 2019


class Memory(Protocol):
    """What the demonstration needs of a service."""

    def bank(self, name: str, data: bytes) -> None:
        """Puts the picture into a bank of this name."""

    def nearest(self, data: bytes) -> Json:
        """The answer of a match that lists every banked picture, whatever its score."""


Counted = Callable[[Iterable[Any], int], Iterable[Any]]
"""Passes the work on, one by one, and shows how far it is."""


def demonstrate(
    memory: Memory, originals: Sequence[Photograph], unrelated: Sequence[Photograph], counted: Counted
) -> Demonstration:
    """One bank a photograph, so that a match names the original by its bank."""
    for photograph in originals:
        memory.bank(photograph.name, photograph.data)
    uploads = [
        (photograph, edit, _SEED + 100 * row + column)
        for row, photograph in enumerate(originals)
        for column, edit in enumerate(EDITS)
    ]
    return Demonstration(
        originals={photograph.name: photograph.data for photograph in originals},
        edits=tuple(edit.name for edit in EDITS),
        outcomes=tuple(
            _of_edit(memory, photograph, edit.name, edit.apply(photograph.data, seed))
            for photograph, edit, seed in counted(uploads, len(uploads))
        ),
        unrelated=tuple(_of_unrelated(memory, photograph) for photograph in unrelated),
    )


def _of_edit(memory: Memory, photograph: Photograph, edit: str, data: bytes) -> Outcome:
    answer = memory.nearest(data)
    original = [match for match in answer["matches"] if match["bank"] == photograph.name]
    return _outcome(photograph.name, edit, data, original)


def _of_unrelated(memory: Memory, photograph: Photograph) -> Outcome:
    return _outcome(photograph.name, "", photograph.data, memory.nearest(photograph.data)["matches"])


def _outcome(photograph: str, edit: str, data: bytes, matches: list[Json]) -> Outcome:
    hashes = [match["perceptual"] for match in matches if match["perceptual"] is not None]
    scores = [match["semantic"]["score"] for match in matches if match["semantic"] is not None]
    return Outcome(
        photograph=photograph,
        edit=edit,
        data=data,
        distance=min((found["distance"] for found in hashes), default=None),
        distance_threshold=hashes[0]["threshold"] if hashes else 0,
        score=max(scores, default=None),
        band=matches[0]["band"] if matches else "none",
    )
