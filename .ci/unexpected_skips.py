"""
Fails when a test was skipped for a reason nobody wrote down.

Usage: unexpected_skips.py REPORT, a report that pytest wrote with --junitxml. Silent when all is well.
"""

import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

EXPECTED = ("needs a GPU", "needs an Apple GPU", "other platforms", "this machine has what the test wants absent")
"""What a skip's reason may begin with."""


SERVERS = Path("/usr/lib/postgresql")


def expected() -> tuple[str, ...]:
    """Where there is no PostgreSQL, tests that need it too; where there is one, they must have run."""
    there = shutil.which("initdb") is not None or any(SERVERS.glob("*/bin/initdb"))
    return EXPECTED if there else (*EXPECTED, "needs PostgreSQL")


def main(path: str) -> int:
    cases = list(ET.parse(path).iter("testcase"))
    if not cases:
        print("No test ran at all.", file=sys.stderr)
        return 1
    unexpected = [
        f"{case.get('classname')}.{case.get('name')}: {skipped.get('message')}"
        for case in cases
        for skipped in case.iter("skipped")
        if not (skipped.get("message") or "").startswith(expected())
    ]
    for line in unexpected:
        print(f"Unexpectedly skipped: {line}", file=sys.stderr)
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
