"""`serve`, `doctor`, `version`, and what every command has in common."""

import dataclasses
import json
import re
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.data_directory import DataDirectory
from models.training import run as training
from models.training.options import Progress, TrainingOptions
from models.training.run import Result
from service import server
from service.cli.serve import default_of, first_steps, invite
from service.settings import Settings

Run = Callable[..., Any]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What `serve` would have served."""
    settings: list[Settings] = []
    monkeypatch.setattr(server, "run", lambda wanted, **_: settings.append(wanted))
    return settings


def test_alone_it_says_what_it_can_do(run: Run) -> None:
    ended = run()
    for command in ("serve", "bank", "match", "doctor", "demo", "version"):
        assert f" {command} " in ended.out + ended.err


@pytest.mark.parametrize(
    "arguments", [("mtach",), ("match",), ("match", "x", "-k", "0"), ("serve", "--prot", "1"), ("demo", "-o", "x.txt")]
)
def test_a_mistake_is_answered_without_a_traceback(run: Run, arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert ended.err


def test_the_version_comes_with_those_of_what_decides_the_result(run: Run) -> None:
    versions = json.loads(run("version", "--json").out)
    assert list(versions)[:2] == ["afterimage", "python"]
    assert {"torch", "torchvision", "open-clip-torch", "faiss-cpu", "pillow"} <= set(versions)


def test_every_setting_is_a_flag_that_says_its_default(run: Run) -> None:
    shown = " ".join(run("serve", "--help").out.replace("│", " ").split())
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')} " in shown
        assert f"[env var: AFTERIMAGE_{name.upper()}; default: {default_of(name)}]" in shown


def test_a_flag_goes_over_the_environment(run: Run, served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_PORT", "9001")
    monkeypatch.setenv("AFTERIMAGE_THREADS", "40")
    run("serve", "--port", "9002", "--trust-network", "--model", "bundled,ViT-B-32/laion2b_s34b_b79k")
    assert served[0].port == 9002
    assert served[0].threads == 40
    assert served[0].trust_network is True
    assert served[0].model == ("bundled", "ViT-B-32/laion2b_s34b_b79k")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(("--port", "many"), "AFTERIMAGE_PORT"), (("--threads", "1"), "AFTERIMAGE_THREADS")],
)
def test_a_setting_that_makes_no_sense_is_named(
    run: Run, served: list[Settings], flags: tuple[str, str], sentence: str
) -> None:
    ended = run("serve", *flags)
    assert ended.code == 2
    assert sentence in ended.err
    assert not served


def test_a_misspelt_setting_of_the_environment_is_noticed(
    run: Run, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERIMAGE_PROT", "9001")
    ended = run("serve")
    assert ended.code == 2
    assert "AFTERIMAGE_PROT is not a setting. Did you mean AFTERIMAGE_PORT?" in ended.err
    assert not served


def test_an_address_that_others_reach_is_refused(run: Run, tmp_path: Path) -> None:
    ended = run("serve", "--host", "0.0.0.0", "--data-dir", tmp_path)  # noqa: S104 - it is refused
    assert ended.code == 2
    assert "AFTERIMAGE_TRUST_NETWORK" in ended.err


def test_a_port_that_is_taken_is_said_in_one_sentence(run: Run, served: list[Settings], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("serve", "--port", taken.getsockname()[1], "--data-dir", tmp_path)
    assert ended.code == 2
    assert "is taken" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not served


def test_the_first_steps_name_pictures_that_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for line in first_steps("http://127.0.0.1:8080"):
        files = [word.removeprefix("media=@") for word in shlex.split(line) if word.startswith("media=@")]
        assert len(files) == 1
        assert Path(files[0]).read_bytes().startswith(b"\xff\xd8\xff")


def test_the_first_steps_are_printed_unwrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    invite("http://127.0.0.1:8080")
    printed = capsys.readouterr().err.splitlines()
    assert [line.strip() for line in printed if "curl" in line] == list(first_steps("http://127.0.0.1:8080"))


def test_every_training_option_is_a_flag_that_is_explained(run: Run) -> None:
    lines = run("train", "--help").out.splitlines()
    for field in dataclasses.fields(TrainingOptions):
        name = "FOLDER" if field.name == "folder" else f"--{field.name.replace('_', '-')}"
        line = next(line for line in lines if re.match(rf"│ \*?\s*{name} ", line))
        assert re.search(r"<[\w|]+( range)?>( \[\S+\])?\s+\w", line), name


def test_training_options_arrive_as_they_were_told(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[TrainingOptions] = []

    def train(options: TrainingOptions, report: Callable[[Progress], None], _: object) -> Result:
        told.append(options)
        report(Progress(1, options.steps, 256, 100.0, 1.5, 0.2, 0.7, None, 3.0))
        return Result(options.folder, None, options.steps, 256, 3.0)

    monkeypatch.setattr(training, "train", train)
    ended = run("train", tmp_path, "--steps", 5, "--learning-rate", 0.5, "--json")
    assert ended.code == 0
    assert told == [TrainingOptions(tmp_path, steps=5, learning_rate=0.5)]
    assert json.loads(ended.out)["held_out"] == 0.7


@pytest.mark.parametrize(
    "flags",
    [
        ("--device", "foo"),
        ("--workers", "-1"),
        ("--report-steps", "0"),
        ("--photo-share", "1.5"),
        ("--photos", "nowhere"),
        ("--output", "afile"),
    ],
)
def test_a_training_option_that_makes_no_sense_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    ended = run("train", "run", *flags)
    assert ended.code == 2
    assert flags[0] in ended.err
    assert "Traceback" not in ended.err


def test_training_into_a_file_is_a_mistake(run: Run, tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    ended = run("train", tmp_path / "afile")
    assert ended.code == 2
    assert "is a file" in ended.err


@pytest.mark.parametrize("command", ["calibrate", "evaluate"])
def test_a_misspelt_setting_ends_a_measurement_before_it_begins(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("AFTERIMAGE_TORCH_TREADS", "1")
    ended = run(command, "--photos", tmp_path)
    assert ended.code == 2
    assert "AFTERIMAGE_TORCH_TREADS is not a setting." in ended.err


@pytest.mark.parametrize(("command", "output"), [("calibrate", "afile/record.json"), ("evaluate", "afile/report")])
def test_a_place_that_cannot_be_written_ends_a_measurement_before_it_begins(
    run: Run, tmp_path: Path, command: str, output: str
) -> None:
    (tmp_path / "afile").touch()
    ended = run(command, "--photos", tmp_path, "--output", tmp_path / output)
    assert ended.code == 2
    assert ended.err.startswith(f"afterimage: {tmp_path / 'afile'}")
    assert "pictures" not in ended.err


def test_calibrating_on_too_little_is_said_in_one_sentence(run: Run, tmp_path: Path) -> None:
    ended = run("calibrate", "--photos", tmp_path, "--data-dir", tmp_path / "data")
    assert ended.code == 2
    assert ended.err.startswith("afterimage: ")
    assert "Traceback" not in ended.err


def findings(ended: Any) -> dict[str, dict[str, str]]:
    return {finding["part"]: finding for finding in json.loads(ended.out)["findings"]}


def test_the_doctor_looks_at_everything_and_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", "--json", "--data-dir", tmp_path / "data")
    found = findings(ended)
    assert ended.code == 0
    wanted = {"torch", "FAISS", "device", "threads", "space", "calibration", "verification", "data directory"}
    assert wanted <= set(found)
    assert "innocent quer" in found["verification"]["says"]
    assert found["space"]["says"].startswith("bundled-")
    assert not (tmp_path / "data").exists()


def test_the_doctor_opens_a_catalog_that_is_there(run: Run, tmp_path: Path) -> None:
    run("bank", "list", "--data-dir", tmp_path)
    found = findings(run("doctor", "--json", "--data-dir", tmp_path))
    assert found["catalog"]["state"] == "ok"
    assert found["index"]["says"].startswith("version 0")
    assert found["canary"]["state"] == "ok"
    assert found["database"]["says"]


def test_the_doctor_looks_past_a_service_that_has_the_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "catalog.db").touch()
    with DataDirectory(tmp_path):
        ended = run("doctor", "--json", "--data-dir", tmp_path)
    found = findings(ended)
    assert ended.code == 0
    assert "in use" in found["catalog"]["says"]
    assert "--url" in found["catalog"]["advice"]
    assert "space" in found


def test_the_doctor_asks_a_service_for_its_parts(run: Run, service_url: str) -> None:
    ended = run("doctor", "--json", "--url", service_url)
    assert ended.code == 0
    assert {"catalog", "models", "index"} <= set(findings(ended))


def test_the_doctor_finds_a_model_that_cannot_be_opened(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERIMAGE_MODEL", "local-dir:/nowhere")
    ended = run("doctor", "--data-dir", tmp_path)
    assert ended.code == 1
    assert "✗" in ended.out
    assert "/nowhere" in ended.out
