"""Samples of shards, also of damaged ones and of those made to do harm."""

import errno
import io
import json
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.jobs import shards
from service.jobs.rows import Row
from service.jobs.sources import Sources

MOST_BYTES = 1000
SourcesOf = Callable[..., Sources]
RowsOf = Callable[[Sources], list[Row]]
SaidOf = Callable[[Row], Any]


def shard(tmp_path: Path, name: str = "shard.tar", mode: str = "w") -> Path:
    with tarfile.open(tmp_path / name, mode) as tar:  # type: ignore[call-overload]
        for number in range(20):
            for ending, content in (("jpg", f"{number}"), ("json", json.dumps({"n": number})), ("png", f"{number}p")):
                member = tarfile.TarInfo(f"{'long' * 40 if number == 5 else 'some'}/{number:03d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
    return tmp_path / name


def test_samples_of_a_shard_have_their_labels(
    tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf, said: SaidOf
) -> None:
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for name, content in {
            "a.jpg": b"a", "a.json": b'{"n": 1}', "a.cls": b"cat\n", "b.json": b"[]", "b.jpg": b"b", "c.txt": b"c",
            "d.jpg": b"x" * (MOST_BYTES + 1),
        }.items():  # fmt: skip
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    rows = rows_of(sources_of(tmp_path / "shard.tar"))
    assert [said(row) for row in rows] == [
        b"a", "the labels in .json are not plain values", "a sample without a picture", "too large",
    ]  # fmt: skip
    assert rows[0].labels == {"n": 1, "cls": "cat"}


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_of_a_damaged_shard_what_can_be_read_is_read(
    tmp_path: Path, length: int, sources_of: SourcesOf, rows_of: RowsOf, said: SaidOf
) -> None:
    path = shard(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    rows = rows_of(sources_of(path))
    assert (rows[-1].problem or "").startswith("the shard is damaged")
    assert [said(row) for row in rows[:-1]] == [b"0", b"0p", b"1"][: len(rows) - 1]


def raw_shard(path: Path, *members: tuple[str, bytes], **fields: Any) -> Path:
    with tarfile.open(path, "w", **fields) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_shard_that_is_damaged_in_the_middle_is_not_taken_for_its_end(
    tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf, said: SaidOf
) -> None:
    path = raw_shard(tmp_path / "shard.tar", ("a.jpg", b"a"), ("b.jpg", b"b"), ("c.jpg", b"c"))
    content = bytearray(path.read_bytes())
    content[2048:2054] = b"broken"
    path.write_bytes(content)
    assert [said(row) for row in rows_of(sources_of(path))] == [b"a", "the shard is damaged (ReadError)"]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_name_in_a_shard_that_would_fill_the_memory_is_not_read(
    tmp_path: Path, suffix: str, sources_of: SourcesOf, rows_of: RowsOf
) -> None:
    path = tmp_path / f"shard.{suffix}"
    with tarfile.open(path, "w:gz" if suffix == "tar.gz" else "w") as tar:
        member = tarfile.TarInfo("././@LongLink")
        member.type, member.size = tarfile.GNUTYPE_LONGNAME, 64 << 20
        tar.addfile(member, io.BytesIO(bytes(64 << 20)))
    tracemalloc.start()
    rows = rows_of(sources_of(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [row.problem for row in rows] == ["the shard is damaged (ReadError)"]
    assert peak < 8 << 20


def test_a_shard_whose_lengths_lead_back_comes_to_an_end(tmp_path: Path, sources_of: SourcesOf) -> None:
    path = raw_shard(tmp_path / "shard.tar", ("a.jpg", b"a"))
    member = tarfile.TarInfo("b.jpg")
    member.pax_headers = {"size": "-2048"}
    header = member.tobuf(tarfile.PAX_FORMAT)
    path.write_bytes(path.read_bytes()[:1024] + header + bytes(1024))
    rows = []
    for row in sources_of(path).rows({"source": 0, "stamp": None}, None):
        rows.append(row.problem)
        assert len(rows) < 10
    assert (rows[-1] or "").startswith("the shard is damaged")


@pytest.mark.parametrize("name", [".", "", "..", "/", "a/"])
def test_a_name_that_is_none_harms_its_own_row_alone(
    tmp_path: Path, name: str, sources_of: SourcesOf, rows_of: RowsOf, said: SaidOf
) -> None:
    path = raw_shard(tmp_path / "shard.tar", (name, b"x"), ("b.jpg", b"b"))
    assert said(rows_of(sources_of(path))[-1]) == b"b"


def test_pictures_that_share_the_beginning_of_their_names_are_not_held_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources_of: SourcesOf, said: SaidOf
) -> None:
    monkeypatch.setattr(shards, "_MOST_PICTURES", 3)
    path = raw_shard(tmp_path / "shard.tar", *((f"2024.{number}.jpg", b"%d" % number) for number in range(8)))
    sources = sources_of(path)
    (span,) = sources.plan().spans
    rows = list(sources.rows(span, None))
    assert [said(row) for row in rows] == [b"%d" % number for number in range(8)]
    assert rows[2].after["at"] == 3 * 1024, "the first three are done with before the fourth is read"
    for place, row in enumerate(rows):
        assert [said(each) for each in sources.rows(span, row.after)] == [said(each) for each in rows[place + 1 :]]


def test_a_disk_that_fails_for_a_moment_is_no_damaged_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources_of: SourcesOf
) -> None:
    sources = sources_of(shard(tmp_path))
    (span,) = sources.plan().spans

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "the network is away")

    monkeypatch.setattr(tarfile, "open", failing)
    with pytest.raises(OSError, match="away"):
        list(sources.rows(span, None))


def test_a_shard_that_is_done_with_may_go(tmp_path: Path, sources_of: SourcesOf) -> None:
    first, second = shard(tmp_path, "1.tar"), shard(tmp_path, "2.tar")
    sources = sources_of(first, second)
    _, span = sources.plan().spans
    first.unlink()
    assert len(list(sources.rows(span, None))) == 40
