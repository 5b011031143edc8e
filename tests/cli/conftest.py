"""The program, run in this process, and the two places it works on."""

import io
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from werkzeug.serving import WSGIRequestHandler, make_server

from service.app import create_app
from service.cli import main
from service.runtime import Runtime
from service.settings import load_settings


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `afterimage` with the arguments."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("AFTERIMAGE_URL", raising=False)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["afterimage", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, out, err)

    return run


def _picture(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Coloured hills, other ones for every seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float64) / max(size)
    layers = [
        sum(
            rng.uniform(0.3, 1) * np.sin(2 * np.pi * (rng.uniform(0.5, 6) * x + rng.uniform(0.5, 6) * y + rng.random()))
            for _ in range(6)
        )
        for _ in range(3)
    ]
    pixels = np.stack(layers, axis=-1)
    pixels = 255 * (pixels - pixels.min()) / np.ptp(pixels)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture
def write_png() -> Callable[[Path, int], Path]:
    """Writes the picture of a seed to a path, whose folders it makes."""

    def write(path: Path, seed: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        _picture(seed).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
        return path

    return write


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - its own name for it
        pass


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the jobs of the service may read."""
    return tmp_path_factory.mktemp("readable")


@pytest.fixture(scope="module")
def service_url(tmp_path_factory: pytest.TempPathFactory, readable: Path) -> Iterator[str]:
    """A service with the bundled model, answering over HTTP and doing jobs."""
    settings = load_settings(
        data_dir=tmp_path_factory.mktemp("service"), log_level="error", decode_processes=1, ingest_roots=(readable,)
    )
    with Runtime.open(settings) as runtime:
        runtime.work_on_jobs()
        runtime.work_on_duties()
        server = make_server("127.0.0.1", 0, create_app(runtime), threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture(params=["service", "data directory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The flags that name a place to work on: a command must not care which of the two it is."""
    if request.param == "service":
        return ("--url", request.getfixturevalue("service_url"))
    return ("--data-dir", str(tmp_path / "data"))


@pytest.fixture
def bank() -> str:
    """A name that no other test uses: they share a service."""
    return f"bank-{uuid.uuid4().hex[:12]}"
