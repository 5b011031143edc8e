"""What jobs read: every row once, in parts, from any row on; and what is wrong with a row is said of that row."""

import csv
import errno
import io
import json
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from service.errors import SourceRefused
from service.jobs import shards, sizes
from service.jobs.errors import Cancelled, UnusableSource
from service.jobs.options import SourceOptions
from service.jobs.rows import Reach, Row, UnusableRow
from service.jobs.sources import Sources, checked_sources

HASH = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
MOST_BYTES = 1000
Said = tuple[str | None, str | None]


def sources_of(*paths: Path, **options: Any) -> Sources:
    asked = SourceOptions(sources=[str(path) for path in paths], **options)
    return Sources.of(checked_sources(asked, None), MOST_BYTES)


def rows_of(sources: Sources) -> list[Row]:
    return [row for span in sources.plan().spans for row in sources.rows(span, None)]


def said(row: Row) -> Any:
    """What a row comes to: its hash, its media or its problem."""
    if row.problem is not None:
        return row.problem
    if row.pdq is not None:
        return row.pdq
    assert row.read is not None
    try:
        return row.read()
    except UnusableRow as problem:
        return str(problem)


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
    made: Callable[[Path], Path], tmp_path: Path
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
def test_single_pictures_shards_and_folders_may_be_mixed(tmp_path: Path) -> None:
    singles = [file(tmp_path / f"{number}.jpg", str(number)) for number in range(5)]
    sources = sources_of(*singles[:2], folder(tmp_path), *singles[2:], hash_list(tmp_path))
    plan = sources.plan()
    assert plan.total == 45
    assert [row.name for row in rows_of(sources) if row.pdq is None][:2] == [str(path) for path in singles[:2]]
    assert len(rows_of(sources)) == 45


def test_bad_lines_are_said_to_be_bad_and_the_others_go_on(tmp_path: Path) -> None:
    lines = [
        b'{"path": "here.jpg"}', b"no json", b"[1]", b'{"labels": {}}', b'{"path": 7}', b"\xff\xfe{}",
        b'{"path": "here.jpg", "deep": {"a": 1}}', b'{"path": "gone.jpg"}', b'{"path": "."}', b'{"path": "large.jpg"}',
        b'{"path": "' + b"x" * 2_000_000 + b'"}', b"[" * 100_000, b'{"path": "here.jpg", "last": true}',
    ]  # fmt: skip
    file(tmp_path / "here.jpg", b"media")
    file(tmp_path / "large.jpg", b"x" * (MOST_BYTES + 1))
    rows = rows_of(sources_of(file(tmp_path / "list.jsonl", b"\n".join(lines))))
    assert [said(row) for row in rows] == [
        b"media", "not JSON", "no JSON object", "neither a path nor a PDQ hash", "the path is no text", "not UTF-8",
        "the label 'deep' is not a plain value", "no such file", "no file", "over 1000 bytes",
        "a line of more than 1048576 bytes", "not JSON", b"media",
    ]  # fmt: skip
    assert rows[-1].labels == {"last": True}


def test_a_csv_goes_on_after_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    text = 'path,note\nhere.jpg,fine\nhere.jpg,"never closed\nhere.jpg,fine too\nhere.jpg\nhere.jpg,"a ""quote"""\n\n'
    file(tmp_path / "here.jpg", b"media")
    rows = rows_of(sources_of(file(tmp_path / "list.csv", text)))
    assert [said(row) for row in rows] == [b"media", "not CSV", b"media", "1 fields under 2 headings", b"media"]
    assert [row.labels for row in rows if row.problem is None] == [
        {"note": "fine"}, {"note": "fine too"}, {"note": 'a "quote"'},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", f"{HASH}\n"),
        ("list.txt", f"# comment\n\npdq {HASH}\r\n"),
        ("list.csv", f"collab,signal_type,signal_str,category,tags\nus,pdq,{HASH},POSITIVE_CLASS,a b\n"),
        ("list.csv", f"{HASH},100,somewhere/a.jpg\n"),
        ("list.txt", f"{HASH},100,somewhere/a.jpg\n"),
        ("list.tsv", f"hash\tquality\n{HASH}\t100\n"),
        ("list.jsonl", json.dumps({"indicator": HASH, "type": "HASH_PDQ", "tags": {"data": [{"text": "a"}]}})),
        ("list.json", json.dumps([{"signal_value": HASH, "signal_type": "pdq", "tags": ["a", "b"]}])),
    ],
)
def test_lists_of_hashes_are_read_as_they_are_shared(tmp_path: Path, name: str, text: str) -> None:
    (row,) = rows_of(sources_of(file(tmp_path / name, text)))
    assert (row.pdq, row.problem, row.pdq_quality) == (HASH, None, 100 if "100" in text else None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"signal_type": "video_md5", "signal_str": "0" * 32}, "a signal of another type: video_md5"),
        ({"pdq": HASH, "category": "NEGATIVE_CLASS"}, "its list says that it is not of this kind (NEGATIVE_CLASS)"),
        ({"indicator": HASH, "should_delete": True}, "its list has withdrawn it (should_delete)"),
        ({"pdq": HASH, "quality": 101}, "the quality is no whole number from 0 to 100"),
        ({"pdq": HASH, "quality": "good"}, "the quality is no whole number from 0 to 100"),
    ],
)
def test_what_a_list_does_not_mean_to_be_banked_is_not(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    (row,) = rows_of(sources_of(file(tmp_path / "list.jsonl", json.dumps(fields))))
    assert row.problem == reason


def test_labels_come_from_the_fields_that_are_wanted(tmp_path: Path) -> None:
    line = json.dumps({"pdq": HASH, "tags": ["a", "b"], "id": 7, "labels": {"own": True}})
    path = file(tmp_path / "list.jsonl", line)
    assert rows_of(sources_of(path))[0].labels == {"tags": "a b", "id": 7, "own": True}
    assert rows_of(sources_of(path, labels_from=["id", "none"]))[0].labels == {"id": 7}


def test_paths_in_a_list_are_relative_to_it_or_to_what_is_said(tmp_path: Path) -> None:
    file(tmp_path / "lists" / "here.jpg", b"beside")
    file(tmp_path / "media" / "here.jpg", b"elsewhere")
    path = file(tmp_path / "lists" / "list.jsonl", '{"path": "here.jpg"}')
    assert said(rows_of(sources_of(path))[0]) == b"beside"
    assert said(rows_of(sources_of(path, root=str(tmp_path / "media")))[0]) == b"elsewhere"


def test_samples_of_a_shard_have_their_labels(tmp_path: Path) -> None:
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
def test_of_a_damaged_shard_what_can_be_read_is_read(tmp_path: Path, length: int) -> None:
    path = shard(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    rows = rows_of(sources_of(path))
    assert (rows[-1].problem or "").startswith("the shard is damaged")
    assert [said(row) for row in rows[:-1]] == [b"0", b"0p", b"1"][: len(rows) - 1]


def test_only_what_lies_below_the_roots_is_read(tmp_path: Path) -> None:
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


def test_a_list_that_changed_since_it_was_planned_is_not_gone_on_with(tmp_path: Path) -> None:
    path = json_lines(tmp_path)
    sources = sources_of(path)
    (span,) = sources.plan().spans
    path.write_text("{}\n" + path.read_text())
    with pytest.raises(UnusableSource):
        next(sources.rows(span, None))


def test_long_lists_are_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("w") as lines:
        for number in range(4_000):
            lines.write(f'{{"pdq": "{number:064x}", "n": {number}}}\n')
    sources = sources_of(path)
    tracemalloc.start()
    plan = sources.plan()
    count = sum(1 for span in plan.spans for _ in sources.rows(span, None))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, plan.total) == (4_000, 4_000)
    assert peak < 800_000


def raw_shard(path: Path, *members: tuple[str, bytes], **fields: Any) -> Path:
    with tarfile.open(path, "w", **fields) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_shard_that_is_damaged_in_the_middle_is_not_taken_for_its_end(tmp_path: Path) -> None:
    path = raw_shard(tmp_path / "shard.tar", ("a.jpg", b"a"), ("b.jpg", b"b"), ("c.jpg", b"c"))
    content = bytearray(path.read_bytes())
    content[2048:2054] = b"broken"
    path.write_bytes(content)
    assert [said(row) for row in rows_of(sources_of(path))] == [b"a", "the shard is damaged (ReadError)"]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_name_in_a_shard_that_would_fill_the_memory_is_not_read(tmp_path: Path, suffix: str) -> None:
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


def test_a_shard_whose_lengths_lead_back_comes_to_an_end(tmp_path: Path) -> None:
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
def test_a_name_that_is_none_harms_its_own_row_alone(tmp_path: Path, name: str) -> None:
    path = raw_shard(tmp_path / "shard.tar", (name, b"x"), ("b.jpg", b"b"))
    assert said(rows_of(sources_of(path))[-1]) == b"b"


def test_pictures_that_share_the_beginning_of_their_names_are_not_held_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_a_disk_that_fails_for_a_moment_is_no_damaged_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = sources_of(shard(tmp_path))
    (span,) = sources.plan().spans

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "the network is away")

    monkeypatch.setattr(tarfile, "open", failing)
    with pytest.raises(OSError, match="away"):
        list(sources.rows(span, None))


@pytest.mark.parametrize("quality", ["1e999", "-1e999", "NaN", "[]"])
def test_a_number_that_is_none_harms_its_own_row_alone(tmp_path: Path, quality: str) -> None:
    path = file(tmp_path / "list.jsonl", f'{{"pdq": "{HASH}", "quality": {quality}}}\n{{"pdq": "{HASH}"}}\n')
    bad, good = rows_of(sources_of(path))
    assert (bad.problem, good.problem) == ("the quality is no whole number from 0 to 100", None)


def test_what_stands_in_a_file_that_is_no_list_is_not_told(tmp_path: Path) -> None:
    content = "whatever=stands/IN/it+and/is/Nobodys/business is"
    text, lines = file(tmp_path / "a.txt", f"{content} x\n"), json.dumps({"type": content, "hash": HASH})
    rows = [*rows_of(sources_of(text)), *rows_of(sources_of(file(tmp_path / "a.jsonl", lines)))]
    assert [row.problem for row in rows] == ["a signal of another type"] * 2


def test_a_folder_that_cannot_be_read_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_folder_that_is_gone_is_not_an_empty_one(tmp_path: Path) -> None:
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


def test_a_shard_that_is_done_with_may_go(tmp_path: Path) -> None:
    first, second = shard(tmp_path, "1.tar"), shard(tmp_path, "2.tar")
    sources = sources_of(first, second)
    _, span = sources.plan().spans
    first.unlink()
    assert len(list(sources.rows(span, None))) == 40


@pytest.mark.parametrize(
    ("name", "content"), [("list.parquet", b"no parquet"), ("list.parquet", b""), ("list.csv", b"x" * 200_000)]
)
def test_a_list_that_is_not_what_it_is_called_is_not_tried_again(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(UnusableSource):
        sources_of(file(tmp_path / name, content)).plan()


def test_a_plan_ends_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        sources_of(folder(tmp_path)).plan(stop)


def test_a_file_that_does_not_say_how_long_it_is_is_read_no_further_than_allowed() -> None:
    with pytest.raises(UnusableRow, match="over 10 bytes"):
        Reach(most_bytes=10).read(Path("/proc/self/status"))
