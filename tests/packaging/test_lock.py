"""The lock files fit pyproject.toml, each other, and anybody's machine."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NAMES = ("runtime", "demo", "development", "without-torch")
PINNED = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.*?))? \\$")

Locked = dict[str, list[Requirement]]


def locked(name: str) -> Locked:
    """Every package of a lock file; several versions where platforms or Pythons need different ones."""
    found: Locked = {}
    for line in text_of(name).splitlines():
        match = PINNED.match(line)
        if match:
            requirement = Requirement(line.removesuffix("\\").strip())
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def text_of(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def wanted(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines if not line.startswith("afterimage[")]


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("runtime", ("postgres",)),
        ("demo", ("postgres", "demo")),
        ("development", ("postgres", "heif", "demo", "evaluation", "dev")),
    ],
)
def test_every_requirement_is_locked_within_its_range(name: str, extras: tuple[str, ...]) -> None:
    packages = locked(name)
    for requirement in wanted(*extras):
        versions = packages[canonicalize_name(requirement.name)]
        for version in versions:
            assert requirement.specifier.contains(str(version.specifier).removeprefix("==")), requirement


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_a_pinned_version_or_one_of_its_hashes(name: str) -> None:
    lines = [line for line in text_of(name).splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert PINNED.match(line) or re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line), line


@pytest.mark.parametrize("name", NAMES)
def test_no_place_to_fetch_from_is_named(name: str) -> None:
    for trace in ("://", "--index-url", "--find-links", "file:", " @ "):
        assert trace not in text_of(name)


@pytest.mark.parametrize(("smaller", "larger"), [("runtime", "demo"), ("demo", "development")])
def test_a_larger_lock_holds_the_smaller_one(smaller: str, larger: str) -> None:
    inside, around = locked(smaller), locked(larger)
    for name, requirements in inside.items():
        assert {str(one.specifier) for one in requirements} <= {str(one.specifier) for one in around[name]}, name


def test_the_lock_without_torch_lacks_torch_and_its_gpu_libraries_alone() -> None:
    left_out = set(locked("runtime")) - set(locked("without-torch"))
    assert {"torch", "torchvision", "triton"} <= left_out
    assert all(re.match(r"torch|triton|nvidia-|cuda-", name) for name in left_out)
    assert not any(re.match(r"torch|triton|nvidia-|cuda-", name) for name in locked("without-torch"))
