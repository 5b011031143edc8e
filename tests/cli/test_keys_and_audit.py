"""`keys` and `audit`: beside a running service, on a data directory, and on an export."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.settings import load_settings

Run = Callable[..., Any]


@pytest.fixture
def keys(run: Run, tmp_path: Path) -> Run:
    return lambda *arguments: run("keys", *arguments, "--data-dir", tmp_path)


@pytest.fixture
def audit(run: Run, tmp_path: Path) -> Run:
    return lambda *arguments: run("audit", *arguments, "--data-dir", tmp_path)


def made(keys: Run, *arguments: str) -> Any:
    ended = keys("create", *arguments, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def listed(keys: Run) -> list[Any]:
    found = json.loads(keys("list", "--json").out)
    assert isinstance(found, list)
    return found


def test_a_key_is_printed_once_and_alone_on_its_line(keys: Run) -> None:
    ended = keys("create", "center", "--role", "center")
    assert ended.code == 0
    (line,) = ended.out.splitlines()
    assert line.startswith("afterimage_")
    (key,) = listed(keys)
    assert line.split("_")[1] == key["key_id"]
    assert line.rpartition("_")[2] not in json.dumps(key) + keys("list").out + ended.err


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        ("platform", {"match", "record"}),
        ("center", {"match", "record", "curate", "incident", "confirm", "read"}),
        ("auditor", {"read", "audit"}),
    ],
)
def test_a_key_allows_what_is_usual_for_the_role_and_admin_only_when_asked(
    keys: Run, role: str, scopes: set[str]
) -> None:
    assert set(made(keys, "some", "--role", role)["scopes"]) == scopes
    assert made(keys, "some", "--role", role, "--scope", "admin")["scopes"] == ["admin"]
    assert len(made(keys, "some", "--role", role, "--scope", "all")["scopes"]) == 8


def test_what_a_key_may_is_as_it_was_asked_for(keys: Run) -> None:
    key = made(keys, "vid.example", "--expires", "2031-02-03", "--rate", "0.5", "--queries-per-day", "9", "--note", "x")
    assert key["expires_at"] == "2031-02-03T00:00:00Z"
    assert (key["rate_per_s"], key["queries_per_day"], key["note"]) == (0.5, 9, "x")
    assert made(keys, "vid.example", "--expires", "90d")["expires_at"] > "2026"


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "<script>"),
        ("create", "x" * 65),
        ("create", "center", "--scope", "everything"),
        ("create", "center", "--expires", "soon"),
        ("create", "center", "--expires", "2026-13-01"),
        ("create", "center", "--rate", "-1"),
        ("create", "center", "--note", "x" * 257),
        ("create", "center", "--note", "\udc80"),
        ("create", "center", "--role", "king"),
        ("rotate", "aaaaaaaaaaaa", "--grace", "later"),
        ("rotate", "aaaaaaaaaaaa"),
        ("revoke", "aaaaaaaaaaaa"),
    ],
)
def test_a_mistake_makes_no_key_and_is_said_without_a_traceback(keys: Run, arguments: tuple[str, ...]) -> None:
    made(keys, "there", "--role", "center")
    ended = keys(*arguments)
    assert ended.code == 2
    assert ended.err
    assert "Traceback" not in ended.err
    assert len(listed(keys)) == 1


def test_a_key_is_replaced_and_ended(keys: Run) -> None:
    first = made(keys, "center", "--role", "center")["key_id"]
    second = json.loads(keys("rotate", first, "--grace", "1h", "--json").out)["key_id"]
    assert keys("revoke", second).code == 0
    old, new = listed(keys)
    assert (old["replaced_by"], old["expires_at"] is None, new["revoked_at"] is None) == (second, False, False)
    assert "revoked" in keys("list").out


def test_a_note_cannot_steer_the_terminal(keys: Run, audit: Run) -> None:
    note = "<b>\x1b[31mred\x9b2J\u202e\r\n[bold]x[/]"
    made(keys, "center", "--role", "center", "--note", note)
    for shown in (keys("list").out, audit("list").out):
        assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(shown)
        assert "<b>" in shown
    assert listed(keys)[0]["note"] == note


def test_where_there_is_no_catalog_none_is_made(run: Run, tmp_path: Path) -> None:
    for arguments in (("keys", "list"), ("keys", "revoke", "x"), ("audit", "verify"), ("audit", "export")):
        ended = run(*arguments, "--data-dir", tmp_path / "none")
        assert (ended.code, "no catalog" in ended.err) == (2, True)
    assert not (tmp_path / "none").exists()


def test_the_log_is_listed_exported_and_verified(keys: Run, audit: Run, run: Run, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        made(keys, name)
    assert [entry["seq"] for entry in json.loads(audit("list", "-n", "2", "--json").out)] == [3, 2]
    assert json.loads(audit("list", "--subject", "keys", "--json").out)[0]["details"]["participant"] == "three"
    verified = json.loads(audit("verify", "--json").out)
    assert (verified["whole"], verified["entries"], verified["broken"]) == (True, 3, None)
    export = tmp_path / "export.jsonl"
    assert audit("export", export).code == 0
    assert audit("export").out == export.read_text()
    assert json.loads(run("audit", "verify", export, "--json").out) == verified
    assert audit("verify", "--witness", verified["head"]).code == 0
    assert run("audit", "verify", export, "--witness", verified["head"]).code == 0


def test_a_log_that_does_not_hold_ends_with_1_and_says_where(keys: Run, audit: Run, run: Run, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        made(keys, name)
    export = tmp_path / "export.jsonl"
    audit("export", export)
    lines = export.read_text().splitlines(keepends=True)
    for wrong in (
        [lines[0], lines[1].replace("two", "owt"), lines[2]],
        [lines[0], lines[2]],
        [lines[0], "{}\n"],
        [lines[0], "not JSON\n"],
        [lines[0], "[]\n"],
        [lines[0], "[" * 100_000 + "\n"],
        [lines[0], '{"approved_by":"center",' + lines[1][1:], lines[2]],
        [lines[0], '{"action":"key.revoked",' + lines[1][1:], lines[2]],
    ):
        export.write_text("".join(wrong))
        ended = run("audit", "verify", export)
        assert (ended.code, "It does up to 1:" in " ".join(ended.err.split())) == (1, True)
    export.write_text("".join(lines[:2]))
    assert run("audit", "verify", export).code == 0
    assert run("audit", "verify", export, "--witness", "3:" + "0" * 64).code == 1
    assert audit("verify", "--witness", "three").code == 2


def test_a_service_is_asked_with_the_key_of_the_environment(
    run: Run, service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is open: what is seen is what the program sent, and that it follows the chain from afar."""
    monkeypatch.setenv("AFTERIMAGE_KEY", "afterimage_x\r\n")  # as a file of variables may give it
    assert run("audit", "verify", "--url", service_url).code == 0
    assert run("audit", "list", "--url", service_url, "--json").code == 0
    assert load_settings().port == 8080  # the key is no unknown setting


def test_what_cannot_be_a_key_is_refused_and_not_shown(
    run: Run, service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERIMAGE_KEY", "afterimage_one\nafterimage_other")
    ended = run("keys", "list", "--url", service_url)
    assert (ended.code, "AFTERIMAGE_KEY" in ended.err) == (2, True)
    assert "other" not in ended.err + ended.out
