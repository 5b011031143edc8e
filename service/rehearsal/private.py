"""A service of the rehearsal's own: the real one, in processes of its own, on a folder that is gone afterwards."""

import multiprocessing
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from service.client import Client
from service.rehearsal.errors import NoServiceOfOwn

_READY_WITHIN_S = 120.0
_STOPPED_WITHIN_S = 20.0
_ADMIN = {
    "participant": "rehearsal",
    "role": "center",
    "scopes": ["match", "record", "curate", "incident", "confirm", "read", "audit", "admin"],
    "rate_per_s": 0,
    "note": "whoever rehearses",
}


@dataclass(frozen=True, slots=True)
class PrivateService:
    url: str
    key: str
    """Allows everything."""


@contextmanager
def private_service(publisher: str) -> Iterator[PrivateService]:
    """
    A service that nobody else knows, with the settings that a new one has, and a key for whoever rehearses.

    Args:
        publisher: whom it trusts to publish news.

    Raises:
        NoServiceOfOwn: it did not start.
    """
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="afterimage-rehearsal-") as folder:
        ours, its = spawning.Pipe(duplex=False)
        process = spawning.Process(target=_serve, args=(folder, publisher, its), name="afterimage-rehearsal")
        process.start()
        its.close()
        try:
            url = _url(ours, process)
            yield PrivateService(url, str(Client(url).create_key(_ADMIN)["key"]))
        finally:
            _stop(process)
            ours.close()


def _url(pipe: Connection, process: SpawnProcess) -> str:
    with suppress(EOFError):
        if pipe.poll(_READY_WITHIN_S):
            return str(pipe.recv())
    process.join(1)
    raise NoServiceOfOwn("A service of its own did not start; the lines above say why. `afterimage doctor` knows more.")


def _stop(process: SpawnProcess) -> None:
    process.terminate()
    process.join(_STOPPED_WITHIN_S)
    if process.is_alive():
        process.kill()
        process.join()


def _serve(folder: str, publisher: str, ready: Connection) -> None:
    """In the process of its own. Ctrl-C is for whoever rehearses, who then stops this one."""
    from service.server import run  # noqa: PLC0415 - in this process alone
    from service.settings import load_settings  # noqa: PLC0415 - likewise

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = load_settings(
        host="127.0.0.1",
        port=0,
        data_dir=Path(folder),
        catalog="",
        originals="none",
        trusted_publishers=(publisher,),
        log_level="warning",
    )
    run(settings, on_ready=ready.send)
