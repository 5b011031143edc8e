"""Processes are killed while they work; what they had acknowledged is there, and what was removed is not."""

import subprocess
import sys
from pathlib import Path

KILLS = 3
HARNESS = Path(__file__).parents[2] / "benchmarks" / "kill_ledger.py"


def test_killing_at_any_instant_loses_nothing_that_was_acknowledged(url: str) -> None:
    """`benchmarks/kill_ledger.py` does it three hundred times."""
    command = [sys.executable, HARNESS, "--kills", str(KILLS), "--catalog", url]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "nothing lost, nothing back" in ended.stdout
