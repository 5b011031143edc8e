"""The Makefile's few words."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/usr/bin/env", "make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_the_words() -> None:
    listed = make()
    assert listed.returncode == 0
    for word in ("setup", "serve", "test", "check", "bench", "demo"):
        assert f"  make {word} " in listed.stdout


def test_a_python_that_is_too_old_gets_a_sentence(tmp_path: Path) -> None:
    refused = make("setup", "PYTHON=/bin/false", f"VENV={tmp_path / 'venv'}")
    assert refused.returncode != 0
    assert "Afterimage needs Python 3.11 or newer" in refused.stderr
    assert "make setup PYTHON=" in refused.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("word", "lock"), [("serve", "runtime.txt"), ("demo", "demo.txt"), ("test", "development.txt")]
)
def test_a_word_installs_what_it_needs_from_the_lock(tmp_path: Path, word: str, lock: str) -> None:
    plan = make("--dry-run", word, "PYTHON=python3", f"VENV={tmp_path / 'venv'}").stdout
    assert f"--require-hashes --no-deps --requirement requirements/{lock}" in plan


def test_a_second_run_installs_nothing(tmp_path: Path) -> None:
    for stamp in (".python", ".for-serving"):
        (tmp_path / stamp).touch()
    plan = make("--dry-run", "serve", f"VENV={tmp_path}").stdout
    assert "pip" not in plan
    assert "afterimage serve" in plan


def test_every_benchmark_that_is_run_exists(tmp_path: Path) -> None:
    plan = make("--dry-run", "bench", "PYTHON=python3", f"VENV={tmp_path / 'venv'}").stdout
    named = re.findall(r"benchmarks/\w+\.py", plan)
    assert len(named) > 2
    for path in named:
        assert (ROOT / path).is_file()
