"""Ctrl-C while training: taken between two steps, never inside one, where the state is half of two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Stop:
    """Whether someone wants the run to end."""

    asked: bool = False

    def leave_if_asked(self) -> None:
        """
        To be called where the state is whole.

        Raises:
            KeyboardInterrupt: someone wants the run to end.
        """
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def stopped_between_steps() -> Iterator[Stop]:
    """
    Take note of Ctrl-C instead of being interrupted by it; a second one interrupts at once.

    Outside the main thread, or where a program answers to Ctrl-C in a way of its own, that is left as it is.
    """
    stop = Stop()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            signal.default_int_handler(number, frame)
        stop.asked = True

    signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
