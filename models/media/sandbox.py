"""
Decoding where it can be killed.

Picture decoders are the part of the service that strangers' bytes reach first. They run in a few child processes that
hold no secret, are bounded in memory and files, and are killed and replaced when they take too long, crash or answer
nonsense; the other requests go on. The children also hash, which makes them this program's way around the
interpreter lock.
"""

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

import models
from models.errors import CorruptMedia, DeadlinePassed, DecoderClosed, DecodingTooCostly, MediaError
from models.media import wire
from models.media.types import Media, MediaLimits

START_TIMEOUT_S = 60.0
"""Importing takes a fifth of a second, on a machine that has nothing else to do."""
DEFAULT_MEMORY_BYTES = 1 << 30
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(8 << 20)}
"""
For glibc, ignored elsewhere: a child keeps this much between pictures. Otherwise it returns all of it each time and has
it cleared page by page for the next, which takes nearly as long as decoding a small picture does.
"""
WORKER = (sys.executable, "-P", "-m", "models.media.worker")
BEHIND_S = 1.0
"""Background work waits for a child as if it had come so much later: uploads overtake it, but not for ever."""


class Precedence(StrEnum):
    """Who goes first where many wait."""

    UPLOAD = "upload"
    """Somebody waits for the answer."""
    BACKGROUND = "background"
    """A job: nobody does."""


class Decoder:
    """
    A pool of children that decode uploads.

    Safe from any thread; callers wait for a free child. Uploads go before background work, and where there are two
    children or more, one is left to them. Children start when first needed, and end with this process
    however it ends.

    Args:
        limits: what an upload may cost.
        processes: how many uploads are decoded at once.
        timeout_s: how long one upload may take before its child is killed.
        memory_bytes: what a child may take beyond what it needs at rest.
        command: what a child runs, before its settings.
    """

    def __init__(
        self,
        limits: MediaLimits,
        processes: int = 2,
        timeout_s: float = 10.0,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        command: Sequence[str] = WORKER,
    ) -> None:
        self._limits = limits
        self._processes = processes
        self._timeout_s = timeout_s
        settings = {"limits": asdict(limits), "timeout_s": timeout_s, "memory_bytes": memory_bytes}
        self._command = (*command, json.dumps(settings))
        self._changed = threading.Condition()
        self._idle: list[_Child | None] = [None] * processes
        self._waiting: list[float] = []
        self._background = threading.Semaphore(max(1, processes - 1))
        self._closed = False

    def start(self) -> None:
        """Start the children now, so that the first callers need not wait for them."""
        with self._changed:
            if self._closed:
                raise DecoderClosed("The decoder is shutting down.")
            for place, child in enumerate(self._idle):
                if child is None:
                    self._idle[place] = _Child(self._command)

    def decode(
        self,
        data: bytes,
        deadline: float | None = None,
        digest: str | None = None,
        precedence: Precedence = Precedence.UPLOAD,
    ) -> Media:
        """
        Decode an upload.

        Args:
            data: the upload.
            deadline: the `time.monotonic()` instant after which decoding is not begun any more.
            digest: the SHA-256 of the upload, where the caller has it.
            precedence: whether somebody waits for it.

        Raises:
            MediaError: what is wrong with the upload; DecodingTooCostly when its child had to be killed.
            DeadlinePassed: it has passed already, or no child was free in time.
            DecoderClosed: `close` was called.
        """
        self._limits.refuse_by_size(data)
        try:
            return self._decode_once(data, deadline, digest, precedence)
        except (wire.BrokenMessage, ConnectionError):
            # The child died. Of this upload, or of something that was not its fault: it has one more chance.
            pass
        try:
            return self._decode_once(data, deadline, digest, precedence)
        except (wire.BrokenMessage, ConnectionError) as error:
            raise CorruptMedia("The picture makes its decoder fail.") from error

    def close(self) -> None:
        """Let uploads that are being decoded finish, then end all children; calling it again does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._idle) == self._processes, self._timeout_s + START_TIMEOUT_S)
            children, self._idle = self._idle, [None] * len(self._idle)
        for child in children:
            if child is not None:
                child.kill()

    def _decode_once(self, data: bytes, deadline: float | None, digest: str | None, precedence: Precedence) -> Media:
        with self._place(deadline, precedence):
            return self._decode_with(self._borrow(deadline, precedence), data, digest)

    @contextmanager
    def _place(self, deadline: float | None, precedence: Precedence) -> Iterator[None]:
        """One of those that background work may take."""
        if precedence is Precedence.UPLOAD:
            yield
            return
        if not self._background.acquire(timeout=None if deadline is None else max(0.0, deadline - time.monotonic())):
            raise _too_late()
        try:
            yield
        finally:
            self._background.release()

    def _decode_with(self, child: "_Child", data: bytes, digest: str | None) -> Media:
        sound = False
        try:
            media = child.decode(data, self._limits, self._timeout_s, digest)
        except TimeoutError as error:
            raise DecodingTooCostly("Decoding this picture takes longer than it may.") from error
        except DecodingTooCostly:
            raise
        except MediaError:
            sound = True
            raise
        else:
            sound = True
            return media
        finally:
            self._give_back(child, sound=sound)

    def _borrow(self, deadline: float | None, precedence: Precedence) -> "_Child":
        with self._changed:
            now = time.monotonic()
            behind_s = BEHIND_S if precedence is Precedence.BACKGROUND else 0.0
            patience_s = None if deadline is None else deadline - now
            late = patience_s is not None and patience_s <= 0
            if late or not self._await_turn(now + behind_s, patience_s):
                raise _too_late()
            if self._closed:
                raise DecoderClosed("The decoder is shutting down.")
            child = self._idle.pop()
        if child is not None:
            if child.sound:
                return child
            child.kill()
        try:
            return _Child(self._command)
        except BaseException:
            self._give_back(None, sound=False)
            raise

    def _await_turn(self, turn: float, patience_s: float | None) -> bool:
        """Whether a child is free for it, or none will be, before patience ends."""
        self._waiting.append(turn)
        granted = False
        try:
            granted = self._changed.wait_for(
                lambda: self._closed or (bool(self._idle) and turn == min(self._waiting)), patience_s
            )
            return granted
        finally:
            self._waiting.remove(turn)
            if self._waiting and len(self._idle) > granted:
                self._changed.notify_all()  # it is the next one's turn, and a child is free for it

    def _give_back(self, child: "_Child | None", *, sound: bool) -> None:
        with self._changed:
            kept = child if sound and not self._closed else None
            self._idle.append(kept)
            self._changed.notify_all()
        if child is not None and kept is None:
            child.kill()


def _too_late() -> DeadlinePassed:
    return DeadlinePassed("The time for this request ran out before a decoder was free.")


class _Child:
    """One child process and the socket to it; used by one thread at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        # Not a copy of this process's environment: a child that is taken over finds nothing in it.
        environment = {
            "PYTHONPATH": str(Path(models.__file__).parent.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "LC_ALL": "C.UTF-8",
            **KEPT_MEMORY,
        }
        with theirs, ExitStack() as unless_started:
            self._channel = unless_started.enter_context(ours)
            self._process = subprocess.Popen(  # noqa: S603 our own module, unless a test says otherwise
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
            unless_started.pop_all()
        self._ready = False

    @property
    def sound(self) -> bool:
        """
        Whether it runs and keeps silent while nobody asks.

        What it says unasked would be taken for the answer to the next upload, and from then on each upload would get
        another one's answer.
        """
        if self._process.poll() is not None:
            return False
        if not self._ready:
            return True
        self._channel.setblocking(False)
        try:
            self._channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def decode(self, data: bytes, limits: MediaLimits, timeout_s: float, digest: str | None) -> Media:
        """
        Args:
            data: the upload.
            limits: what it may be answered.
            timeout_s: how long it may take.
            digest: of the upload; None where nobody has it yet.

        Raises:
            MediaError: what the child says is wrong with the upload.
            TimeoutError: it takes too long; kill the child.
            BrokenMessage: it is gone or talks nonsense; kill the child.
        """
        if not self._ready:
            self._await_start()
        deadline = time.monotonic() + timeout_s
        self._channel.settimeout(timeout_s)
        wire.send(self._channel, {}, data)
        if digest is None:
            digest = hashlib.sha256(data).hexdigest()  # while the child decodes
        header, payload = wire.receive(self._channel, wire.most_answer_bytes(limits), deadline)
        return wire.media_from_message(header, payload, limits, digest)

    def kill(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()

    def _await_start(self) -> None:
        try:
            wire.receive(self._channel, 0, time.monotonic() + START_TIMEOUT_S)
        except (wire.BrokenMessage, OSError) as error:
            raise RuntimeError("The decoding process does not start.") from error
        self._ready = True
