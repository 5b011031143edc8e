"""
The server: gunicorn, one process that listens and workers that answer, each with a runtime of its own.

The listening process imports no model library, so that its workers can be forked safely at any time. A worker answers
`/healthz` at once and everything else when its runtime is open. On a reload (HUP) the old workers go on until the new
ones are ready.
"""

import contextlib
import http
import mmap
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

from index.data_directory import DataDirectory
from service.connections import CONNECTION, OpenConnection, Patience, problem, refuse, say_goodbye
from service.errors import NotReady
from service.keys.exposure import refuse_open_doors
from service.logs import ServerLog, open_log, where
from service.settings import Settings

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Told = Callable[[str], None]

_CANNOT_OPEN = Arbiter.WORKER_BOOT_ERROR
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - gunicorn's heartbeat files only, which it makes safely


def run(settings: Settings, on_listening: Told | None = None, on_ready: Told | None = None) -> None:
    """
    Serves until it is told to stop; TERM lets requests finish.

    Args:
        settings: what to serve and where.
        on_listening: called with the address when the port is bound, in the listening process.
        on_ready: called with it when the first worker answers, once, in that worker.

    Raises:
        RefusedToStart: others could reach it, and nothing says who may.
        DataDirectoryInUse: another process holds the data directory.
        SystemExit: when it has stopped; not 0 when a worker could not open its runtime.
    """
    for name, value in _thread_environment(settings).items():
        os.environ.setdefault(name, value)
    refuse_open_doors(settings)
    with ExitStack() as stack:
        directory = stack.enter_context(DataDirectory(settings.data_dir))
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        if settings.workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
        _Server(settings, directory, on_listening, on_ready).run()


def _thread_environment(settings: Settings) -> dict[str, str]:
    """One search, one core: parallelism comes from requests. Read by numeric libraries when they are first imported."""
    return {
        "OMP_NUM_THREADS": str(settings.cores_for_models),
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
    }


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn is untyped
    """gunicorn, configured by our settings and nothing else."""

    def __init__(
        self, settings: Settings, directory: DataDirectory, on_listening: Told | None, on_ready: Told | None
    ) -> None:
        self.settings = settings
        self.directory = directory
        self._on_listening = on_listening
        self._on_ready = on_ready
        self._ready_told = mmap.mmap(-1, 1)
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        options = {
            "bind": f"{host}:{settings.port}",
            "workers": settings.workers,
            "threads": settings.threads + settings.event_streams,  # a stream holds one, and takes it from nobody
            "worker_class": _Worker,
            "worker_connections": max(1000, 4 * (settings.threads + settings.event_streams)),
            "worker_tmp_dir": str(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None,
            "logger_class": ServerLog,
            "loglevel": settings.log_level,
            "control_socket_disable": True,
            "graceful_timeout": settings.graceful_timeout_s,
            "timeout": 120,
            "limit_request_line": 8190,
            "keepalive": 75,
            "proc_name": "afterimage",
            "when_ready": self._listening,
            "pre_fork": _remember_siblings,
            "child_exit": _forget_figures,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGI:
        """In the worker: answers that it is not ready until its runtime is open."""
        return _Gate()

    def run(self) -> None:
        _Arbiter(self).run()

    def _listening(self, arbiter: Arbiter) -> None:
        if self._on_listening is not None:
            self._on_listening(_url(arbiter.LISTENERS[0].getsockname()))
            self._on_listening = None

    def tell_ready(self, address: tuple[str, int]) -> None:
        """In a worker: of all there ever are, the first that answers tells."""
        if self._on_ready is not None and not self._ready_told[0]:
            self._ready_told[0] = 1
            self._on_ready(_url(address))


def _url(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


class _Arbiter(Arbiter):  # type: ignore[misc] # gunicorn is untyped
    """Lets the old workers go on until as many new ones are ready."""

    def spawn_worker(self) -> object:
        """
        A worker that ends, ends here: what the listening process holds is not the worker's to close and remove.

        It has closed what is its own, and taking the model libraries down piece by piece would take seconds.
        """
        listening = os.getpid()
        try:
            return super().spawn_worker()
        except SystemExit as end:
            if os.getpid() == listening:
                raise
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))

    def reload(self) -> None:
        """On HUP: new workers beside the old ones. There is no file of settings to read again."""
        for _ in range(self.num_workers):
            self.spawn_worker()

    def manage_workers(self) -> None:
        """Called every second: tells those that are too many to stop, once."""
        if len(self.WORKERS) < self.num_workers:
            self.spawn_workers()
        by_age = sorted(self.WORKERS.values(), key=lambda worker: -int(worker.age))
        newest, surplus = by_age[: self.num_workers], by_age[self.num_workers :]
        if all(worker.ready[0] for worker in newest):
            for worker in surplus:
                if not worker.told_to_stop:
                    worker.told_to_stop = True
                    self.kill_worker(worker.pid, signal.SIGTERM)


class _Worker(ThreadWorker):  # type: ignore[misc] # gunicorn is untyped
    """A worker that opens a runtime, and says when it is ready where the listening process can see it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.ready = mmap.mmap(-1, 1)
        self.siblings_ready = False
        self.told_to_stop = False
        self._opened = threading.Event()
        self._failed = False
        self._runtime: Any = None
        self._patience: Patience | None = None

    def run(self) -> None:
        settings = self.app.settings
        arrival_s = settings.body_timeout_ms / 1000
        self._patience = Patience(arrival_s, 2 * arrival_s + settings.request_timeout_ms / 1000)
        self.wsgi.patience = self._patience
        threading.Thread(target=self._open, name="opening").start()
        while self.siblings_ready and self.alive and not self._opened.wait(0.5):
            self.notify()
        super().run()
        self._opened.wait()
        if self._runtime is not None:
            self._runtime.close()
        self._patience.close()
        if self._failed:
            sys.exit(1 if self.siblings_ready else _CANNOT_OPEN)  # those that work go on working

    def handle(self, conn: Any) -> object:  # noqa: ANN401 - a connection of gunicorn's
        """In a thread of the pool: one request, and the goodbye when it was the last of its connection."""
        if self._patience is None:
            raise RuntimeError("a request before the worker runs")
        with self._patience.watch(conn.sock):
            kept: object = super().handle(conn)
        if not kept:
            say_goodbye(conn.sock)
        return kept

    def handle_error(self, _request: object, client: socket.socket, _address: object, error: BaseException) -> None:
        refuse(client, error, open_log(self.app.settings.log_level))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._runtime is not None:
            self._runtime.readiness.drain()
            self._runtime.events.end()
        super().handle_exit(sig, frame)

    def _open(self) -> None:
        settings, log = self.app.settings, open_log(self.app.settings.log_level)
        try:
            self._runtime, application = _opened(settings, self.app.directory, log)
            self.wsgi.application = application
            self.ready[0] = 1
            log.info("ready", models=[served.id for served in self._runtime.spaces])
            self.app.tell_ready(self.sockets[0].getsockname())
        except Exception as error:  # noqa: BLE001 - whatever it is, this worker cannot work
            log.error("cannot start", reason=_sentence(error), **where(error))  # noqa: TRY400 - no foreign messages
            self._failed = True
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            self._opened.set()


class _Gate:
    """What a worker answers with: that it is starting, and then with the application."""

    def __init__(self) -> None:
        self.application: WSGI | None = None
        self.patience: Patience | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.application is not None:
            if self.patience is not None and "gunicorn.socket" in environ:
                environ[CONNECTION] = OpenConnection(environ["gunicorn.socket"], self.patience)
            return self.application(environ, start_response)
        if environ.get("PATH_INFO") == "/healthz":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b'{"status":"ok"}']
        request_id = secrets.token_hex(12)
        headers = [("Content-Type", "application/problem+json"), ("Retry-After", "1"), ("X-Request-ID", request_id)]
        start_response("503 Service Unavailable", headers)
        starting = http.HTTPStatus.SERVICE_UNAVAILABLE
        return [problem(starting, request_id, "not-ready", "The models are being opened.")]


def _opened(settings: Settings, directory: DataDirectory, log: Any) -> tuple[Any, WSGI]:  # noqa: ANN401 - see below
    """Imports the heavy parts here, in the worker: the listening process must stay free of model libraries."""
    from models.openclip import use_threads  # noqa: PLC0415 - not in the listening process
    from service.app import create_app  # noqa: PLC0415 - not in the listening process
    from service.metrics import Metrics  # noqa: PLC0415 - not in the listening process
    from service.runtime import Runtime  # noqa: PLC0415 - not in the listening process

    use_threads(settings.cores_for_models)
    metrics = Metrics(several_workers=settings.workers > 1)
    with contextlib.ExitStack() as failing:
        runtime = failing.enter_context(Runtime.open(settings, metrics=metrics, log=log, directory=directory))
        with contextlib.suppress(NotReady):  # what does not work, `/readyz` says; what does is warm now
            runtime.readiness.check()
        application = create_app(runtime)
        runtime.work_on_jobs()
        runtime.work_on_duties()
        failing.pop_all()
    return runtime, application


def _sentence(error: Exception) -> str:
    """The sentence of an error that was raised on purpose; of another, nothing is known about what is in it."""
    ours = type(error).__module__.split(".")[0] in {"service", "models", "index"}
    return str(error) if ours else "unforeseen"


def _remember_siblings(arbiter: Arbiter, worker: _Worker) -> None:
    worker.siblings_ready = any(sibling.ready[0] for sibling in arbiter.WORKERS.values())


def _forget_figures(_: Arbiter, worker: _Worker) -> None:
    """A worker that is gone has no queue and no requests in flight any more."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - only with several workers

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
