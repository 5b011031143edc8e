import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.catalog.storage.cursors import cursor_for, number_position, text_position
from index.errors import BadCursor


@settings(deadline=None)
@given(st.text(), st.integers(0, 2**63 - 1))
def test_a_cursor_leads_back_to_its_position(text: str, number: int) -> None:
    assert text_position(cursor_for("banks", text), "banks") == text
    assert number_position(cursor_for("items", number), "items") == number


@settings(deadline=None)
@given(st.text())
def test_any_other_text_is_refused_as_a_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        text_position(text, "banks")


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_any_other_document_is_refused_as_a_cursor(document: object) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
    with pytest.raises(BadCursor):
        number_position(cursor, "items")


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(BadCursor):
        number_position(cursor_for("items of 1", 5), "items of 2")


def test_half_a_character_is_refused_before_a_database_sees_it() -> None:
    with pytest.raises(BadCursor):
        text_position(cursor_for("banks", "\ud800"), "banks")


@pytest.mark.parametrize("position", [-1, 2**63, True, 1.5, "5"])
def test_a_position_that_no_row_can_have_is_refused(position: object) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(["items", position]).encode()).decode().rstrip("=")
    with pytest.raises(BadCursor):
        number_position(cursor, "items")
