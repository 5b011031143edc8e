"""
Where a list goes on.

A cursor is opaque to its holder and says which list it belongs to, so that one list's cursor does not page
another. Position by key, not by count: nothing is skipped or repeated when rows come and go between pages.
"""

import base64
import binascii
import json

from index.errors import BadCursor


def cursor_for(kind: str, position: str | int) -> str:
    text = json.dumps([kind, position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def text_position(cursor: str, kind: str) -> str:
    position = _position(cursor, kind)
    if not isinstance(position, str):
        raise _bad()
    try:
        position.encode()
    except UnicodeEncodeError:  # half a character: JSON can write it, a database cannot read it
        raise _bad() from None
    return position


def number_position(cursor: str, kind: str) -> int:
    position = _position(cursor, kind)
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < 2**63:
        raise _bad()
    return position


def _position(cursor: str, kind: str) -> object:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found_kind, position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeError, binascii.Error, ValueError, TypeError, RecursionError):
        raise _bad() from None
    if found_kind != kind:
        raise _bad()
    return position


def _bad() -> BadCursor:
    return BadCursor("The cursor is not one of this list; start again without it.")
