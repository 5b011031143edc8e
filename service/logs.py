"""
Structured logs: one JSON object a line, with the request id, and nothing of anybody's content.

No media, file name, address of a resource, embedding or message of an unforeseen error is ever logged: a route is
named by its rule, an unforeseen error by its class and the places in our code that it came through.
"""

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

import structlog
from gunicorn.glogging import Logger as GunicornLogger
from structlog.typing import FilteringBoundLogger

_PROCESSORS = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.EventRenamer("event"),
    structlog.processors.JSONRenderer(),
)


def open_log(level: str = "info", stream: TextIO | None = None) -> FilteringBoundLogger:
    """A logger that writes to standard error unless told otherwise; safe from any thread."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream or sys.stderr),
        processors=list(_PROCESSORS),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
    )
    return log.bind(pid=os.getpid())


def where(error: BaseException) -> dict[str, Any]:
    """An error as it may be logged: its class and the places it came through, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    causes = [type(cause).__name__ for cause in (error.__cause__, error.__context__) if cause is not None]
    return {"error": type(error).__name__, "places": places[-12:], "causes": causes}


class ServerLog(GunicornLogger):  # type: ignore[misc] # gunicorn is untyped
    """What the server itself has to say, in the same form."""

    def setup(self, cfg: Any) -> None:  # noqa: ANN401 - gunicorn is untyped
        self.error_log = logging.Logger("server", logging.INFO)  # noqa: LOG001 - gunicorn wants one of its own
        self.error_log.addHandler(_Forwarding(open_log(cfg.loglevel)))
        self.access_log = logging.Logger("access", logging.CRITICAL)  # noqa: LOG001 - we log requests ourselves

    def access(self, *_: object) -> None:
        """Requests are logged by the application, by rule."""

    def reopen_files(self) -> None:
        """There are none: standard error is somebody else's to rotate."""


class _Forwarding(logging.Handler):
    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        details = where(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        self._log.log(record.levelno, record.getMessage(), source="server", **details)
