"""Closer looks in an evaluation: fitted on some pictures, measured on others, located truly."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.embedder import Embedder
from models.evaluation import tables
from models.evaluation.edits.registry import named
from models.evaluation.errors import TooFewPictures
from models.evaluation.locating import corner_error, locating, true_quad
from models.evaluation.run import EvaluationOptions, evaluate
from models.evaluation.verification_parts import WALLS, VerifyingOptions
from models.evaluation.verified import BY_PDQ, BY_SCORE, candidates
from models.evaluation.verifying import fit
from models.features import EXTRACTOR
from models.verification import VerificationRecord

MakeFolder = Callable[..., Path]


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


def blocks(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """Corners everywhere, as the evaluation's smooth pictures have not."""
    dice = np.random.default_rng(seed)
    levels = np.zeros((height, width, 3))
    for cells in (5, 12, 30):
        coarse = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        levels += np.asarray(coarse.resize((width, height), Image.Resampling.NEAREST), dtype=float) / 3
    return Image.fromarray(levels.astype(np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> MakeFolder:
    def make(count: int, name: str, start: int = 0) -> Path:
        made = tmp_path / name
        made.mkdir()
        for seed in range(start, start + count):
            blocks(seed).save(made / f"{seed:03d}.png")
        return made

    return make


def test_a_fitted_record_finds_copies_that_the_descriptor_alone_does_not(
    pictures: MakeFolder, thumbnails: Embedder
) -> None:
    record = fit(
        VerifyingOptions(
            pictures(20, "innocent"), pictures(20, "alike", 100), originals=1, composed=1, edits=0, paged=6
        ),
        thumbnails,
        quiet,
    )
    assert record.embedder_id == "thumbnail"
    assert record.extractor == EXTRACTOR
    assert record.sample.queries == 20 - WALLS
    assert record.weights["agreement"] + record.weights["weight"] > 0
    assert record.related.score <= record.variant.score
    report = evaluate(
        EvaluationOptions(
            photos=pictures(14, "photos", 200),
            originals=3,
            threshold_edits=0,
            edits=("jpeg", "crop_50", "tilt_15"),
            baselines=False,
            rounds=5,
        ),
        [("thumbnail", _with(thumbnails, record))],
        quiet,
    )
    plain, verified, automatic = report.systems
    assert [verified.name, automatic.name] == ["thumbnail + verification", "thumbnail + verification, auto"]
    assert verified.at[0].by_edit["tilt_15"] == 1 > plain.at[0].by_edit["tilt_15"]
    assert verified.micro_ap > plain.micro_ap
    assert 0 <= report.looked[automatic.name]["unknown"] <= 1
    assert "looks closer at" in tables.to_markdown(report)


def _with(embedder: Embedder, record: VerificationRecord) -> Embedder:
    embedder.space = dataclasses.replace(embedder.space, verification=record)  # type: ignore[misc]
    return embedder


def test_too_few_pictures_to_fit_on_are_refused(pictures: MakeFolder, thumbnails: Embedder) -> None:
    with pytest.raises(TooFewPictures):
        fit(VerifyingOptions(pictures(12, "innocent"), pictures(12, "alike", 100)), thumbnails, quiet)


def test_candidates_come_from_the_descriptor_first_and_then_from_pdq() -> None:
    scores = np.linspace(1, 0, 100).astype(np.float32)
    distances = np.full(100, 128, np.int16)
    distances[[3, 70, 80]] = 10
    chosen = candidates(scores, distances)
    assert chosen[:BY_SCORE] == list(range(BY_SCORE))
    assert chosen[BY_SCORE:] == [70, 80]
    assert len(chosen) == BY_SCORE + BY_PDQ - 1, "what both bring is looked at once"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mirror", ((1, 0), (0, 0), (0, 1), (1, 1))),
        ("upside_down", ((1, 1), (0, 1), (0, 0), (1, 0))),
        ("jpeg", ((0, 0), (1, 0), (1, 1), (0, 1))),
        ("blend", ((0, 0), (1, 0), (1, 1), (0, 1))),
    ],
)
def test_an_edit_is_asked_where_it_puts_the_corners(name: str, expected: tuple[tuple[float, float], ...]) -> None:
    (edit,) = named([name])
    quad = true_quad(edit, "some picture", (160, 120), lambda _dice: blocks(5))
    assert quad is not None
    assert np.abs(np.array(quad) - np.array(expected)).max() < 0.02


def test_an_edit_that_bends_lines_has_no_true_corners() -> None:
    (edit,) = named(["swirl"])
    assert true_quad(edit, "some picture", (160, 120), lambda _dice: blocks(5)) is None


def test_corner_errors_are_shares_of_the_width() -> None:
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    lower = ((0.0, 0.1), (1.0, 0.1), (1.0, 1.1), (0.0, 1.1))
    assert corner_error(lower, square, (100, 200)) == pytest.approx(0.05)


def test_copies_are_located_to_a_hundredth_of_the_width(pictures: MakeFolder) -> None:
    rows, everything = locating(pictures(14, "photos"), 1, quiet, edits=("mirror", "letterbox", "swirl"))
    assert [row.edit for row in rows] == ["mirror", "swirl", "letterbox"]
    by_name = {row.edit: row for row in rows}
    for name in ("mirror", "letterbox"):
        assert by_name[name].located == by_name[name].measured == 1
        errors = by_name[name].errors
        assert errors is not None
        assert errors[0] < 0.01
    assert by_name["swirl"].measured == 0
    assert everything.asked == 3
