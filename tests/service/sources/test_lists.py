"""Rows of lists: what is wrong with one is said of that row, and the others go on."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.jobs.errors import UnusableSource
from service.jobs.rows import Row
from service.jobs.sources import Sources

HASH = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
MOST_BYTES = 1000
SourcesOf = Callable[..., Sources]
RowsOf = Callable[[Sources], list[Row]]
SaidOf = Callable[[Row], Any]


def file(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_lines(tmp_path: Path) -> Path:
    lines = [json.dumps({"path": f"{number}.jpg", "labels": {"n": number}}) for number in range(20)]
    return file(tmp_path / "manifest.jsonl", "\n".join([*lines[:9], "", *lines[9:]]))


def test_bad_lines_are_said_to_be_bad_and_the_others_go_on(
    tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf, said: SaidOf
) -> None:
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


def test_a_csv_goes_on_after_a_quote_that_is_never_closed(
    tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf, said: SaidOf
) -> None:
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
def test_lists_of_hashes_are_read_as_they_are_shared(
    tmp_path: Path, name: str, text: str, sources_of: SourcesOf, rows_of: RowsOf
) -> None:
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
def test_what_a_list_does_not_mean_to_be_banked_is_not(
    tmp_path: Path, fields: dict[str, Any], reason: str, sources_of: SourcesOf, rows_of: RowsOf
) -> None:
    (row,) = rows_of(sources_of(file(tmp_path / "list.jsonl", json.dumps(fields))))
    assert row.problem == reason


def test_labels_come_from_the_fields_that_are_wanted(tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf) -> None:
    line = json.dumps({"pdq": HASH, "tags": ["a", "b"], "id": 7, "labels": {"own": True}})
    path = file(tmp_path / "list.jsonl", line)
    assert rows_of(sources_of(path))[0].labels == {"tags": "a b", "id": 7, "own": True}
    assert rows_of(sources_of(path, labels_from=["id", "none"]))[0].labels == {"id": 7}


def test_paths_in_a_list_are_relative_to_it_or_to_what_is_said(
    tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf, said: SaidOf
) -> None:
    file(tmp_path / "lists" / "here.jpg", b"beside")
    file(tmp_path / "media" / "here.jpg", b"elsewhere")
    path = file(tmp_path / "lists" / "list.jsonl", '{"path": "here.jpg"}')
    assert said(rows_of(sources_of(path))[0]) == b"beside"
    assert said(rows_of(sources_of(path, root=str(tmp_path / "media")))[0]) == b"elsewhere"


def test_a_list_that_changed_since_it_was_planned_is_not_gone_on_with(tmp_path: Path, sources_of: SourcesOf) -> None:
    path = json_lines(tmp_path)
    sources = sources_of(path)
    (span,) = sources.plan().spans
    path.write_text("{}\n" + path.read_text())
    with pytest.raises(UnusableSource):
        next(sources.rows(span, None))


def test_long_lists_are_read_in_bounded_memory(tmp_path: Path, sources_of: SourcesOf) -> None:
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


@pytest.mark.parametrize("quality", ["1e999", "-1e999", "NaN", "[]"])
def test_a_number_that_is_none_harms_its_own_row_alone(
    tmp_path: Path, quality: str, sources_of: SourcesOf, rows_of: RowsOf
) -> None:
    path = file(tmp_path / "list.jsonl", f'{{"pdq": "{HASH}", "quality": {quality}}}\n{{"pdq": "{HASH}"}}\n')
    bad, good = rows_of(sources_of(path))
    assert (bad.problem, good.problem) == ("the quality is no whole number from 0 to 100", None)


def test_what_stands_in_a_file_that_is_no_list_is_not_told(
    tmp_path: Path, sources_of: SourcesOf, rows_of: RowsOf
) -> None:
    content = "whatever=stands/IN/it+and/is/Nobodys/business is"
    text, lines = file(tmp_path / "a.txt", f"{content} x\n"), json.dumps({"type": content, "hash": HASH})
    rows = [*rows_of(sources_of(text)), *rows_of(sources_of(file(tmp_path / "a.jsonl", lines)))]
    assert [row.problem for row in rows] == ["a signal of another type"] * 2


@pytest.mark.parametrize(
    ("name", "content"), [("list.parquet", b"no parquet"), ("list.parquet", b""), ("list.csv", b"x" * 200_000)]
)
def test_a_list_that_is_not_what_it_is_called_is_not_tried_again(
    tmp_path: Path, name: str, content: bytes, sources_of: SourcesOf
) -> None:
    with pytest.raises(UnusableSource):
        sources_of(file(tmp_path / name, content)).plan()
