"""Calibration records: what they say, how they are made, and what is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.calibration import BadCalibration, CalibrationRecord, Growth, Normalisation, Sample, Threshold
from models.embedder import EmbedderId, Embeddings, Space
from models.evaluation import queries
from models.evaluation.calibrating import (
    Calibrated,
    CalibrationOptions,
    Innocent,
    calibrate,
    calibrate_on_traffic,
    measured,
    read_scenes,
    save,
)
from models.evaluation.errors import TooFewPictures, UnknownPicture
from models.evaluation.pictures import Picture
from models.media.types import Frame


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def record(normalisation: Normalisation | None = None) -> CalibrationRecord:
    return CalibrationRecord(
        "space-1",
        "2026-11-22",
        Sample(pictures=100, queries=1000, bank_frames=500),
        Threshold(0.7, 0.0001, 0.0005),
        Threshold(0.5, 0.01, 0.02),
        normalisation,
        (Growth(250, 0.0, 0.006), Growth(500, 0.0001, 0.01)),
    )


def test_without_normalisation_every_query_has_the_same_thresholds() -> None:
    thresholds = record().thresholds_for(np.eye(3, dtype=np.float32))
    assert thresholds.shape == (3, 2)
    assert np.allclose(thresholds, [[0.7, 0.5]])


def test_normalisation_raises_the_thresholds_of_queries_that_are_like_everything() -> None:
    background = unit(np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0]], dtype=np.float32))
    made = record(Normalisation(beta=0.5, neighbours=2, background=background))
    common, rare = made.thresholds_for(np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32))
    nearest = np.sort(background[:, 0])[-2:].mean()
    assert common[0] == pytest.approx(0.7 + 0.5 * nearest, abs=1e-5)
    assert rare.tolist() == pytest.approx([0.7, 0.5])


def test_normalisation_counts_the_whole_background_where_it_is_small() -> None:
    made = Normalisation(beta=1, neighbours=10, background=np.eye(2, dtype=np.float32))
    assert made.shares(np.array([[1, 0]], dtype=np.float32)).tolist() == [0.5]


def test_a_record_that_was_saved_is_the_one_that_is_read(tmp_path: Path) -> None:
    background = unit(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32))
    made = record(Normalisation(1.0, 3, background))
    save(made, tmp_path / "calibration.json")
    read = CalibrationRecord.load(tmp_path / "calibration.json")
    assert read.normalisation is not None
    assert read.to_json() == made.to_json() | {
        "normalisation": {"beta": 1.0, "neighbours": 3, "background": "calibration.background.safetensors"}
    }
    assert np.allclose(read.normalisation.background, background, atol=1e-3)
    queries = unit(np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32))
    assert np.allclose(read.thresholds_for(queries), made.thresholds_for(queries), atol=2e-3)


def test_the_rate_grows_with_the_bank() -> None:
    made = record()
    assert made.expected_fpr(made.related, 500) == pytest.approx(0.01)
    assert made.expected_fpr(made.related, 1000) == pytest.approx(1 - 0.99**2)
    assert made.expected_fpr(made.related, 10**9) == pytest.approx(1)
    assert made.expected_fpr(made.related, 1) == 1 / (made.sample.queries + 1), "the sample cannot tell less"
    assert made.expected_fpr(Threshold(0.1, 1.0, 1.0), 5) == 1


@pytest.mark.parametrize(
    "damage", ["not json", "[]", '{"format": 1}', '{"format": 2}', '{"format": 1, "embedder_id": "x", "created": "y"}']
)
def test_a_damaged_record_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(damage)
    with pytest.raises(BadCalibration):
        CalibrationRecord.load(path)


def test_a_record_without_its_background_is_refused(tmp_path: Path) -> None:
    save(record(Normalisation(1.0, 3, np.eye(2, dtype=np.float32))), tmp_path / "calibration.json")
    (tmp_path / "calibration.background.safetensors").unlink()
    with pytest.raises(BadCalibration):
        CalibrationRecord.load(tmp_path / "calibration.json")


def test_records_of_two_spaces_keep_their_backgrounds_apart(tmp_path: Path) -> None:
    for place, name in enumerate(("one", "two")):
        background = np.roll(np.eye(2, dtype=np.float32), place, axis=0)[:1]
        save(record(Normalisation(1.0, 1, background)), tmp_path / f"{name}.json")
    kept = [CalibrationRecord.load(tmp_path / f"{name}.json").normalisation for name in ("one", "two")]
    assert [part.background.tolist() for part in kept if part] == [[[1, 0]], [[0, 1]]]


def test_a_background_is_only_ever_read_from_beside_the_record(tmp_path: Path) -> None:
    told = record(Normalisation(1.0, 3, np.eye(2, dtype=np.float32))).to_json()
    told["normalisation"]["background"] = "../../elsewhere.safetensors"
    (tmp_path / "calibration.json").write_text(json.dumps(told))
    with pytest.raises(BadCalibration):
        CalibrationRecord.load(tmp_path / "calibration.json")


def test_thresholds_are_those_of_a_case_worked_by_hand() -> None:
    # A bank of one; 200 queries at cosines 0.000, 0.005, …, 0.995. One of them reaches the 1 % threshold, so that
    # two in 201 are to be expected to.
    cosines = np.arange(200) / 200
    rows = [np.array([[cosine, np.sqrt(1 - cosine**2)]], dtype=np.float32) for cosine in cosines]
    nothing = np.zeros((0, 2), dtype=np.float32)
    part = Innocent(rows, np.arange(200), [np.array([[1, 0]], dtype=np.float32)], nothing, np.zeros(0, dtype=np.int64))
    made = measured("space-1", [part], beta=0, neighbours=3)
    assert made.sample == Sample(200, 200, 1)
    assert 0.99 < made.related.score < 0.995
    assert made.related.fpr == 2 / 201
    # One in ten thousand is more than 200 queries can say: above all of them, and said so.
    assert made.variant.score > 0.995
    assert made.variant.fpr == 1 / 201
    assert made.variant.fpr_upper95 == pytest.approx(3 / 200, rel=0.02)
    assert made.normalisation is None


def test_growth_is_measured_against_parts_of_the_bank() -> None:
    dice = np.random.default_rng(0)
    rows = [unit(dice.standard_normal((1, 8)).astype(np.float32)) for _ in range(300)]
    bank = [unit(dice.standard_normal((1, 8)).astype(np.float32)) for _ in range(64)]
    own = np.zeros((0, 8), dtype=np.float32)
    made = measured("space-1", [Innocent(rows, np.arange(300), bank, own, np.zeros(0, dtype=np.int64))], 0, 3)
    assert [size.bank_frames for size in made.growth] == [8, 16, 32, 64]
    rates = [size.related_fpr for size in made.growth]
    assert rates == sorted(rates)
    assert rates[-1] == 2 / 300
    assert made.related.fpr == 3 / 301


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(TooFewPictures):
        measured("space-1", [], 0, 3)


def test_recorded_traffic_gives_a_record_with_the_background_of_the_space() -> None:
    dice = np.random.default_rng(0)
    rows = unit(dice.standard_normal((60, 8)).astype(np.float32))
    background = unit(dice.standard_normal((9, 8)).astype(np.float32))
    uploads, owners = np.split(rows[:40], 40), np.arange(40)
    made = calibrate_on_traffic("space-1", uploads, owners, rows[40:], Normalisation(0.5, 3, background))
    assert made.sample == Sample(pictures=40, queries=40, bank_frames=20)
    assert made.normalisation is not None
    assert np.array_equal(made.normalisation.background, background)
    plain = calibrate_on_traffic("space-1", uploads, owners // 2, rows[40:], None)
    assert plain.sample == Sample(pictures=20, queries=40, bank_frames=20)
    assert plain.normalisation is None
    assert plain.variant.score > made.variant.score
    with pytest.raises(TooFewPictures):
        calibrate_on_traffic("space-1", uploads[:3], owners[:3], rows[40:], None)


class PatchEmbedder:
    """Rows that are tiny thumbnails."""

    def __init__(self) -> None:
        self.space = Space(EmbedderId("patch"), "patch", 108, 6, None)
        self.device = "cpu"
        self.degraded = False

    def reference_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def query_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def prepare(self, view: Frame) -> NDArray[np.float32]:
        return np.asarray(Image.fromarray(view).resize((6, 6)), dtype=np.float32).reshape(-1) - 127

    def embed(self, batch: Sequence[NDArray[np.float32]]) -> Embeddings:
        return unit(np.stack(batch) + 1e-3)

    def close(self) -> None:
        pass


def noise(folder: Path, count: int) -> Path:
    folder.mkdir()
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 80), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


def test_calibration_on_a_folder_gives_thresholds_in_order(tmp_path: Path) -> None:
    made = calibrate(
        CalibrationOptions(noise(tmp_path / "photos", 24), edits=2, beta=0.5), PatchEmbedder(), quiet
    ).record
    assert made.embedder_id == "patch"
    assert made.sample == Sample(pictures=24, queries=72, bank_frames=12)
    assert made.related.score <= made.variant.score
    assert made.normalisation is not None
    assert made.normalisation.background.shape == (12, 108)


@pytest.mark.parametrize("count", [0, 10])
def test_too_few_photographs_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(TooFewPictures, match=f"{count} distinct"):
        calibrate(CalibrationOptions(noise(tmp_path / "photos", count)), PatchEmbedder(), quiet)


def test_two_shots_of_one_scene_do_not_raise_the_thresholds(tmp_path: Path) -> None:
    folder = noise(tmp_path / "photos", 24)
    scene, moment = np.random.default_rng(99).integers(0, 256, (2, 5, 6, 3))
    for name, share in (("first.png", 1.0), ("second.png", 0.6)):
        pixels = (share * scene + (1 - share) * moment).astype(np.uint8)
        Image.fromarray(pixels).resize((96, 80), Image.Resampling.BICUBIC).save(folder / name)
    pair = frozenset({"first.png", "second.png"})

    def made(seed: int, scenes: tuple[frozenset[str], ...]) -> Calibrated:
        return calibrate(CalibrationOptions(folder, edits=2, same_scene=scenes, seed=seed), PatchEmbedder(), quiet)

    parted = max((made(seed, ()) for seed in range(4)), key=lambda one: one.record.variant.score)
    together = made(0, (pair,))
    assert {parted.nearest[0].one, parted.nearest[0].other} == pair
    assert together.record.variant.score < parted.record.variant.score
    assert together.record.sample.same_scene == 2
    assert all({near.one, near.other} != pair for near in together.nearest)


def test_no_query_borrows_a_picture_that_it_is_held_against(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lenders: list[set[str]] = []
    askers: list[set[str]] = []
    lender, ask_some = queries.lender, queries.ask_some

    def lending(pictures: Sequence[Picture]) -> queries.Lender:
        lenders.append({picture.name for picture in pictures})
        return lender(pictures)

    def asking(pictures: Sequence[Picture], *given: Any, **named: Any) -> queries.Queries:
        askers.append({picture.name for picture in pictures})
        return ask_some(pictures, *given, **named)

    monkeypatch.setattr(queries, "lender", lending)
    monkeypatch.setattr(queries, "ask_some", asking)
    calibrate(CalibrationOptions(noise(tmp_path / "photos", 24), edits=2), PatchEmbedder(), quiet)
    assert lenders == askers
    assert len(lenders) == 2
    assert not lenders[0] & lenders[1]


def test_a_scene_of_pictures_that_are_not_there_is_refused(tmp_path: Path) -> None:
    options = CalibrationOptions(noise(tmp_path / "photos", 24), same_scene=(frozenset({"0.png", "lost.png"}),))
    with pytest.raises(UnknownPicture, match=r"lost\.png"):
        calibrate(options, PatchEmbedder(), quiet)


def test_scenes_are_read_a_group_a_line(tmp_path: Path) -> None:
    (tmp_path / "scenes").write_text("a b.jpg\tc.jpg\n\nd.jpg\te.jpg\tf.jpg\n")
    assert read_scenes(tmp_path / "scenes") == (frozenset({"a b.jpg", "c.jpg"}), frozenset({"d.jpg", "e.jpg", "f.jpg"}))


def test_edits_of_one_picture_do_not_make_a_bound_tighter() -> None:
    rng = np.random.default_rng(3)
    rows = [row[None] / np.linalg.norm(row) for row in rng.normal(size=(400, 8)).astype(np.float32)]
    part = Innocent(rows, np.arange(400) // 20, rows[:5], np.zeros((0, 8), np.float32), np.zeros(0, dtype=np.int64))
    made = measured("space-1", [part], beta=0, neighbours=1)
    assert made.sample.pictures == 20
    assert made.variant.fpr_upper95 > 0.1  # nothing in twenty trials, not in four hundred
