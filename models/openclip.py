"""
open_clip models as embedders: by name, from the hub, from a folder, from a file. The only importer of open_clip.

A model is opened with the weights it was asked for or not at all, and weights are read from safetensors alone: the
other formats are pickles, which run what is in them.
"""

import contextlib
import difflib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import open_clip
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.errors import HfHubHTTPError as HubError
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors import SafetensorError
from torch import nn
from torchvision.transforms.functional import to_pil_image

from models import network
from models.embedder import Device, EmbedderId, Embeddings, Space
from models.errors import GoldenMismatch, ModelUnavailable, UnknownModel, WeightsMissing
from models.fingerprint import SpaceParts, embedder_id
from models.golden import FILE as GOLDEN_FILE
from models.golden import Golden, golden_picture
from models.measured import calibration_of, verification_of
from models.tower import Tower
from models.tower_embedder import TowerEmbedder, embedded
from models.views import Views

BUNDLED = "bundled"
BUNDLED_FOLDER = Path(__file__).parent / "bundled"
LOCAL_DIR = "local-dir:"
HUB = "hf-hub:"
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
"""What a folder's weights may be called, best first."""
SAFETENSORS = ".safetensors"
VISUAL = "visual."


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a model comes from, once its name is understood."""

    name: str
    """The readable part of its `embedder_id`."""
    built_as: str
    """What open_clip builds: an architecture, or `local-dir:` and a folder."""
    weights: Path
    folder: Path | None = None
    """Where its seal, its views and its calibration lie."""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the architecture's own."""
    quick_gelu: bool = False


def open_embedder(model: str, device: Device = Device.AUTO, *, calibration: Path | None = None) -> TowerEmbedder:
    """
    Open a model and prove that it works.

    Args:
        model: `bundled`, `ARCH/TAG`, `hf-hub:OWNER/NAME`, `local-dir:PATH` or `ARCH:/path/to/weights.safetensors`.
        device: where it runs; one that fails while serving is replaced by the CPU.
        calibration: a record measured in this very space, or a folder of records; it wins over the one that lies beside
            the weights: see `models.measured`.

    Raises:
        UnknownModel, WeightsMissing: the sentence says what to do.
        GoldenMismatch: the model does not give the embedding it was sealed with; the bundled one has no seal.
        ModelUnavailable: the device is not there, the weights give no embedding, or a file beside them is damaged.
    """
    source = _find(model)
    embedder, golden_row = _opened(source, model, device)
    golden = None if source.folder is None else Golden.load(source.folder)
    if golden is None and model == BUNDLED:
        raise GoldenMismatch(f"The bundled model has lost its seal ({GOLDEN_FILE}): install afresh, or seal it.")
    if golden is not None:
        golden.check(embedder.space.embedder_id, golden_row)
    found = embedder.space.embedder_id, source.folder, calibration
    return embedder.measured(calibration_of(*found), verification_of(*found))


def seal(folder: Path, name: str = BUNDLED) -> EmbedderId:
    """
    Write down what a local-dir gives now, so that every later start can be held against it.

    Args:
        folder: the local-dir; its `golden.json` is written anew.
        name: the readable part of its `embedder_id`.
    """
    source = _from_folder(folder, name)
    embedder, golden_row = _opened(source, f"{LOCAL_DIR}{folder}", Device.CPU)
    Golden(name, embedder.space.embedder_id, golden_row).save(folder)
    return embedder.space.embedder_id


def canonical_name(model: str) -> str:
    """The name of a model that means the same from any folder: a path in it is whole."""
    path = path_in(model)
    return model if path is None else f"{model.partition(':')[0]}:{Path(path).expanduser().resolve()}"


def path_in(model: str) -> str | None:
    """The file or folder that a model's name names; None where it names none."""
    kind, found, path = model.partition(":")
    return path if found and f"{kind}:" != HUB else None


def use_threads(threads: int) -> None:
    """How many cores one forward pass uses; for the whole process."""
    torch.set_num_threads(threads)


def _find(model: str) -> _Source:
    if model == BUNDLED:
        return _from_folder(BUNDLED_FOLDER, BUNDLED)
    if model.startswith(LOCAL_DIR):
        folder = Path(model.removeprefix(LOCAL_DIR)).expanduser().resolve()
        return _from_folder(folder, None)
    if model.startswith(HUB):
        return _from_hub(model.removeprefix(HUB))
    for separator, find in ((":", _from_file), ("/", _from_tag)):
        architecture, found, rest = model.partition(separator)
        if found and architecture and rest:
            _refuse_unknown(architecture)
            return find(architecture, rest)
    raise UnknownModel(
        f"{model!r} is no model name. Names are {BUNDLED}, ARCH/TAG, {HUB}OWNER/NAME, {LOCAL_DIR}PATH "
        f"and ARCH:/path/to/weights{SAFETENSORS}."
    )


def _refuse_unknown(architecture: str) -> None:
    known = open_clip.list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UnknownModel(f"open_clip knows no architecture {architecture!r}.{hint}")


def _from_folder(folder: Path, name: str | None) -> _Source:
    config = _config(folder)
    golden = None if name is not None else Golden.load(folder)
    if name is None:
        name = golden.name if golden is not None else config["vision_cfg"].get("timm_model_name", "clip")
    weights = next((folder / file for file in WEIGHTS_FILES if (folder / file).is_file()), None)
    if weights is None:
        raise WeightsMissing(
            f"{folder} holds none of {', '.join(WEIGHTS_FILES)}. Other formats are pickles and are not read: "
            "convert them with safetensors.torch.save_file."
        )
    return _Source(name, f"{LOCAL_DIR}{folder}", weights, folder)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
        config["vision_cfg"].get("timm_model_name")
    except FileNotFoundError as error:
        raise WeightsMissing(f"{folder} is no open_clip folder: it has no {CONFIG_FILE}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnknownModel(f"{path} cannot be read as an open_clip configuration.") from error
    return config


def _from_hub(repository: str) -> _Source:
    config = _downloaded(repository, (CONFIG_FILE,))
    weights = _downloaded(repository, WEIGHTS_FILES)
    if weights.parent != config.parent:  # each revision has a folder of its own in the cache
        raise WeightsMissing(
            f"The local cache has the configuration and the weights of {repository} from two different revisions: "
            "delete the model there and connect once."
        )
    return _Source(repository.rpartition("/")[2], f"{LOCAL_DIR}{config.parent}", weights)


def _from_file(architecture: str, rest: str) -> _Source:
    weights = Path(rest).expanduser()
    if weights.suffix != SAFETENSORS:
        raise WeightsMissing(
            f"{weights} is not a {SAFETENSORS} file. Other formats are pickles and are not read: "
            "convert it with safetensors.torch.save_file."
        )
    if not weights.is_file():
        raise WeightsMissing(f"There is no file {weights}.")
    return _Source(architecture, architecture, weights)


def _from_tag(architecture: str, tag: str) -> _Source:
    published = open_clip.get_pretrained_cfg(architecture, tag)
    if not published:
        tags = ", ".join(open_clip.pretrained.list_pretrained_tags_by_model(architecture)) or "none"
        raise UnknownModel(f"No weights {tag!r} are published for {architecture}. Published: {tags}.")
    repository, _, file = str(published.get("hf_hub", "")).rpartition("/")
    if not repository:
        raise WeightsMissing(f"{architecture}/{tag} is published as a pickle only, which is not read.")
    weights = _downloaded(repository, ((Path(file).stem + SAFETENSORS,) if file else ()) + WEIGHTS_FILES)
    preprocessing = {key: value for key, value in published.items() if key != "size"}
    return _Source(architecture, architecture, weights, None, preprocessing, bool(published.get("quick_gelu")))


def _downloaded(repository: str, files: tuple[str, ...]) -> Path:
    """The first of the files that the local cache has; without any, the first that the hub has."""
    for file in files:
        with contextlib.suppress(HubError, OSError, ValueError):
            return Path(hf_hub_download(repository, file, local_files_only=True))
    reason = "it publishes none"
    for file in files:
        try:
            return Path(hf_hub_download(repository, file))
        except LocalEntryNotFoundError:
            reason = "the hub cannot be reached"
            break
        except EntryNotFoundError:
            continue
        except (HubError, OSError, ValueError) as error:
            reason = f"the hub answers {type(error).__name__}"
            break
    raise WeightsMissing(
        f"None of {', '.join(files)} of {repository} is in the local cache, and {reason}. "
        f"Connect once, or copy the model to a folder and use {LOCAL_DIR}PATH."
    )


def _opened(source: _Source, model: str, device: Device) -> tuple[TowerEmbedder, Embeddings]:
    """A working model, and what it makes of the golden picture."""
    tower, preprocessing = _built(source)
    views = Views() if source.folder is None else Views.load(source.folder)
    parts = SpaceParts(_architecture(source), asdict(preprocessing), views.reference, views.query)
    running = Tower.on(device, tower)
    identity = embedder_id(source.name, parts, tower.state_dict())
    try:
        transform = image_transform_v2(preprocessing, is_train=False)
        golden_row = embedded(running, [transform(to_pil_image(golden_picture()))])
    except Exception as error:
        # A preprocessing configuration may ask for anything, and a damaged weight be no number: any error may rise.
        raise ModelUnavailable(
            f"{model} gives no embedding: its weights are damaged, or its preprocessing cannot be carried out."
        ) from error
    space = Space(identity, model, golden_row.shape[1], int(preprocessing.input_size[-1]), None)
    return TowerEmbedder(space, running, transform, views), golden_row


def _built(source: _Source) -> tuple[nn.Module, PreprocessCfg]:
    """The picture tower alone, on the CPU, every weight of it from the file."""
    network.register()
    try:
        with _quiet_open_clip():
            model = open_clip.create_model(
                source.built_as,
                load_weights=False,
                pretrained_text=False,
                force_quick_gelu=source.quick_gelu,
                force_preprocess_cfg=dict(source.preprocessing) or None,
            )
            preprocessing = PreprocessCfg(**open_clip.get_model_preprocess_cfg(model))
    except Exception as error:
        # Configurations come from anywhere, and open_clip and timm check little of them: any error may rise.
        raise UnknownModel(f"open_clip cannot build {source.built_as}: {error}") from error
    try:
        lacking = open_clip.load_checkpoint(model, str(source.weights), strict=False, weights_only=True)
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError, AttributeError, StopIteration) as error:
        raise WeightsMissing(f"{source.weights} does not hold weights of {source.built_as}.") from error
    wrong = [key for key in (*lacking.missing_keys, *lacking.unexpected_keys) if key.startswith(VISUAL)]
    if wrong:
        raise WeightsMissing(
            f"{source.weights} does not fit the picture tower of {source.built_as}: {len(wrong)} weights are missing "
            f"or left over, {wrong[0]} for one."
        )
    tower: nn.Module = model.visual
    return tower.float().eval().requires_grad_(requires_grad=False), preprocessing


def _architecture(source: _Source) -> dict[str, Any]:
    """What shapes the picture tower, without what only says where weights once came from."""
    config: dict[str, Any] = open_clip.get_model_config(source.built_as)
    vision = {key: value for key, value in config["vision_cfg"].items() if key != "timm_model_pretrained"}
    quick_gelu = bool(config.get("quick_gelu")) or source.quick_gelu
    return {"embed_dim": config["embed_dim"], "vision": vision, "quick_gelu": quick_gelu}


@contextlib.contextmanager
def _quiet_open_clip() -> Iterator[None]:
    """Keep back open_clip's remarks to the root logger; that weights are not loaded yet is meant so."""
    root = logging.getLogger()
    silent = logging.NullHandler()  # without any handler, logging.info() would install one for the whole program

    def not_open_clip(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root.addHandler(silent)
    root.addFilter(not_open_clip)
    try:
        yield
    finally:
        root.removeFilter(not_open_clip)
        root.removeHandler(silent)
