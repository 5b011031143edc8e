"""`afterimage backup` and `afterimage restore`, as someone at a terminal meets them."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.catalog import Catalog
from index.data_directory import DataDirectory
from index.records.banks import Purpose
from service.cli.output import Exit

Run = Callable[..., Any]


@pytest.fixture
def banked(tmp_path: Path) -> Path:
    """A data directory with two banks."""
    catalog = Catalog.open(f"sqlite:///{tmp_path / 'data' / 'catalog.db'}")
    catalog.put_bank("first", Purpose.HARMFUL)
    catalog.put_bank("second", Purpose.HARMFUL)
    catalog.close()
    return tmp_path / "data"


def banks_in(data_dir: Path) -> set[str]:
    catalog = Catalog.open(f"sqlite:///{data_dir / 'catalog.db'}")
    names = {bank.name for bank in catalog.banks(10).items}
    catalog.close()
    return names


def test_a_backup_beside_a_running_service_can_be_set_back_when_it_has_ended(
    run: Run, banked: Path, tmp_path: Path
) -> None:
    with DataDirectory(banked):
        ended = run("backup", tmp_path / "copy.db", "--data-dir", banked, "--json")
    assert ended.code == Exit.DONE
    told = json.loads(ended.out)
    assert (told["index_version"], told["size_bytes"]) == (2, (tmp_path / "copy.db").stat().st_size)
    catalog = Catalog.open(f"sqlite:///{banked / 'catalog.db'}")
    catalog.delete_bank("first")
    catalog.close()
    refused = run("restore", tmp_path / "copy.db", "--data-dir", banked)
    assert refused.code == Exit.NOT_DONE
    assert "already" in refused.err
    assert run("restore", tmp_path / "copy.db", "--data-dir", banked, "--replace").code == Exit.DONE
    assert banks_in(banked) == {"first", "second"}


def test_a_backup_goes_into_a_new_data_directory(run: Run, banked: Path, tmp_path: Path) -> None:
    assert run("backup", tmp_path / "copy.db", "--data-dir", banked).code == Exit.DONE
    ended = run("restore", tmp_path / "copy.db", "--data-dir", tmp_path / "new", "--json")
    assert json.loads(ended.out)["index_version"] == 2
    assert banks_in(tmp_path / "new") == {"first", "second"}


def test_nothing_is_set_back_beneath_a_running_service(run: Run, banked: Path, tmp_path: Path) -> None:
    run("backup", tmp_path / "copy.db", "--data-dir", banked)
    with DataDirectory(banked):
        ended = run("restore", tmp_path / "copy.db", "--data-dir", banked, "--replace")
    assert ended.code == Exit.NOT_DONE
    assert "in use" in ended.err


def test_a_data_directory_without_a_catalog_is_not_backed_up(run: Run, tmp_path: Path) -> None:
    ended = run("backup", tmp_path / "copy.db", "--data-dir", tmp_path / "nowhere")
    assert ended.code == Exit.NOT_DONE
    assert "no catalog" in ended.err
    assert not (tmp_path / "copy.db").exists()


def test_a_backup_is_one_file_that_sqlite_itself_can_read(run: Run, banked: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    run("backup", tmp_path / "copies" / "copy.db", "--data-dir", banked)
    with sqlite3.connect(tmp_path / "copies" / "copy.db") as connection:
        assert connection.execute("SELECT count(*) FROM banks").fetchone() == (2,)
    connection.close()
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["copy.db"]
