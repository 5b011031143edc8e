"""Whole evaluations, on pictures made on the spot."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.embedder import Embedder
from models.evaluation import page, tables
from models.evaluation.edits.kinds import Edit
from models.evaluation.edits.registry import EDITS, edited, named
from models.evaluation.errors import TooFewPictures, UnknownEdit
from models.evaluation.pictures import dihedral_hashes, looked_at, read_folder
from models.evaluation.roles import drawn
from models.evaluation.run import EvaluationOptions, evaluate
from models.evaluation.study import StudyOptions, study
from models.evaluation.systems import DihedralPdqSystem, PdqSystem, PerceptualHashSystem

MakeFolder = Callable[..., Path]
MakePicture = Callable[..., Image.Image]

FEW = ("jpeg", "mirror", "crop_50", "negative")


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_every_edit_changes_the_picture_and_does_so_again_the_same_way(edit: Edit, picture: MakePicture) -> None:
    original, other = picture(1), picture(2)
    first, again = (edited(edit, original, "name", lambda _dice: other) for _ in range(2))
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    assert first.size != original.size or first.tobytes() != original.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_edits_survive_slivers_and_specks(picture: MakePicture, size: tuple[int, int]) -> None:
    small, other = picture(1, *size), picture(2)
    for edit in EDITS:
        assert edited(edit, small, "speck", lambda _dice: other).size[0] >= 1


def test_an_evaluation_measures_every_system_on_the_same_queries(folder: MakeFolder, thumbnails: Embedder) -> None:
    options = EvaluationOptions(
        photos=folder(20),
        calibration=folder(14, "other", 100),
        lookalikes=folder(6, "alike", 200),
        originals=8,
        threshold_edits=2,
        edits=FEW,
        rounds=20,
    )
    report = evaluate(options, [("thumbnail", thumbnails)], quiet)
    assert [system.name for system in report.systems] == ["thumbnail", "PDQ", "PDQ, 8 forms", "pHash", "untrained"]
    assert report.counts.positives == 8 * 4
    assert report.counts.threshold_queries == 14 * 3
    first, pdq, turned = report.systems[:3]
    assert first.at[0].by_edit["jpeg"] == 1
    assert first.at[0].by_edit["mirror"] == 1, "its mirrored view finds mirrored copies"
    assert pdq.at[0].by_edit["mirror"] == 0
    assert turned.at[0].by_edit["mirror"] == 1
    assert first.at[0].by_edit["negative"] == 0
    assert first.at[0].recall == pytest.approx(np.mean([first.at[0].by_edit[name] for name in FEW[:3]]))
    for system in report.systems:
        assert 0 <= system.micro_ap_interval[0] <= system.micro_ap_interval[1] <= 1
    written = json.loads(json.dumps(tables.to_json(report)))
    assert written["counts"]["bank"] == report.counts.bank
    assert str(options.photos) not in json.dumps(written)
    assert "| jpeg |" in tables.to_markdown(report)
    shown = page.to_html(report, options.photos)
    assert shown.count("data:image/png;base64") == 3
    assert "data:image/jpeg;base64" in shown


def test_without_other_photographs_thresholds_are_set_on_pictures_that_are_not_judged(
    folder: MakeFolder, thumbnails: Embedder
) -> None:
    options = EvaluationOptions(photos=folder(16), originals=3, edits=("jpeg",), baselines=False, rounds=5)
    report = evaluate(options, [("thumbnail", thumbnails)], quiet)
    # Two pictures are not banked: one is asked about as unknown, thresholds are set on the other and an edit of it.
    assert (report.counts.bank, report.counts.negatives, report.counts.threshold_queries) == (14, 1, 2)


def test_copies_in_the_folder_are_found_grouped_and_said(folder: MakeFolder, picture: MakePicture) -> None:
    photos = folder(5)
    picture(2).transpose(0).save(photos / "mirrored.png")
    picture(3).save(photos / "again.jpg", quality=50)
    read = read_folder(photos, quiet)
    assert len(read.pictures) == 5
    assert {frozenset(group) for group in read.copies} == {
        frozenset({"002.png", "mirrored.png"}),
        frozenset({"003.png", "again.jpg"}),
    }


def test_broken_files_are_counted_and_left_out(folder: MakeFolder) -> None:
    photos = folder(3)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "empty.png").write_bytes(b"")
    read = read_folder(photos, quiet)
    assert len(read.pictures) == 3
    assert sorted(read.broken) == ["broken.jpg", "empty.png"]


@pytest.mark.parametrize("count", [0, 1, 10])
def test_too_few_pictures_are_refused(folder: MakeFolder, thumbnails: Embedder, count: int) -> None:
    with pytest.raises(TooFewPictures, match=f"{count} distinct"):
        evaluate(EvaluationOptions(photos=folder(count)), [("thumbnail", thumbnails)], quiet)


def test_an_unknown_edit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownEdit, match="melt"):
        evaluate(EvaluationOptions(photos=tmp_path, edits=("jpeg", "melt")), [], quiet)


def test_no_picture_plays_two_parts(folder: MakeFolder) -> None:
    pictures = read_folder(folder(21), quiet).pictures
    roles = drawn(pictures, 1000, 300, 0)
    assert len(roles.bank) + len(roles.negatives) == 21
    assert not {part.name for part in roles.bank} & {part.name for part in roles.negatives}
    assert drawn(pictures, 1000, 300, 0) == roles
    assert drawn(pictures, 1000, 300, 1) != roles


def test_perceptual_hashes_score_by_bits(picture: MakePicture) -> None:
    one, other = looked_at(picture(1)), looked_at(picture(2))
    for system in (PdqSystem(), DihedralPdqSystem(), PerceptualHashSystem()):
        scores = system.scores(system.asked([one, other]), system.banked([one, other]))
        assert scores[0, 0] == scores[1, 1] == 0
        assert scores[0, 1] < -8


def test_the_eight_forms_of_a_frame_are_those_of_its_mirror_image(picture: MakePicture) -> None:
    frame = looked_at(picture(4)).pixels
    forms = set(dihedral_hashes(frame))
    assert len(forms) == 8
    mirrored = set(dihedral_hashes(np.ascontiguousarray(frame[:, ::-1])))
    assert mirrored == forms


def test_edits_are_found_by_name_in_their_own_order() -> None:
    assert [edit.name for edit in named(["mirror", "jpeg"])] == ["jpeg", "mirror"]


def test_a_study_has_a_row_for_every_option(folder: MakeFolder, thumbnails: Embedder) -> None:
    options = StudyOptions(folder(30), bank=14, originals=1, unknown=8, unknown_edits=1)
    rows = study(options, lambda _size: thumbnails, (8,), quiet)
    assert {row.option for row in rows} == {"resolution", "query views", "normalisation"}
    assert all(0 <= row.micro_ap <= 1 for row in rows)
