"""open_clip models: the same embeddings as open_clip itself gives, from the right weights or not at all."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import load_file, save_file

from models import openclip
from models.embedder import Device, Embeddings
from models.errors import GoldenMismatch, ModelUnavailable, UnknownModel, WeightsMissing
from models.golden import FILE as GOLDEN_FILE
from models.golden import golden_picture
from models.media.types import Frame
from models.openclip import BUNDLED, BUNDLED_FOLDER, open_embedder, seal
from models.tower_embedder import TowerEmbedder

Scene = Callable[..., Image.Image]

TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1}
TINY: dict[str, dict[str, Any]] = {
    "tiny-vit": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "tiny-resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
    "tiny-timm-vit": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"},
    "tiny-timm-resnet": {"image_size": 96, "timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "mlp"},
}
DIM = 32


@pytest.fixture(scope="session", autouse=True)
def _tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Teach open_clip a few architectures that take milliseconds, on one core."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("architectures")
    for name, vision in TINY.items():
        config = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": TEXT}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Weights for an architecture: random once, then as fixed as any."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(architecture: str) -> Path:
        path = folder / f"{architecture}.safetensors"
        if not path.exists():
            torch.manual_seed(7)
            model = open_clip.create_model(architecture, load_weights=False)
            save_file({key: value.contiguous() for key, value in model.state_dict().items()}, str(path))
        return path

    return make


@pytest.fixture
def vit(checkpoint: Callable[[str], Path]) -> Path:
    return checkpoint("tiny-vit")


@pytest.fixture
def local_dir(tmp_path: Path, vit: Path) -> Path:
    """A folder as open_clip pushes it to the hub."""
    folder = tmp_path / "local"
    folder.mkdir()
    config = {
        "model_cfg": {"embed_dim": DIM, "vision_cfg": TINY["tiny-vit"], "text_cfg": TEXT},
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    shutil.copy(vit, folder / "open_clip_model.safetensors")
    return folder


def ours(embedder: TowerEmbedder, *frames: Frame) -> Embeddings:
    return embedder.embed([embedder.prepare(frame) for frame in frames])


def theirs(model: Any, preprocess: Any, *pictures: Image.Image) -> Embeddings:
    with torch.inference_mode():
        batch = torch.stack([preprocess(picture) for picture in pictures])
        rows: Embeddings = model.eval().encode_image(batch, normalize=True).numpy()
        return rows


@pytest.mark.parametrize("architecture", TINY)
def test_embeddings_are_those_of_open_clip_itself(
    architecture: str, checkpoint: Callable[[str], Path], scene: Scene
) -> None:
    path = checkpoint(architecture)
    pictures = [scene(200, 150, seed=1), scene(64, 300, seed=2), scene(97, 97, seed=3)]
    expected = theirs(*open_clip.create_model_from_pretrained(architecture, str(path)), *pictures)
    embedder = open_embedder(f"{architecture}:{path}", Device.CPU)
    rows = ours(embedder, *(np.asarray(picture) for picture in pictures))
    assert (rows * expected).sum(axis=1).min() >= 0.9999
    assert rows.dtype == np.float32
    assert embedder.space.dim == rows.shape[1] == DIM
    assert embedder.space.image_px == TINY[architecture]["image_size"]
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
def test_a_folder_is_preprocessed_as_it_says(local_dir: Path, scene: Scene, mode: str) -> None:
    config = json.loads((local_dir / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"resize_mode": mode, "fill_color": 7}
    (local_dir / "open_clip_config.json").write_text(json.dumps(config))
    pictures = [scene(200, 150, seed=1), scene(64, 300, seed=2)]
    expected = theirs(*open_clip.create_model_from_pretrained(f"local-dir:{local_dir}"), *pictures)
    rows = ours(open_embedder(f"local-dir:{local_dir}"), *(np.asarray(picture) for picture in pictures))
    assert (rows * expected).sum(axis=1).min() >= 0.9999


def test_a_batch_gives_what_its_pictures_give_alone(vit: Path, scene: Scene) -> None:
    embedder = open_embedder(f"tiny-vit:{vit}")
    frames = [np.asarray(scene(seed=seed)) for seed in range(5)]
    alone = np.concatenate([ours(embedder, frame) for frame in frames])
    assert (ours(embedder, *frames) * alone).sum(axis=1).min() >= 0.99999


@pytest.mark.parametrize("shape", [(1, 1), (1, 512), (512, 1), (2, 40), (3, 512)])
@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
def test_slivers_and_single_pixels_are_embedded(local_dir: Path, shape: tuple[int, int], mode: str) -> None:
    config = json.loads((local_dir / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = mode
    (local_dir / "open_clip_config.json").write_text(json.dumps(config))
    embedder = open_embedder(f"local-dir:{local_dir}")
    assert ours(embedder, np.full((*shape, 3), 90, np.uint8)).shape == (1, DIM)


def test_only_the_picture_tower_is_kept(vit: Path) -> None:
    embedder = open_embedder(f"tiny-vit:{vit}")
    kept = sum(value.numel() for value in embedder._tower._host.state_dict().values())  # noqa: SLF001
    assert kept == sum(value.numel() for key, value in load_file(str(vit)).items() if key.startswith("visual."))


def test_opening_a_model_leaves_the_programs_logging_alone(vit: Path, caplog: pytest.LogCaptureFixture) -> None:
    handlers, filters = list(logging.getLogger().handlers), list(logging.getLogger().filters)
    open_embedder(f"tiny-vit:{vit}")
    assert (logging.getLogger().handlers, logging.getLogger().filters) == (handlers, filters)
    assert not caplog.records


# Identity


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
    (local_dir / GOLDEN_FILE).write_text(json.dumps(told | {"embedding": [value] * DIM}))
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
    assert open_embedder(BUNDLED).space.dim == DIM


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


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "no model name"),
        ("nonsense", "no model name"),
        ("ViT-B-23/laion2b_s34b_b79k", "ViT-B-32"),
        ("ViT-B-32/no_such_tag", "laion2b_s34b_b79k"),
        ("tiny-vit/anything", "none"),
        ("/etc/passwd", "no model name"),
        ("tiny-vit:", "no model name"),
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(name: str, says: str) -> None:
    with pytest.raises(UnknownModel, match=says):
        open_embedder(name)


def test_missing_files_say_what_to_do(tmp_path: Path, vit: Path) -> None:
    with pytest.raises(WeightsMissing, match="no file"):
        open_embedder(f"tiny-vit:{tmp_path / 'absent.safetensors'}")
    with pytest.raises(WeightsMissing, match="pickle"):
        open_embedder(f"tiny-vit:{vit.with_suffix('.pt')}")
    with pytest.raises(WeightsMissing, match=r"open_clip_config\.json"):
        open_embedder(f"local-dir:{tmp_path / 'absent'}")


def test_a_folder_with_pickles_only_is_refused(local_dir: Path) -> None:
    (local_dir / "open_clip_model.safetensors").rename(local_dir / "open_clip_pytorch_model.bin")
    with pytest.raises(WeightsMissing, match="pickle"):
        open_embedder(f"local-dir:{local_dir}")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model_cfg": 3}', '{"model_cfg": {"vision_cfg": null}}'])
def test_a_damaged_configuration_is_refused(local_dir: Path, content: str) -> None:
    (local_dir / "open_clip_config.json").write_text(content)
    with pytest.raises(UnknownModel):
        open_embedder(f"local-dir:{local_dir}")


def test_a_configuration_that_cannot_be_built_is_refused(local_dir: Path) -> None:
    config = json.loads((local_dir / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"] = {"timm_model_name": "no_such_network", "image_size": 64}
    (local_dir / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownModel, match="cannot build"):
        open_embedder(f"local-dir:{local_dir}")


@pytest.mark.parametrize("wound", ["missing", "extra", "shape", "garbage", "truncated", "text only"])
def test_weights_that_do_not_fit_are_refused(vit: Path, tmp_path: Path, wound: str) -> None:
    weights = load_file(str(vit))
    damaged = tmp_path / "damaged.safetensors"
    if wound == "missing":
        del weights["visual.proj"]
    elif wound == "extra":
        weights["visual.surplus"] = torch.zeros(3)
    elif wound == "shape":
        weights["visual.proj"] = torch.zeros(3, 3)
    elif wound == "text only":
        weights = {key: value for key, value in weights.items() if not key.startswith("visual.")}
    save_file(weights, str(damaged))
    if wound == "garbage":
        damaged.write_bytes(b"garbage" * 100)
    elif wound == "truncated":
        damaged.write_bytes(vit.read_bytes()[:-1000])
    with pytest.raises(WeightsMissing):
        open_embedder(f"tiny-vit:{damaged}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_weights_that_give_no_embedding_are_refused_before_anything_is_served(
    vit: Path, tmp_path: Path, value: float
) -> None:
    weights = load_file(str(vit))
    weights["visual.proj"].fill_(value)
    save_file(weights, str(tmp_path / "damaged.safetensors"))
    with pytest.raises(ModelUnavailable, match="damaged"):
        open_embedder(f"tiny-vit:{tmp_path / 'damaged.safetensors'}")


@pytest.mark.parametrize("wrong", [{"mode": "L"}, {"mean": "grey"}, {"interpolation": 5}])
def test_preprocessing_that_cannot_be_carried_out_is_refused(local_dir: Path, wrong: dict[str, Any]) -> None:
    config = json.loads((local_dir / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= wrong
    (local_dir / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable):
        open_embedder(f"local-dir:{local_dir}")


def test_a_checkpoint_of_the_picture_tower_alone_is_enough(vit: Path, tmp_path: Path, frame: Frame) -> None:
    tower = {key: value for key, value in load_file(str(vit)).items() if key.startswith("visual.")}
    alone = tmp_path / "alone.safetensors"
    save_file(tower, str(alone))
    whole, part = open_embedder(f"tiny-vit:{vit}"), open_embedder(f"tiny-vit:{alone}")
    assert whole.space.embedder_id == part.space.embedder_id
    assert np.array_equal(ours(whole, frame), ours(part, frame))


# The hub, played by a folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, local_dir: Path) -> list[tuple[str, str]]:
    """A hub that has the files of the local-dir, and what was asked of it."""
    asked: list[tuple[str, str]] = []

    def download(repository: str, filename: str, *, local_files_only: bool = False) -> str:
        asked.append((repository, filename))
        if local_files_only:
            raise LocalEntryNotFoundError(filename)
        if not (local_dir / filename).is_file():
            raise EntryNotFoundError(filename)
        return str(local_dir / filename)

    monkeypatch.setattr(openclip, "hf_hub_download", download)
    return asked


def test_a_model_comes_from_the_hub(hub: list[tuple[str, str]], local_dir: Path, frame: Frame) -> None:
    embedder = open_embedder("hf-hub:somebody/some-model")
    assert embedder.space.embedder_id.startswith("some-model-")
    assert np.array_equal(ours(embedder, frame), ours(open_embedder(f"local-dir:{local_dir}"), frame))
    assert all(repository == "somebody/some-model" for repository, _ in hub)


def test_a_tag_is_looked_up_and_brings_its_preprocessing(
    hub: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, frame: Frame, vit: Path
) -> None:
    published = {
        "hf_hub": "somebody/tiny/open_clip_model.bin",
        "quick_gelu": True,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "resize_mode": "squash",
        "size": 9999,
    }
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-vit", {"tag": published})  # noqa: SLF001
    embedder = open_embedder("tiny-vit/tag")
    assert hub[0] == ("somebody/tiny", "open_clip_model.safetensors")
    reference, preprocess = open_clip.create_model_from_pretrained(
        "tiny-vit",
        str(vit),
        force_quick_gelu=True,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
        image_resize_mode="squash",
    )
    expected = theirs(reference, preprocess, Image.fromarray(frame))
    assert (ours(embedder, frame) * expected).sum() >= 0.9999
    assert embedder.space.embedder_id != open_embedder(f"tiny-vit:{vit}").space.embedder_id


@pytest.mark.parametrize("name", ["hf-hub:somebody/some-model", "ViT-B-32/laion2b_s34b_b79k"])
def test_without_a_hub_the_error_says_what_to_do_and_the_hub_is_tried_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def download(_: str, filename: str, *, local_files_only: bool = False) -> str:
        assert filename.endswith((".safetensors", ".json")), "a pickle was asked for"
        if not local_files_only:
            tries.append(filename)
        raise LocalEntryNotFoundError(filename)

    monkeypatch.setattr(openclip, "hf_hub_download", download)
    with pytest.raises(WeightsMissing, match=r"cannot be reached.*local-dir:PATH"):
        open_embedder(name)
    assert len(tries) == 1


def test_what_the_cache_has_is_not_asked_of_the_hub(local_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_: str, filename: str, *, local_files_only: bool = False) -> str:
        assert local_files_only, "the hub was asked"
        return str(local_dir / filename)

    monkeypatch.setattr(openclip, "hf_hub_download", download)
    assert open_embedder("hf-hub:somebody/some-model").space.dim == DIM


def test_a_configuration_and_weights_of_two_revisions_are_not_mixed(
    local_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = shutil.copytree(local_dir, tmp_path / "newer")

    def download(_: str, filename: str, *, local_files_only: bool = False) -> str:
        if local_files_only and filename != "open_clip_config.json":
            raise LocalEntryNotFoundError(filename)
        return str((local_dir if local_files_only else newer) / filename)

    monkeypatch.setattr(openclip, "hf_hub_download", download)
    with pytest.raises(WeightsMissing, match="revisions"):
        open_embedder("hf-hub:somebody/some-model")


def test_a_name_that_no_hub_takes_is_refused_without_one() -> None:
    with pytest.raises(WeightsMissing, match="HFValidationError"):
        open_embedder("hf-hub:not a/repository/name")


# Devices, and the model that is shipped


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test wants absent")
def test_a_device_that_is_not_there_is_refused(vit: Path) -> None:
    with pytest.raises(ModelUnavailable, match="auto or cpu"):
        open_embedder(f"tiny-vit:{vit}", Device.CUDA)
    assert open_embedder(f"tiny-vit:{vit}", Device.AUTO).device in ("cpu", "mps")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("architecture", TINY)
def test_cpu_and_gpu_agree(architecture: str, checkpoint: Callable[[str], Path], frame: Frame) -> None:
    name = f"{architecture}:{checkpoint(architecture)}"
    on_gpu, on_cpu = open_embedder(name, Device.CUDA), open_embedder(name, Device.CPU)
    assert (on_gpu.device, on_gpu.degraded) == ("cuda:0", False)
    assert (ours(on_gpu, frame) * ours(on_cpu, frame)).sum() >= 0.9999


def test_the_bundled_model_knows_a_copy_from_another_picture(scene: Scene) -> None:
    embedder = open_embedder(BUNDLED)
    assert embedder.space.embedder_id.startswith("bundled-")
    picture = scene(300, 300, seed=1)
    copy = picture.resize((200, 200)).crop((8, 8, 192, 192))
    original, edited, other = ours(embedder, *(np.asarray(seen) for seen in (picture, copy, scene(300, 300, seed=2))))
    assert original @ edited > 0.8 > original @ other


def test_the_bundled_folder_is_an_open_clip_folder(frame: Frame) -> None:
    openclip.network.register()
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{BUNDLED_FOLDER}")
    expected = theirs(model, preprocess, Image.fromarray(frame))
    assert (ours(open_embedder(BUNDLED), frame) * expected).sum() >= 0.9999
