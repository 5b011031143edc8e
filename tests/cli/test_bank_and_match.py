"""`bank add`, `bank list` and `match`, on a service and on a data directory alike."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from index.data_directory import DataDirectory
from service.cli import bank as bank_commands

Run = Callable[..., Any]
WritePng = Callable[[Path, int], Path]
Flags = tuple[str, str]


@pytest.fixture
def folder(tmp_path: Path, write_png: WritePng) -> Path:
    """Three pictures at several depths, one that is broken and a note."""
    folder = tmp_path / "known"
    for seed, name in enumerate(("a.png", "deep/b.png", "deep/er/c.png")):
        write_png(folder / name, seed)
    broken = write_png(folder / "broken.png", 3)
    broken.write_bytes(broken.read_bytes()[:2000])
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_folder_is_banked_past_its_bad_files_which_are_listed(
    run: Run, place: Flags, bank: str, folder: Path
) -> None:
    ended = run("bank", "add", bank, folder, *place)
    assert ended.code == 1
    assert "3 banked" in ended.out
    assert "1 could not be used" in ended.out
    assert f"{folder / 'broken.png'}: The picture is" in ended.out
    assert "1 files in the folders are no pictures" in ended.out


def test_what_is_banked_already_is_skipped(run: Run, place: Flags, bank: str, folder: Path) -> None:
    (folder / "broken.png").unlink()
    shutil.copy(folder / "a.png", folder / "same-bytes.png")
    first = json.loads(run("bank", "add", bank, folder, "--jobs", 1, "--json", *place).out)
    again = run("bank", "add", bank, folder, "--json", *place)
    assert (first["added"], first["already_banked"]) == (3, 1)
    assert again.code == 0
    assert json.loads(again.out)["already_banked"] == 4
    banks = json.loads(run("bank", "list", "--json", *place).out)
    assert {one["bank"]: one["items"] for one in banks}[bank] == 3


def test_a_banked_picture_is_recognised_and_another_is_not(
    run: Run, place: Flags, bank: str, tmp_path: Path, write_png: WritePng
) -> None:
    # One drawn picture resembles another; a photograph resembles none.
    known, unknown = write_png(tmp_path / "known.png", 10), Path(str(files("service") / "samples" / "known.jpg"))
    run("bank", "add", bank, known, "--label", "source=a list", *place)
    ended = run("match", known, unknown, "--bank", bank, "--json", *place)
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0
    assert [line["path"] for line in lines] == [str(known), str(unknown)]
    assert lines[0]["answer"]["verdict"]["band"] == "exact"
    assert lines[0]["answer"]["matches"][0]["labels"] == {"source": "a list"}
    assert lines[1]["answer"]["matches"] == []


def test_the_table_shows_verdict_and_evidence(
    run: Run, place: Flags, bank: str, tmp_path: Path, write_png: WritePng
) -> None:
    known = write_png(tmp_path / "known.png", 20)
    run("bank", "add", bank, known, *place)
    ended = run("match", known, "--bank", bank, *place)
    row = next(line for line in ended.out.splitlines() if str(known) in line)
    assert "exact" in row
    assert bank in row
    assert "1.00" in row


def test_a_picture_that_cannot_be_used_does_not_stop_the_others(
    run: Run, place: Flags, bank: str, folder: Path
) -> None:
    run("bank", "add", bank, folder / "a.png", *place)
    ended = run("match", folder / "broken.png", folder / "a.png", folder / "gone.png", "--json", *place)
    lines = {line["path"]: line for line in map(json.loads, ended.out.splitlines())}
    assert ended.code == 1
    assert "The picture is" in lines[str(folder / "broken.png")]["error"]["reason"]
    assert lines[str(folder / "gone.png")]["error"]["reason"] == "no such file or folder"
    assert lines[str(folder / "a.png")]["answer"]["verdict"]["band"] == "exact"


def test_a_bank_that_does_not_exist_is_said_and_nothing_is_asked(run: Run, place: Flags, folder: Path) -> None:
    ended = run("match", folder / "a.png", "--bank", "nowhere", *place)
    assert ended.code == 2
    assert "afterimage: There is no bank of that name." in ended.err
    assert "Traceback" not in ended.err


def test_a_bank_keeps_its_purpose_and_an_existing_one_needs_none(
    run: Run, place: Flags, bank: str, folder: Path
) -> None:
    run("bank", "add", bank, folder / "a.png", "--purpose", "public_interest", *place)
    refused = run("bank", "add", bank, folder / "a.png", "--purpose", "harmful", *place)
    assert refused.code == 2
    assert "was made with the purpose public_interest" in refused.err
    assert run("bank", "add", bank, folder / "a.png", *place).code == 0


def test_a_name_that_no_bank_can_have_is_refused(run: Run, place: Flags, folder: Path) -> None:
    ended = run("bank", "add", "no such name", folder / "a.png", *place)
    assert ended.code == 2
    assert "bank" in ended.err.lower()
    assert "Traceback" not in ended.err


def test_a_label_without_a_value_is_a_mistake(run: Run, place: Flags, bank: str, folder: Path) -> None:
    ended = run("bank", "add", bank, folder, "--label", "source", *place)
    assert ended.code == 2
    assert "KEY=VALUE" in ended.err


def test_nothing_to_bank_makes_no_bank(run: Run, tmp_path: Path, bank: str) -> None:
    ended = run("bank", "add", bank, tmp_path / "gone", "--data-dir", tmp_path / "data")
    assert ended.code == 2
    assert "no such file or folder" in ended.out
    assert not (tmp_path / "data").exists()


def test_a_match_that_answers_nothing_is_not_done(run: Run, tmp_path: Path) -> None:
    ended = run("match", tmp_path / "gone", "--json", "--data-dir", tmp_path / "data")
    assert ended.code == 2
    assert json.loads(ended.out)["error"]["reason"] == "no such file or folder"


def test_a_name_with_brackets_is_printed_as_it_is(run: Run, tmp_path: Path) -> None:
    ended = run("bank", "add", "[/x]", "[/y].jpg", "--data-dir", tmp_path / "data")
    assert "banked into [/x]," in ended.out
    assert "[/y].jpg: no such file or folder" in ended.out


def test_a_data_directory_in_use_is_refused_with_what_to_do(run: Run, tmp_path: Path, folder: Path) -> None:
    with DataDirectory(tmp_path / "data"):
        ended = run("bank", "add", "first", folder, "--data-dir", tmp_path / "data")
    assert ended.code == 2
    assert "is in use" in ended.err
    assert "--url" in ended.err


def test_a_service_and_a_data_directory_cannot_both_be_meant(run: Run, tmp_path: Path, folder: Path) -> None:
    ended = run("match", folder, "--url", "http://127.0.0.1:1", "--data-dir", tmp_path / "data")
    assert ended.code == 2
    assert "either --url or --data-dir" in ended.err


def test_a_data_directory_on_the_command_line_goes_over_a_service_in_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERIMAGE_URL", "http://127.0.0.1:1")
    ended = run("bank", "list", "--json", "--data-dir", tmp_path / "data")
    assert ended.code == 0
    assert json.loads(ended.out) == []


def test_the_service_of_the_environment_is_asked(
    run: Run, service_url: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("AFTERIMAGE_URL", service_url)
    assert run("match", folder / "a.png", "--json").code == 0


def test_a_service_that_is_not_there_is_said_in_one_sentence(run: Run, folder: Path) -> None:
    ended = run("match", folder / "a.png", "--url", "http://127.0.0.1:1")
    assert ended.code == 2
    assert ended.err.strip() == (
        "afterimage: Nothing listens at http://127.0.0.1:1. Start a service with: afterimage serve"
    )


def test_an_interruption_keeps_what_was_done_and_says_how_to_go_on(
    run: Run, place: Flags, bank: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> bytes:
        if path.name == "b.png":
            raise KeyboardInterrupt
        return path.read_bytes()

    monkeypatch.setattr(bank_commands, "read_picture", read)
    ended = run("bank", "add", bank, folder / "a.png", folder / "deep", "--jobs", 1, *place)
    assert ended.code == 130
    assert ended.out.startswith("1 banked")
    assert "the same command goes on from there" in ended.err
