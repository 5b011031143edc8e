"""`match --explain`: why, as a picture."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Run = Callable[..., Any]
Flags = tuple[str, str]

SAMPLES = Path(str(files("service") / "samples"))


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    """A part of the photograph that comes with the program."""
    path = tmp_path / "crop.png"
    with Image.open(SAMPLES / "known.jpg") as picture:
        width, height = picture.size
        picture.crop((width // 5, height // 6, width * 4 // 5, height * 5 // 6)).save(path)
    return path


@pytest.fixture
def another(tmp_path: Path, write_png: Callable[[Path, int], Path]) -> Path:
    return write_png(tmp_path / "another.png", 5)


def test_a_match_is_drawn_beside_its_original(run: Run, place: Flags, bank: str, crop: Path, tmp_path: Path) -> None:
    run("bank", "add", bank, SAMPLES / "known.jpg", *place)
    out = tmp_path / "why.png"
    ended = run("match", crop, "--bank", bank, "--explain", out, *place)
    assert ended.code == 0, ended.err
    assert "yes, cropped" in ended.out
    with Image.open(out) as picture:
        assert (picture.format, picture.width > 1000) == ("PNG", True)
    told = json.loads(run("match", crop, "--bank", bank, "--explain", out, "--json", *place).out)
    assert told["answer"]["explanation"]["image"] == str(out)


def test_there_is_nothing_to_draw_where_nothing_is_found(
    run: Run, place: Flags, bank: str, crop: Path, another: Path
) -> None:
    run("bank", "add", bank, another, *place)
    out = crop.with_name("why.png")
    ended = run("match", crop, "--bank", bank, "--explain", out, *place)
    assert ended.code == 1
    assert "nothing is drawn" in ended.err
    assert not out.exists()


def test_one_picture_is_explained_at_a_time(run: Run, place: Flags, crop: Path, tmp_path: Path) -> None:
    ended = run("match", crop, crop.parent, "--explain", tmp_path / "why.png", *place)
    assert ended.code == 2
    assert "name one picture to explain" in ended.err
