"""Generated pictures, photographs, edits and pairs."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from models.evaluation.edits.registry import EDITS
from models.training.dice import Dice
from models.training.edits import colour
from models.training.edits.geometry import Geometry, placements, resampled
from models.training.edits.pairs import COLOURS, HELD_OUT, Filter, paired
from models.training.errors import NoTrainingPictures, PoolFailed
from models.training.generator import generate
from models.training.options import TrainingOptions
from models.training.photographs import KEPT_SIDE, read_photographs
from models.training.pool import PHOTOGRAPH_IDS, Batches, Ring, reserve
from models.training.scenes import SCENES, Scene
from models.training.textures import FAMILIES, Family, textures

TinyRun = Callable[..., TrainingOptions]

STILL = Geometry(1.0, (0, 0, 0, 0), 0.5, (0, 1), (0, 0), 0, 0, (0, 0))


def test_the_same_seed_gives_the_same_pictures_and_another_gives_others() -> None:
    first, again, other = (generate(Dice.of(seed), 16, 24) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_generated_pictures_are_finite_bounded_and_differ(generated: torch.Tensor) -> None:
    assert generated.shape == (64, 3, 40, 40)
    assert generated.isfinite().all()
    assert generated.min() >= 0
    assert generated.max() <= 1
    flat = generated.flatten(1)
    assert torch.cdist(flat, flat).fill_diagonal_(9).min() > 1


@pytest.mark.parametrize("family", [family for family, _ in FAMILIES], ids=lambda family: family.__name__)
def test_every_family_of_textures_draws_pictures(family: Family) -> None:
    drawn = family(Dice(3), 3, 24)
    assert drawn.shape == (3, 3, 24, 24)
    assert drawn.isfinite().all()


@pytest.mark.parametrize("scene", [scene for scene, _ in SCENES], ids=lambda scene: scene.__name__)
def test_every_scene_is_made_of_what_it_is_given(scene: Scene) -> None:
    drawn = scene(Dice(4), textures(Dice(5), 8, 32))
    assert drawn.shape == (8, 3, 32, 32)
    assert drawn.isfinite().all()


@pytest.mark.parametrize("edit", sorted({edit for edit, _ in COLOURS}, key=lambda edit: edit.__name__))
def test_colour_edits_stay_within_bounds(edit: Filter, generated: torch.Tensor) -> None:
    changed = edit(Dice(6), generated[:4].clone())
    assert changed.shape == generated[:4].shape
    assert changed.isfinite().all()
    assert changed.min() >= -1e-5
    assert changed.max() <= 1 + 1e-5


def test_jpeg_at_a_high_quality_hardly_changes_a_picture(generated: torch.Tensor) -> None:
    good = colour.compressed(Dice(7), generated[:4], 99.5, 99.9)
    poor = colour.compressed(Dice(7), generated[:4], 5, 6)
    assert (good - generated[:4]).abs().mean() < 0.01
    assert (poor - generated[:4]).abs().mean() > (good - generated[:4]).abs().mean() * 3


def test_geometry_that_touches_nothing_gives_the_picture_back(generated: torch.Tensor) -> None:
    same, mask = resampled(generated[:4], placements(Dice(8), 4, STILL), 40)
    assert torch.allclose(same, generated[:4], atol=1e-4)
    assert mask.min() == 1


def test_a_mirrored_picture_is_mirrored(generated: torch.Tensor) -> None:
    rule = Geometry(0.0, (0, 0, 0, 0), 0.5, (0, 1), (0, 0), 0, 1.0, (0, 0))
    turned, _ = resampled(generated[:32], placements(Dice(9), 32, rule), 40)
    flips = [generated[:32].flip(3), generated[:32].flip(2, 3)]
    nearest = torch.stack([(turned - flip).abs().mean((1, 2, 3)) for flip in flips]).amin(0)
    assert nearest.max() < 1e-3


def test_pairs_say_what_each_view_shows(generated: torch.Tensor) -> None:
    ids = torch.arange(16)
    origins = torch.stack([ids, torch.full_like(ids, -1)], 1)
    made = paired(Dice(10), generated[:16], origins, generated[16:24], ids[:8] + 100, size=40)
    assert made.near.shape == made.hard.shape == (16, 3, 40, 40)
    assert made.near.dtype == torch.uint8
    assert torch.equal(made.origins[:, :, 0], ids.expand(2, -1))
    lent = made.origins[:, :, 2]
    assert ((lent == -1) | (lent >= 100)).all()


def test_kinds_that_the_evaluation_holds_out_are_the_ones_named_here() -> None:
    assert {edit.name for edit in EDITS if edit.held_out} == set(HELD_OUT)
    assert len([edit for edit in EDITS if edit.held_out and edit.counted]) >= 5


@pytest.mark.usefixtures("_simple_pictures")
def test_a_batch_depends_on_its_number_alone(tiny: TinyRun) -> None:
    options = tiny()
    none = torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
    through = Batches(options, none, 0, torch.device("cpu"))
    batches = [through.batch(step) for step in range(3)]
    jumped = Batches(options, none, 0, torch.device("cpu")).batch(2)
    assert torch.equal(batches[2].near, jumped.near)
    assert torch.equal(batches[2].hard, jumped.hard)


@pytest.mark.usefixtures("_simple_pictures")
def test_the_ring_renews_its_oldest_pictures(tiny: TinyRun) -> None:
    ring = Ring(tiny(pool=128, pool_start=64, pool_pictures=10_000, fresh=64), 0, torch.device("cpu"))
    ring.up_to(0)
    _, ids = ring.draw(Dice(0), 64)
    assert sorted(ids.tolist()) == list(range(64))
    ring.up_to(2)
    _, ids = ring.draw(Dice(0), 128)
    assert sorted(ids.tolist()) == list(range(64, 192))


@pytest.mark.usefixtures("_simple_pictures")
def test_photographs_are_mixed_in_at_their_share(tiny: TinyRun, photographs: Path) -> None:
    options = tiny(photos=photographs, pairs=32, photo_share=0.5)
    batch = Batches(options, read_photographs(photographs).training, 0, torch.device("cpu")).batch(0)
    photos = (batch.origins[0, :, 0] >= PHOTOGRAPH_IDS).float().mean()
    assert 0.2 < photos < 0.8


def test_broken_files_are_counted_and_left_out(photographs: Path) -> None:
    read = read_photographs(photographs)
    assert len(read.training) + len(read.held_out) == 30
    assert read.broken == 1


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoTrainingPictures):
        read_photographs(tmp_path)


def test_an_ordinary_jpeg_is_brought_to_its_square_in_one_resize(tmp_path: Path, generated: torch.Tensor) -> None:
    pixels = (generated[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(pixels).resize((1100, 700)).save(path, exif=turned, quality=90)
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    square = np.asarray(upright.resize((KEPT_SIDE, KEPT_SIDE), Image.Resampling.BOX))
    assert np.array_equal(read_photographs(tmp_path).training[0].permute(1, 2, 0).numpy(), square)


def test_deep_and_transparent_pictures_are_seen_as_the_service_sees_them(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 0x8000, dtype=np.uint16)).save(tmp_path / "a-deep.png")
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "b-clear.png")
    deep, clear = read_photographs(tmp_path).training
    assert deep.unique().tolist() == [0x80]
    assert clear.unique().tolist() == [255]


def test_a_pool_that_does_not_fit_on_the_disk_is_said_before_anything_is_drawn(
    tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_number: int, _start: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(PoolFailed, match="No space left"):
        reserve(tiny())
    assert list(tiny().folder.iterdir()) == []


def test_a_file_system_that_cannot_reserve_has_its_pool_written_out(
    tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_number: int, _start: int, _size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    reserve(tiny())
    assert sorted(path.stat().st_size for path in tiny().folder.iterdir()) == [8, 64 * 3 * 40 * 40]


@pytest.mark.usefixtures("_simple_pictures")
def test_a_pool_kept_on_disk_is_used_again_unless_it_is_cut_short(tiny: TinyRun) -> None:
    Ring(tiny(), 0, torch.device("cpu")).up_to(0)
    (pictures,) = (path for path in tiny().folder.iterdir() if "marks" not in path.name)
    kept = pictures.read_bytes()
    assert len(set(kept)) > 1
    reserve(tiny())
    assert pictures.read_bytes() == kept
    pictures.write_bytes(kept[:100])
    Ring(tiny(), 0, torch.device("cpu")).up_to(0)
    assert pictures.read_bytes() == kept
