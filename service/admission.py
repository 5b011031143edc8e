"""Lets in as many requests with media as can be answered in time; others are refused before they cost anything."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Overloaded


class Admission:
    """Safe from any thread."""

    def __init__(self, places: int) -> None:
        self._free = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self) -> Iterator[None]:
        """
        A place for as long as the request takes.

        Raises:
            Overloaded: there is none free, and nobody waits for one here.
        """
        if not self._free.acquire(blocking=False):
            raise Overloaded("As many requests as can be answered in time are being answered already.")
        try:
            yield
        finally:
            self._free.release()
