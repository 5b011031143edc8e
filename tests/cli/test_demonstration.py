"""The demo: its edits, its bookkeeping and its contact sheet."""

import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.demonstration import photographs
from service.demonstration.edits import EDITS, Edit
from service.demonstration.outcomes import Demonstration, Outcome, seen_by_afterimage, seen_by_pdq
from service.demonstration.photographs import (
    KNOWN,
    UNRELATED,
    Photograph,
    known_photographs,
    unrelated_photographs,
)
from service.demonstration.run import demonstrate
from service.demonstration.sheet import write_sheet


def small(photograph: Photograph) -> Photograph:
    with Image.open(io.BytesIO(photograph.data)) as picture:
        picture.thumbnail((200, 200))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
    return Photograph(photograph.name, buffer.getvalue())


@pytest.fixture(scope="module")
def photograph() -> bytes:
    return small(known_photographs()[0]).data


def test_the_photographs_come_with_the_package() -> None:
    assert len(known_photographs()) == len(KNOWN)
    assert len(unrelated_photographs()) == len(UNRELATED)
    assert not set(KNOWN) & set(UNRELATED)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edit_gives_another_jpeg_and_the_same_one_again(edit: Edit, photograph: bytes) -> None:
    edited = edit.apply(photograph, 7)
    assert edited.startswith(b"\xff\xd8\xff")
    assert edited == edit.apply(photograph, 7)
    with Image.open(io.BytesIO(edited)) as picture:
        assert np.asarray(picture.convert("L")).std() > 20


def test_every_edit_does_something_else(photograph: bytes) -> None:
    assert len({edit.apply(photograph, 7) for edit in EDITS}) == len(EDITS) == len({edit.name for edit in EDITS})


class Recaller:
    """Recognises what it was given, byte for byte, and takes the first picture of all for the nearest."""

    def __init__(self) -> None:
        self.banked: dict[str, bytes] = {}

    def bank(self, name: str, data: bytes) -> None:
        self.banked[name] = data

    def nearest(self, data: bytes) -> dict[str, Any]:
        def match(name: str, same: bool) -> dict[str, Any]:  # noqa: FBT001 - a row of the answer
            return {
                "bank": name,
                "band": "exact" if same else "none",
                "perceptual": {"distance": 0 if same else 100, "threshold": 31},
                "semantic": {"score": 1.0 if same else 0.1},
            }

        return {"matches": [match(name, data == known) for name, known in self.banked.items()]}


@pytest.fixture(scope="module")
def shown() -> Demonstration:
    def counted(work: Iterable[Any], total: int) -> Iterable[Any]:
        assert total == 2 * len(EDITS)
        return work

    originals = [small(photograph) for photograph in known_photographs()[:2]]
    return demonstrate(Recaller(), originals, unrelated_photographs()[:3], counted)


def test_every_photograph_is_edited_in_every_way(shown: Demonstration) -> None:
    assert len(shown.outcomes) == len(shown.originals) * len(EDITS)
    assert [outcome.edit for outcome in shown.of_photograph("astronaut")] == [edit.name for edit in EDITS]
    assert [outcome.photograph for outcome in shown.of_edit("cropped")] == list(shown.originals)


def test_an_upload_is_judged_by_its_own_original(shown: Demonstration) -> None:
    assert seen_by_pdq(shown.outcomes) == seen_by_afterimage(shown.outcomes) == 0
    assert {outcome.distance for outcome in shown.outcomes} == {100}
    assert {outcome.score for outcome in shown.unrelated} == {0.1}


def outcome(distance: int | None, band: str) -> Outcome:
    return Outcome("coffee", "cropped", b"", distance, 31, 0.5, band)


def test_the_threshold_itself_counts_and_every_band_but_none() -> None:
    assert [outcome(distance, "none").pdq_sees_it for distance in (31, 32, None)] == [True, False, False]
    bands = ("exact", "variant", "related", "none")
    assert [outcome(100, band).afterimage_sees_it for band in bands] == [True, True, True, False]


def test_the_sheet_is_a_picture_with_a_column_for_every_edit(shown: Demonstration, tmp_path: Path) -> None:
    write_sheet(shown, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 160 * (len(EDITS) + 1)


def test_the_demo_leaves_the_catalog_of_the_settings_alone(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AFTERIMAGE_CATALOG", f"sqlite:///{tmp_path / 'mine.db'}")
    monkeypatch.setattr(photographs, "KNOWN", KNOWN[:1])
    monkeypatch.setattr(photographs, "UNRELATED", UNRELATED[:1])
    ended = run("demo", "-o", tmp_path / "shown" / "sheet.png")
    assert ended.code == 0
    assert (tmp_path / "shown" / "sheet.png").exists()
    assert not (tmp_path / "mine.db").exists()
    assert "Who recognises an edited re-upload?" in ended.out
    told = re.search(r"Afterimage (\d+) \((\d+) as exact or variant; (\d+) only as related", ended.out)
    assert told is not None
    seen, certain, related = map(int, told.groups())
    assert seen == certain + related > 0
