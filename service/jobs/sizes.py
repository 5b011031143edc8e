"""How large the parts of a job are."""

from collections.abc import Iterator

_FIRST = 2000
_BEFORE_DOUBLING = 100


def part_sizes() -> Iterator[int]:
    """Rows in one part after another: small enough to share and to try again, and never more than a few thousand."""
    size = _FIRST
    while True:
        for _ in range(_BEFORE_DOUBLING):
            yield size
        size *= 2
