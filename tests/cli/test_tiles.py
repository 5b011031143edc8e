"""`bank set` and `reindex tiles`, on a service and on a data directory alike."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]
WritePng = Callable[[Path, int], Path]
Flags = tuple[str, str]


def settings(run: Run, place: Flags, bank: str) -> dict[str, Any]:
    banks = json.loads(run("bank", "list", "--json", *place).out)
    found: dict[str, Any] = next(one["settings"] for one in banks if one["bank"] == bank)
    return found


def test_a_bank_is_brought_to_other_tiles_and_back(
    run: Run, place: Flags, bank: str, tmp_path: Path, write_png: WritePng
) -> None:
    run("bank", "add", bank, write_png(tmp_path / "a.png", 1), *place)
    said = run("bank", "set", bank, "--tiles", "4", *place)
    assert said.code == 0
    assert f"afterimage reindex tiles {bank}" in said.out
    assert settings(run, place, bank)["tiles"] == 4
    assert settings(run, place, bank)["block_on_semantic"] is False
    done = json.loads(run("reindex", "tiles", bank, "--json", *place).out)
    (counts,) = done["result"]["spaces"].values()
    assert (done["result"]["tiles"], counts["filled"]) == (4, 1)
    run("bank", "set", bank, "--tiles", "0", *place)
    ended = run("reindex", "tiles", bank, *place)
    assert ended.code == 0
    assert "1 items have 0 tiles" in ended.out


def test_a_bank_that_is_not_there_is_not_made(run: Run, place: Flags) -> None:
    assert run("bank", "set", "nowhere", "--tiles", "4", *place).code == 2
    assert "nowhere" not in run("bank", "list", "--json", *place).out
