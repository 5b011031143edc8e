"""
Installs the wheel into an environment of its own, starts it from an empty folder, and follows its first steps.

Usage: start_wheel.py WHEEL, with the development environment's Python.

The dependencies are not installed a second time: the new environment borrows them from the one that runs this, by
a path file, which brings their packages but not the editable checkout. So what is imported as `service`, `models`
and `index` is the wheel's or nothing, and `pip check` holds that the wheel's own requirements are met. What it does
then is what a newcomer would: it runs the `curl` lines that the service prints.
"""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

READY_WITHIN_S = 120
STEPS = ("bank a picture", "ask about an edited copy of it")


def main(wheel: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        python = _environment(scratch / "environment", wheel)
        elsewhere = scratch / "elsewhere"
        elsewhere.mkdir()
        _comes_from_the_wheel(python, elsewhere)
        return _first_steps(python.parent / "afterimage", elsewhere)


def _environment(folder: Path, wheel: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(packages) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([*pip, "check"], check=True)
    return python


def _comes_from_the_wheel(python: Path, elsewhere: Path) -> None:
    code = "import service, models, index; print(service.__file__, models.__file__, index.__file__)"
    found = subprocess.run([python, "-c", code], cwd=elsewhere, check=True, capture_output=True, text=True).stdout
    strays = [path for path in found.split() if not path.startswith(str(python.parent.parent))]
    if strays:
        raise SystemExit(f"Not from the wheel: {strays}")


def _first_steps(program: Path, elsewhere: Path) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AFTERIMAGE_")}
    # "Port 0" asks the system for a free one; the service prints which it got.
    serving = subprocess.Popen(
        [program, "serve", "--port", "0"],
        cwd=elsewhere,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        answers = [_run(line, elsewhere) for line in _printed_curl_lines(serving)]
    finally:
        serving.send_signal(signal.SIGTERM)
        rest, _ = serving.communicate(timeout=60)
    verdict = answers[-1]["verdict"]
    print(f"The wheel answers {verdict['band']}: {verdict}")
    if verdict["band"] not in ("variant", "related") or serving.returncode != 0:
        print(rest, file=sys.stderr)
        print(
            f"Expected a recognised re-upload and an orderly end; it ended with {serving.returncode}.", file=sys.stderr
        )
        return 1
    return 0


def _printed_curl_lines(serving: "subprocess.Popen[str]") -> list[str]:
    """Reads what the service prints until both lines have come."""
    assert serving.stdout is not None
    lines: list[str] = []
    seen: list[str] = []
    impatience = threading.Timer(READY_WITHIN_S, serving.kill)
    impatience.start()
    try:
        for line in serving.stdout:
            seen.append(line)
            if re.match(r"\s*curl ", line):
                lines.append(line.strip())
            if len(lines) == len(STEPS):
                return lines
    finally:
        impatience.cancel()
    raise SystemExit("The service ended before it printed its first steps:\n" + "".join(seen))


def _run(line: str, elsewhere: Path) -> dict[str, dict[str, str]]:
    """Runs one printed line in a shell; answers the last JSON object it gave."""
    line = line.replace("curl ", f"curl --silent --show-error --fail-with-body --max-time {READY_WITHIN_S} ", 1)
    done = subprocess.run(["/bin/sh", "-c", line], cwd=elsewhere, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{line}\nfailed with {done.returncode}: {done.stdout}{done.stderr}")
    decoder, text, answer = json.JSONDecoder(), done.stdout.strip(), {}
    while text:
        answer, end = decoder.raw_decode(text)
        text = text[end:].lstrip()
    return answer


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
