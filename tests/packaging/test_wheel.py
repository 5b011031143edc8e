"""The wheel holds the whole program and nothing else."""

import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("index", "models", "service")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel: Path, names: list[str]) -> Message:
    path = next(name for name in names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(path).decode())


def test_its_top_level_is_exactly_the_three_packages(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_it_carries_every_file_of_the_packages(names: list[str]) -> None:
    carried = {name for name in names if ".dist-info/" not in name}
    present = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert carried == present


def test_everybody_may_read_what_it_carries(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        closed = [one.filename for one in archive.infolist() if (one.external_attr >> 16) & 0o444 != 0o444]
    assert closed == []


@pytest.mark.parametrize(
    "data_file",
    [
        "models/bundled/open_clip_config.json",
        "models/bundled/open_clip_model.safetensors",
        "models/bundled/calibration.json",
        "models/bundled/golden.json",
        "models/bundled/views.json",
        "service/samples/known.jpg",
        "service/samples/reupload.jpg",
        "service/py.typed",
    ],
)
def test_it_carries_what_the_program_reads_while_it_runs(names: list[str], data_file: str) -> None:
    assert data_file in names


def test_it_carries_the_migrations_of_the_catalog(names: list[str]) -> None:
    assert any(name.startswith("index/catalog/storage/migrations/") and name.endswith(".py") for name in names)


def test_it_brings_the_program_and_the_licence(names: list[str], metadata: Message) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert metadata["License-Expression"] == "Apache-2.0"


def test_it_asks_for_torch_and_torchvision_together(metadata: Message) -> None:
    required = metadata.get_all("Requires-Dist") or []
    assert {line.split(">")[0] for line in required if line.startswith("torch")} == {"torch", "torchvision"}
