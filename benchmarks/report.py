"""What every benchmark prints first: on what machine, of which commit, with which options."""

import os
import platform
import subprocess
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

from service.settings import cores

ROOT = Path(__file__).parents[1]
LIBRARIES = ("torch", "open-clip-torch", "faiss-cpu", "pillow", "flask", "gunicorn")


def print_heading(title: str, options: Namespace) -> None:
    print(f"# {title}\n")
    print(f"- machine: {_processor()}, {cores()} cores, load {os.getloadavg()[0]:.2f} at the start")
    print(f"- {platform.system()} {platform.release()}, Python {platform.python_version()}")
    print("- " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    print(f"- commit {_commit()}")
    print("- options: " + " ".join(f"--{name.replace('_', '-')} {value}" for name, value in vars(options).items()))
    print()


def print_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """As Markdown, so that it can be kept as it is."""
    print("| " + " | ".join(headings) + " |")
    print("|" + "---|" * len(headings))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    done = subprocess.run(
        ["/usr/bin/env", "git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
