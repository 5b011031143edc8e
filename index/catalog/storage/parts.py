"""Numbers in parts, of which a statement takes one."""

from collections.abc import Iterable, Iterator
from typing import Final

_AT_ONCE: Final = 5_000


def in_parts(keys: Iterable[int]) -> Iterator[list[int]]:
    """Ascending."""
    ascending = sorted(keys)
    return (ascending[start : start + _AT_ONCE] for start in range(0, len(ascending), _AT_ONCE))
