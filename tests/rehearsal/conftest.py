"""Uploads and logs made by hand, for the rehearsal's judgement of them."""

from collections.abc import Callable
from typing import Any

import pytest

from service.rehearsal.records import Banked, Catch, Hash, Log, Means, Seen
from service.rehearsal.script import Kind, Upload

FAR = bytes(range(32))


class Story:
    """A log that is told line by line."""

    def __init__(self) -> None:
        self.log = Log(360.0, ("agora", "beacon"))

    def upload(
        self, name: str, minute: float, kind: Kind = Kind.VERSION, *, action: str = "none", **facts: Any
    ) -> "Story":
        """An upload with an answer; its hash is the name's own unless one is given."""
        digest = facts.pop("digest", name.encode().ljust(32, b"\xa5"))
        upload = Upload(name, minute, facts.pop("platform", "agora"), kind, b"", facts.pop("source", 0))
        band = "none" if action == "none" else "variant"
        reasons = tuple(facts.pop("reasons", ()))
        taken = Hash(digest, facts.pop("quality", 100))
        self.log.seen.append(Seen(upload, band, action, reasons, taken, 0.05, f"sighting of {name}", **facts))
        return self

    def banked(
        self, name: str, minute: float, digest: bytes = FAR, *, quality: int = 100, why: str = "report"
    ) -> "Story":
        self.log.banked.append(Banked(name, minute, Hash(digest, quality), why))
        return self

    def caught(self, name: str, minute: float, means: Means) -> "Story":
        self.log.catches.append(Catch(name, minute, means))
        return self


@pytest.fixture
def story() -> Callable[[], Story]:
    return Story
