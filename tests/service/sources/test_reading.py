"""Every row comes once, in parts, from any row on; and nothing is read but what may be."""

import csv
import errno
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from service.errors import SourceRefused
from service.jobs import sizes
from service.jobs.errors import Cancelled, UnusableSource
from service.jobs.options import SourceOptions
from service.jobs.rows import Reach, Row, UnusableRow
from service.jobs.sources import Sources, checked_sources

HASH = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
MOST_BYTES = 1000
SourcesOf = Callable[..., Sources]
RowsOf = Callable[[Sources], list[Row]]
SaidOf = Callable[[Row], Any]


def file(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_FIRST", 3)
    monkeypatch.setattr(sizes, "_BEFORE_DOUBLING", 2)


def folder(tmp_path: Path) -> Path:
    for number in range(4):
        for name in ("b", "a", "c/x", "c/y", "c.z"):
            file(tmp_path / "folder" / f"{number}" / f"{name}.jpg", f"{number} {name}")
    file(tmp_path / "folder" / "0" / "notes.txt", "no picture")
    file(tmp_path / "folder" / ".hidden" / "a.jpg", "hidden")
    return tmp_path / "folder"


def json_lines(tmp_path: Path) -> Path:
    lines = [json.dumps({"path": f"{number}.jpg", "labels": {"n": number}}) for number in range(20)]
    return file(tmp_path / "manifest.jsonl", "\n".join([*lines[:9], "", *lines[9:]]))


def table(tmp_path: Path) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["path", "note"])
    writer.writerows([f"{number}.jpg", f"lines\nand, commas {number}"] for number in range(20))
    return file(tmp_path / "manifest.csv", "\ufeff" + text.getvalue())


def columns(tmp_path: Path) -> Path:
    rows = pa.Table.from_pylist([{"path": f"{number}.jpg", "n": number} for number in range(20)])
    parquet.write_table(rows, tmp_path / "manifest.parquet", row_group_size=6)
    return tmp_path / "manifest.parquet"


def document(tmp_path: Path) -> Path:
    entries = [{"indicator": HASH, "type": "HASH_PDQ", "id": str(number)} for number in range(20)]
    return file(tmp_path / "answer.json", json.dumps({"data": entries, "paging": {}}))


def shard(tmp_path: Path, name: str = "shard.tar", mode: str = "w") -> Path:
    with tarfile.open(tmp_path / name, mode) as tar:  # type: ignore[call-overload]
        for number in range(20):
            for ending, content in (("jpg", f"{number}"), ("json", json.dumps({"n": number})), ("png", f"{number}p")):
                member = tarfile.TarInfo(f"{'long' * 40 if number == 5 else 'some'}/{number:03d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
    return tmp_path / name


def packed_shard(tmp_path: Path) -> Path:
    return shard(tmp_path, "shard.tar.gz", "w:gz")


def hash_list(tmp_path: Path) -> Path:
    return file(tmp_path / "hashes.txt", "# ours\n" + "".join(f"pdq {number:064x}\n" for number in range(20)))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "made",
    [folder, json_lines, table, columns, document, shard, packed_shard, hash_list],
    ids=lambda made: made.__name__,
)
def test_every_row_comes_once_whatever_the_parts_and_wherever_one_goes_on(
    made: Callable[[Path], Path], tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf
) -> None:
    sources = sources_of(made(tmp_path))
    plan = sources.plan()
    names = []
    for span in plan.spans:
        rows = list(sources.rows(span, None))
        names += [row.name for row in rows]
        for place, row in enumerate(rows):
            after = json.loads(json.dumps(row.after))
            assert [each.name for each in sources.rows(span, after)] == [each.name for each in rows[place + 1 :]]
    assert len(names) == len(set(names)) == (40 if "shard" in made.__name__ else 20)
    assert plan.total in (20, None)
    assert [row.problem for row in rows_of(sources) if row.problem] == []


@pytest.mark.usefixtures("small_parts")
def test_single_pictures_shards_and_folders_may_be_mixed(
    tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf
) -> None:
    singles = [file(tmp_path / f"{number}.jpg", str(number)) for number in range(5)]
    sources = sources_of(*singles[:2], folder(tmp_path), *singles[2:], hash_list(tmp_path))
    plan = sources.plan()
    assert plan.total == 45
    assert [row.name for row in rows_of(sources) if row.pdq is None][:2] == [str(path) for path in singles[:2]]
    assert len(rows_of(sources)) == 45


def test_only_what_lies_below_the_roots_is_read(tmp_path: Path, rows_of: RowsOf, said: SaidOf) -> None:
    inside, outside = file(tmp_path / "in" / "a.jpg", b"a"), file(tmp_path / "out" / "b.jpg", b"b")
    (tmp_path / "in" / "link.jpg").symlink_to(outside)
    manifest = file(tmp_path / "in" / "list.jsonl", '{"path": "../out/b.jpg"}\n{"path": "a.jpg"}')
    roots = [tmp_path / "in"]
    with pytest.raises(SourceRefused) as refused:
        checked_sources(
            SourceOptions(sources=[str(inside), str(outside), str(tmp_path / "in/../out"), "/etc/passwd"]), roots
        )
    assert [fault.pointer for fault in refused.value.faults] == [f"/options/sources/{place}" for place in (1, 2, 3)]
    allowed = checked_sources(SourceOptions(sources=[str(tmp_path / "in"), str(manifest)]), roots)
    outcomes = {row.name.rsplit("/", 1)[-1]: said(row) for row in rows_of(Sources.of(allowed, MOST_BYTES))}
    refused_for = "outside the folders that may be read"
    assert outcomes == {"a.jpg": b"a", "link.jpg": refused_for, "b.jpg": refused_for} | {"list.jsonl:2 a.jpg": b"a"}


def test_without_roots_nothing_is_read_for_others(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused):
        checked_sources(SourceOptions(sources=[str(folder(tmp_path))]), ())


@pytest.mark.parametrize("path", ["/no/such", "x" * 4000, "/dev/null/below"])
def test_sources_that_are_not_there_are_refused(path: str) -> None:
    with pytest.raises(SourceRefused):
        checked_sources(SourceOptions(sources=[path]), None)


def test_a_folder_that_cannot_be_read_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources_of: SourcesOf, rows_of: RowsOf, said: SaidOf
) -> None:
    path = folder(tmp_path)
    listed = Path.iterdir

    def refusing(at: Path) -> Any:
        if at.name == "c":
            raise PermissionError(errno.EACCES, "no")
        return listed(at)

    monkeypatch.setattr(Path, "iterdir", refusing)
    sources = sources_of(path)
    rows = rows_of(sources)
    assert [Path(row.name).parent.name for row in rows if said(row) == "no file"] == ["0", "1", "2", "3"]
    assert len(rows) == 4 * 4
    (span,) = sources.plan().spans
    for place, row in enumerate(rows):
        assert [each.name for each in sources.rows(span, row.after)] == [each.name for each in rows[place + 1 :]]


def test_a_folder_that_is_gone_is_not_an_empty_one(tmp_path: Path, sources_of: SourcesOf) -> None:
    path = folder(tmp_path)
    sources = sources_of(path)
    (span,) = sources.plan().spans
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(UnusableSource):
        list(sources.rows(span, None))


def test_a_source_that_leads_out_of_the_roots_since_it_was_asked_for_is_not_read(tmp_path: Path) -> None:
    secret = file(tmp_path / "out" / "list.txt", f"{HASH}\n")
    path = file(tmp_path / "in" / "list.txt", f"{HASH}\n")
    sources = Sources.of(checked_sources(SourceOptions(sources=[str(path)]), [tmp_path / "in"]), MOST_BYTES)
    (span,) = sources.plan().spans
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(UnusableSource, match="out of the folders"):
        sources.plan()
    with pytest.raises(UnusableSource, match="out of the folders"):
        list(sources.rows(span, None))


def test_a_plan_ends_when_nobody_waits_for_it_any_more(tmp_path: Path, sources_of: SourcesOf) -> None:
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        sources_of(folder(tmp_path)).plan(stop)


def test_a_file_that_does_not_say_how_long_it_is_is_read_no_further_than_allowed() -> None:
    with pytest.raises(UnusableRow, match="over 10 bytes"):
        Reach(most_bytes=10).read(Path("/proc/self/status"))


def test_a_file_that_does_not_say_how_long_it_is_is_read_whole() -> None:
    status = Path("/proc/self/status")
    assert status.stat().st_size == 0
    assert Reach().read(status).startswith(b"Name:")


def test_a_file_may_be_as_long_as_allowed_and_no_longer(tmp_path: Path) -> None:
    path = file(tmp_path / "a.bin", bytes(range(200)) * 500)
    assert Reach(most_bytes=100_000).read(path) == path.read_bytes()
    with pytest.raises(UnusableRow, match="over 99999 bytes"):
        Reach(most_bytes=99_999).read(path)
