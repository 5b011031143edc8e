import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from index.data_directory import DataDirectory
from index.errors import CatalogUnavailable, DataDirectoryInUse


def test_a_directory_has_one_holder_at_a_time(tmp_path: Path) -> None:
    sentence = rf"process {os.getpid()}\b.*--url"
    with DataDirectory(tmp_path / "data"), pytest.raises(DataDirectoryInUse, match=sentence):
        DataDirectory(tmp_path / "data")
    DataDirectory(tmp_path / "data").close()


def test_it_is_made_when_it_is_missing(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "new" / "data") as directory:
        assert directory.path == tmp_path / "new" / "data"
        assert directory.path.is_dir()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogUnavailable):
        DataDirectory(tmp_path / "file" / "data")


def test_a_file_system_without_locks_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_file: int, _kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(CatalogUnavailable, match="locked"):
            DataDirectory(tmp_path)
    DataDirectory(tmp_path).close()


HOLD_IN_A_CHILD = """
import os, sys
from pathlib import Path
from index.data_directory import DataDirectory
directory = DataDirectory(Path(sys.argv[1]))
if os.fork() == 0:
    print("held", flush=True)
    sys.stdin.readline()
os._exit(0)
"""


def test_a_forked_worker_keeps_holding_it_and_lets_go_when_it_dies(tmp_path: Path) -> None:
    master = subprocess.Popen(
        [sys.executable, "-c", HOLD_IN_A_CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert master.stdout
    assert master.stdout.readline() == "held\n"
    assert master.wait(30) == 0
    with pytest.raises(DataDirectoryInUse):
        DataDirectory(tmp_path)
    assert master.stdin
    master.stdin.close()
    assert master.stdout.read() == ""  # the worker is on its way out
    master.stdout.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            DataDirectory(tmp_path).close()
        except DataDirectoryInUse:
            assert time.monotonic() < deadline
        else:
            break


def test_a_program_that_the_holder_started_does_not_hold_it(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    DataDirectory(tmp_path).close()
    assert program.poll() is None
    program.communicate("\n")
