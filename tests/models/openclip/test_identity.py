"""Which space a model makes: its id, its seal, and what was measured in it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from models import openclip
from models.errors import GoldenMismatch
from models.golden import FILE as GOLDEN_FILE
from models.golden import golden_picture
from models.openclip import BUNDLED, open_embedder, seal

Scene = Callable[..., Image.Image]


def test_the_same_model_has_the_same_id_wherever_it_lies(local_dir: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(local_dir, tmp_path / "elsewhere")
    first, second = (open_embedder(f"local-dir:{folder}").space.embedder_id for folder in (local_dir, elsewhere))
    assert first == second
    assert first.startswith("clip-")
    assert len(first.rpartition("-")[2]) == 12


def test_a_change_of_weights_preprocessing_architecture_or_views_is_another_space(local_dir: Path) -> None:
    def identity() -> str:
        return open_embedder(f"local-dir:{local_dir}").space.embedder_id

    config_file, weights_file = local_dir / "open_clip_config.json", local_dir / "open_clip_model.safetensors"
    ids = [identity()]
    weights = load_file(str(weights_file))
    weights["visual.proj"][0, 0] += 1e-3
    save_file(weights, str(weights_file))
    ids.append(identity())
    config = json.loads(config_file.read_text())
    config["preprocess_cfg"]["interpolation"] = "bicubic"
    config_file.write_text(json.dumps(config))
    ids.append(identity())
    config["model_cfg"]["quick_gelu"] = True
    config_file.write_text(json.dumps(config))
    ids.append(identity())
    (local_dir / "views.json").write_text('{"format": 1, "reference": ["whole"], "query": ["whole", "mirrored"]}')
    ids.append(identity())
    assert len(set(ids)) == len(ids)


def test_the_text_tower_is_no_part_of_a_space(local_dir: Path) -> None:
    before = open_embedder(f"local-dir:{local_dir}").space.embedder_id
    weights = load_file(str(local_dir / "open_clip_model.safetensors"))
    weights["text_projection"] += 1
    save_file(weights, str(local_dir / "open_clip_model.safetensors"))
    assert open_embedder(f"local-dir:{local_dir}").space.embedder_id == before


# The seal


def test_a_sealed_model_opens_and_keeps_its_name(local_dir: Path) -> None:
    identity = seal(local_dir, "ours")
    assert identity.startswith("ours-")
    assert open_embedder(f"local-dir:{local_dir}").space.embedder_id == identity


def test_other_weights_under_a_seal_refuse_to_serve(local_dir: Path) -> None:
    seal(local_dir, "ours")
    weights = load_file(str(local_dir / "open_clip_model.safetensors"))
    weights["visual.proj"][0, 0] += 1e-3
    save_file(weights, str(local_dir / "open_clip_model.safetensors"))
    with pytest.raises(GoldenMismatch, match="sealed"):
        open_embedder(f"local-dir:{local_dir}")


def test_preprocessing_that_gives_another_embedding_refuses_to_serve(
    local_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(local_dir, "ours")
    built = openclip.image_transform_v2

    def mistaken(config: Any, **options: Any) -> Any:
        straight = built(config, **options)
        return lambda picture: straight(picture.rotate(90))

    monkeypatch.setattr(openclip, "image_transform_v2", mistaken)
    with pytest.raises(GoldenMismatch, match="golden"):
        open_embedder(f"local-dir:{local_dir}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 1.0])
def test_a_seal_that_holds_no_embedding_refuses_to_serve(local_dir: Path, value: float) -> None:
    seal(local_dir, "ours")
    told = json.loads((local_dir / GOLDEN_FILE).read_text())
    (local_dir / GOLDEN_FILE).write_text(json.dumps(told | {"embedding": [value] * 32}))
    with pytest.raises(GoldenMismatch):
        open_embedder(f"local-dir:{local_dir}")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 2, "picture": "rings-1"}'])
def test_a_damaged_seal_refuses_to_serve(local_dir: Path, content: str) -> None:
    (local_dir / GOLDEN_FILE).write_text(content)
    with pytest.raises(GoldenMismatch):
        open_embedder(f"local-dir:{local_dir}")


def test_the_bundled_model_is_not_served_without_a_seal(local_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openclip, "BUNDLED_FOLDER", local_dir)
    with pytest.raises(GoldenMismatch, match="lost"):
        open_embedder(BUNDLED)
    seal(local_dir)
    assert open_embedder(BUNDLED).space.dim == 32


def test_the_golden_picture_is_the_same_everywhere() -> None:
    picture = golden_picture()
    assert picture.shape == (192, 256, 3)
    assert hashlib.sha256(picture.tobytes()).hexdigest() == (
        "59182464fbdbab585f97a461c634b48ae029094843c17006f23f2159733df624"
    )


# Calibration


def calibration_of(identity: str) -> str:
    rate = {"score": 0.7, "fpr": 1e-4, "fpr_upper95": 1e-3}
    return json.dumps(
        {
            "format": 1,
            "embedder_id": identity,
            "created": "2026-01-01",
            "sample": {"pictures": 10, "queries": 100, "bank_frames": 10},
            "thresholds": {"variant": rate, "related": rate},
            "normalisation": None,
        }
    )


def test_a_calibration_counts_only_in_the_space_it_was_measured_in(local_dir: Path, tmp_path: Path) -> None:
    identity = open_embedder(f"local-dir:{local_dir}").space.embedder_id
    beside = local_dir / "calibration.json"
    beside.write_text(calibration_of("another-0123456789ab"))
    assert open_embedder(f"local-dir:{local_dir}").space.calibration is None
    beside.write_text(calibration_of(identity))
    record = open_embedder(f"local-dir:{local_dir}").space.calibration
    assert record is not None
    assert record.variant.score == 0.7
    given = tmp_path / "given.json"
    given.write_text(calibration_of(identity).replace("0.7", "0.9"))
    assert open_embedder(f"local-dir:{local_dir}", calibration=given).space.calibration.variant.score == 0.9  # type: ignore[union-attr]


def test_a_folder_of_calibrations_is_searched_by_id(vit: Path, tmp_path: Path) -> None:
    identity = open_embedder(f"tiny-vit:{vit}", calibration=tmp_path).space.embedder_id
    assert open_embedder(f"tiny-vit:{vit}", calibration=tmp_path).space.calibration is None
    (tmp_path / f"{identity}.json").write_text(calibration_of(identity))
    assert open_embedder(f"tiny-vit:{vit}", calibration=tmp_path).space.calibration is not None


# Never anything but the weights that were asked for
