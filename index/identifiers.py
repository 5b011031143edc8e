"""
How an item is named.

An item id is 28 hex digits: 12 of the item's key (the number of the change that added it, so ids sort by age)
and 16 random ones (so that ids of two catalogs never meet). Views keep the two numbers instead of the text, and
go from a row to its item and back without a table.
"""

import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.records.incidents import IncidentId
from index.records.items import ItemId

_KEY_DIGITS = 12
_TAG_DIGITS = 16


def new_item_id(item_key: int) -> ItemId:
    return ItemId(f"{item_key:0{_KEY_DIGITS}x}{secrets.token_hex(_TAG_DIGITS // 2)}")


def new_incident_id(incident_key: int) -> IncidentId:
    return IncidentId(new_item_id(incident_key))


def item_id_of(item_key: int, tag: int) -> ItemId:
    return ItemId(f"{item_key:0{_KEY_DIGITS}x}{tag:0{_TAG_DIGITS}x}")


def item_key_of(item_id: ItemId) -> int | None:
    """The key inside the id; None when it is no id of ours."""
    if len(item_id) != _KEY_DIGITS + _TAG_DIGITS or not set(item_id) <= set("0123456789abcdef"):
        return None
    return int(item_id[:_KEY_DIGITS], 16)


def tags_of(item_ids: Sequence[str]) -> NDArray[np.uint64]:
    """The random halves of many ids of ours at once."""
    numbers = np.frombuffer(bytes.fromhex("".join(item_ids)), np.uint8).reshape(-1, (_KEY_DIGITS + _TAG_DIGITS) // 2)
    tags = np.ascontiguousarray(numbers[:, _KEY_DIGITS // 2 :])
    return tags.view(">u8").astype(np.uint64).reshape(len(item_ids))
