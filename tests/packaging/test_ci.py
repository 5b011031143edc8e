"""What CI checks beside the tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "unexpected_skips.py"


def look_at(report: Path, cases: str) -> "subprocess.CompletedProcess[str]":
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return subprocess.run([sys.executable, SCRIPT, report], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("reason", ["needs a GPU", "other platforms do not bound a process's memory"])
def test_a_skip_for_a_reason_that_is_written_down_is_well(tmp_path: Path, reason: str) -> None:
    case = f'<testcase classname="a" name="b"><skipped message="{reason}"/></testcase>'
    done = look_at(tmp_path / "report.xml", case)
    assert (done.returncode, done.stderr) == (0, "")


def test_any_other_skip_is_named_and_fails(tmp_path: Path) -> None:
    case = '<testcase classname="tests.a" name="test_b"><skipped message="could not import x"/></testcase>'
    done = look_at(tmp_path / "report.xml", case)
    assert done.returncode == 1
    assert "tests.a.test_b: could not import x" in done.stderr


def test_a_run_without_tests_fails(tmp_path: Path) -> None:
    assert look_at(tmp_path / "report.xml", "").returncode == 1


def test_skipping_what_needs_postgresql_is_well_only_where_there_is_none(tmp_path: Path) -> None:
    case = '<testcase classname="a" name="b"><skipped message="needs PostgreSQL: it is not installed"/></testcase>'
    there = shutil.which("initdb") is not None or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert look_at(tmp_path / "report.xml", case).returncode == int(there)
