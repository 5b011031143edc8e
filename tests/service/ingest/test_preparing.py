"""Rows on their way into a bank: embedded together, and what comes of each is as if it had been alone."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from index.records.banks import Purpose
from index.records.items import ItemKind, NewFrame, NewItem
from index.records.jobs import Job
from models.errors import EmbeddingFailed, QueueFull
from models.media.sandbox import Precedence
from models.media.types import DecodedFrame, Media
from service.ingest import AddOptions
from service.jobs import preparing
from service.jobs.pipeline import Refused
from service.jobs.preparing import Known, Prepared, Preparer
from service.jobs.rows import Row
from service.runtime import Runtime

POISON = (255, 0, 255)
Ingested = Callable[..., Job]
Skipped = Callable[[Runtime, Job], dict[str, str]]

HELD = """
    SELECT items.sha256, items.kind, items.labels, frames.pdq, frames.pdq_quality, embeddings.views, embeddings.vectors
    FROM items JOIN banks USING (bank_key) JOIN frames USING (item_key) JOIN embeddings USING (item_key, frame_no)
    WHERE banks.name = :bank ORDER BY items.sha256
"""


class Pictures:
    """A banker of bytes: `2 frames` has two, `poison` fails in the model, `busy` finds the queue full once."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.decoded_with: dict[bytes, str | None] = {}
        self.staged: list[str] = []
        self.tiles = 0
        self._busy = True

    def decoded(self, data: bytes, options: AddOptions, digest: str | None = None) -> Media:
        assert options.precedence is Precedence.BACKGROUND, "uploads go first"
        self.decoded_with[data] = digest
        frames = int(data.split()[0]) if data[:1].isdigit() else 1
        still = DecodedFrame(np.zeros((1, 1, 3), np.uint8), bytes(32), 100, low_information=False, position_ms=0)
        return Media("image", data.decode(), 1, 1, (still,) * frames, None, hashlib.sha256(data).hexdigest())

    def items_of(self, asked: Sequence[tuple[Media, AddOptions]], tiles: int = 0) -> list[NewItem]:
        assert tiles == self.tiles
        self.groups.append([media.format.encode() for media, _ in asked])
        if self._busy and any(media.format == "busy" for media, _ in asked):
            self._busy = False
            raise QueueFull("Too many pictures are waiting to be embedded.")
        if any(media.format == "poison" for media, _ in asked):
            raise EmbeddingFailed("The model failed on this picture.")
        frame = NewFrame(0, bytes(32), 100)
        return [NewItem(ItemKind.IMAGE, [frame], options.labels, media.sha256) for media, options in asked]

    def stage(self, item: NewItem, data: bytes) -> tuple[NewItem, None]:
        assert item.sha256 == hashlib.sha256(data).hexdigest(), "each item comes with its own bytes"
        self.staged.append(item.sha256)
        return item, None


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


@pytest.fixture
def prepared(pictures: Pictures) -> Callable[..., list[Any]]:
    def run(*contents: bytes, known: Sequence[bytes] = ()) -> list[Any]:
        held = {hashlib.sha256(data).hexdigest() for data in known}
        bank = SimpleNamespace(settings=SimpleNamespace(tiles=pictures.tiles))
        catalog = SimpleNamespace(bank_knowing=lambda _name, digests: (bank, held & digests))
        task = SimpleNamespace(options={"bank": "known", "labels": {}, "force": False}, stop_if_asked=lambda: None)
        rows = [Row(f"{i}", {"next": i}, {"no": i}, read=partial(bytes, data)) for i, data in enumerate(contents)]
        return Preparer(pictures, catalog, threads=8).prepared(rows, task)  # type: ignore[arg-type]

    return run


def test_pictures_are_embedded_together_and_come_back_in_their_order(
    pictures: Pictures, prepared: Callable[..., list[Any]]
) -> None:
    contents = [b"a", b"b", b"c", b"d", b"e"]
    outcomes = prepared(*contents, known=[b"c"])
    assert pictures.groups == [[b"a", b"b", b"d", b"e"]]
    assert isinstance(outcomes[2], Known)
    items = [outcome.item for outcome in outcomes if isinstance(outcome, Prepared)]
    assert [(item.labels["no"], item.sha256) for item in items] == [
        (i, hashlib.sha256(data).hexdigest()) for i, data in enumerate(contents) if data != b"c"
    ]


def test_frames_are_counted_when_pictures_are_put_together(
    pictures: Pictures, prepared: Callable[..., list[Any]]
) -> None:
    prepared(b"5 frames", b"4 frames", b"8 frames", b"a", b"b")
    assert pictures.groups == [[b"5 frames", b"4 frames"], [b"8 frames"], [b"a", b"b"]]


def test_tiles_are_counted_too(pictures: Pictures, prepared: Callable[..., list[Any]]) -> None:
    pictures.tiles = 4
    prepared(b"a", b"b")
    assert pictures.groups == [[b"a"], [b"b"]]


def test_what_the_model_fails_on_is_refused_alone(pictures: Pictures, prepared: Callable[..., list[Any]]) -> None:
    outcomes = prepared(b"a", b"poison", b"b")
    assert [type(outcome) for outcome in outcomes] == [Prepared, Refused, Prepared]
    assert pictures.groups == [[b"a", b"poison", b"b"], [b"a"], [b"poison"], [b"b"]]
    assert len(pictures.staged) == 2, "no original of what is refused"


def test_where_the_queue_is_full_nothing_is_decoded_again(
    pictures: Pictures, prepared: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.pipeline._PATIENCE_S", 0)
    outcomes = prepared(b"a", b"busy")
    assert [type(outcome) for outcome in outcomes] == [Prepared, Prepared]
    assert pictures.groups == [[b"a", b"busy"]] * 2
    assert len(pictures.decoded_with) == 2


def test_bytes_that_are_too_many_to_be_held_are_read_anew_and_wait_for_no_others(
    pictures: Pictures, prepared: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "_HELD_BYTES", 5)
    prepared(b"a", b"large one", b"b")
    assert pictures.groups == [[b"a", b"large one"], [b"b"]]
    assert pictures.decoded_with[b"large one"] is None, "its file may be another one by now"
    assert pictures.decoded_with[b"a"] == hashlib.sha256(b"a").hexdigest()


def test_an_ingest_banks_what_uploads_one_by_one_would(
    service: Runtime, ingested: Ingested, skipped: Skipped, jpeg: Callable[[int], bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    service.catalog.put_bank("one by one", Purpose.HARMFUL)
    for number in range(19):
        (folder / f"{number:02d}.jpg").write_bytes(jpeg(number))
        service.banker.add("one by one", jpeg(number), AddOptions(labels={"from": "here"}))
    picture = Image.new("RGB", (64, 64), POISON)
    picture.paste(Image.effect_mandelbrot((40, 64), (-2, -1, 1, 1), 60), (24, 0))
    picture.save(folder / "07-poison.png")
    job = ingested(folder, labels={"from": "here"})
    assert skipped(service, job) == {"07-poison.png": "The model failed on this picture."}
    with service.catalog.database.reading() as connection:
        together, alone = (connection.execute(text(HELD), {"bank": name}).all() for name in ("known", "one by one"))
    assert len(together) == 19
    assert together == alone
