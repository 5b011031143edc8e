"""The audit log: written with the change, never without it, and never changed unnoticed."""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from index.audit import BEFORE_THE_FIRST, Actor, AuditAction, AuditHead, Chain, acting, from_json, to_json
from index.catalog import Catalog, audit
from index.catalog.audit import AuditQuery
from index.errors import BadCursor, CatalogUnavailable, UnknownBank
from index.records.banks import BankSettings, Purpose
from index.records.items import ItemState, NewItem

ALL = AuditQuery()
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what no database makes a difference to."""


def entries(catalog: Catalog, query: AuditQuery = ALL) -> list[dict[str, Any]]:
    return [to_json(row) for row in catalog.audit.page(query, 1000).items]


def since(catalog: Catalog, seq: int) -> list[tuple[str, str, Any]]:
    return [(one["action"], one["subject"], one["details"]) for one in entries(catalog) if one["seq"] > seq]


def test_every_change_of_a_bank_is_noted_with_what_was_before(catalog: Catalog) -> None:
    start = catalog.audit.head().seq
    plain = {"variant_score": None, "related_score": None, "block_on_semantic": False, "shadow": False, "tiles": 0}
    catalog.put_bank("new", Purpose.HARMFUL, {"a": 1})
    catalog.put_bank("new", Purpose.HARMFUL, {"a": 1}, BankSettings(variant_score=0.9))
    catalog.delete_bank("new")
    assert since(catalog, start) == [
        ("bank.created", "banks/new", {"purpose": "harmful", "labels": {"a": 1}, "settings": plain}),
        (
            "bank.changed",
            "banks/new",
            {
                "before": {"labels": {"a": 1}, "settings": plain},
                "after": {"labels": {"a": 1}, "settings": plain | {"variant_score": 0.9}},
            },
        ),
        (
            "bank.deleted",
            "banks/new",
            {"purpose": "harmful", "labels": {"a": 1}, "settings": plain | {"variant_score": 0.9}, "items": 0},
        ),
    ]


def test_every_change_of_an_item_is_noted_with_what_was_before(
    catalog: Catalog, picture: Callable[..., NewItem]
) -> None:
    start = catalog.audit.head().seq
    new = picture(forced=True)
    item_id = catalog.add_item("known", new).item.item_id
    catalog.set_item("known", item_id, ItemState.DISABLED, {"why": "asked"})
    catalog.delete_item("known", item_id)
    subject = f"banks/known/items/{item_id}"
    gone = {"kind": "image", "sha256": new.sha256, "labels": {"why": "asked"}, "state": "disabled"}
    assert since(catalog, start) == [
        ("items.added", "banks/known", {"items": {item_id: new.sha256}, "forced": [item_id]}),
        (
            "item.changed",
            subject,
            {"before": {"labels": {}, "state": "active"}, "after": {"labels": {"why": "asked"}, "state": "disabled"}},
        ),
        ("item.deleted", subject, gone),
    ]


def test_what_changes_nothing_is_not_noted(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    new = picture()
    item = catalog.add_item("known", new).item
    start = catalog.audit.head()
    catalog.put_bank("known", Purpose.HARMFUL)
    catalog.add_item("known", new)
    catalog.set_item("known", item.item_id, ItemState.ACTIVE)
    catalog.check_writable()
    assert catalog.audit.head() == start


def test_what_fails_is_not_noted(catalog: Catalog) -> None:
    start = catalog.audit.head()

    def fail(connection: Any) -> None:
        audit.append(connection, datetime.now(UTC), AuditAction.BANK_DELETED, "banks/known", {})
        raise UnknownBank("there is none")

    with pytest.raises(UnknownBank):
        catalog.database.write(fail)
    assert catalog.audit.head() == start
    assert catalog.audit.verify().broken is None


def test_each_entry_says_on_whose_behalf_also_when_many_write_at_once(
    catalog: Catalog, picture: Callable[..., NewItem]
) -> None:
    def write(number: int) -> None:
        with acting(Actor("http", f"platform{number}", f"key{number}", f"request{number}")):
            for turn in range(5):
                catalog.put_bank(f"bank{number}-{turn}", Purpose.HARMFUL)
                catalog.add_item(f"bank{number}-{turn}", picture())

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [one for one in entries(catalog) if one["subject"].startswith("banks/bank")]
    assert len(found) == 60
    for one in found:
        number = one["subject"].removeprefix("banks/bank").partition("-")[0]
        who = (one["via"], one["participant"], one["key_id"], one["request"])
        assert who == ("http", f"platform{number}", f"key{number}", f"request{number}")
    assert catalog.audit.verify().broken is None


@ON_SQLITE
def test_without_a_key_nobody_is_named(catalog: Catalog) -> None:
    catalog.put_bank("new", Purpose.HARMFUL)
    last = entries(catalog)[-1]
    assert (last["via"], last["participant"], last["key_id"], last["request"]) == ("local", None, None, None)


def test_the_list_is_paged_in_both_directions_and_by_what_is_asked(catalog: Catalog) -> None:
    for number in range(5):
        catalog.put_bank(f"b{number}", Purpose.HARMFUL)
    whole = [one["seq"] for one in entries(catalog)]
    for newest in (False, True):
        query, cursor, found = AuditQuery(newest_first=newest), None, []
        while True:
            page = catalog.audit.page(query, 2, cursor)
            found += [row.seq for row in page.items]
            if page.next is None:
                break
            cursor = page.next
        assert found == (whole[::-1] if newest else whole)
    with pytest.raises(BadCursor):
        catalog.audit.page(AuditQuery(newest_first=True), 2, catalog.audit.page(ALL, 2).next)


def test_a_subject_finds_what_is_in_it_and_nothing_beside_it(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    for name in ("a", "a0", "a-b", "A", "a.b"):
        catalog.put_bank(name, Purpose.HARMFUL)
        item = catalog.add_item(name, picture()).item
        catalog.delete_item(name, item.item_id)
    found = entries(catalog, AuditQuery(subject="banks/a"))
    assert [one["action"] for one in found] == ["bank.created", "items.added", "item.deleted"]
    assert {one["subject"].split("/")[1] for one in found} == {"a"}
    assert entries(catalog, AuditQuery(subject="banks/%")) == []


def test_entries_are_found_by_who_what_and_when(catalog: Catalog) -> None:
    with acting(Actor("http", "center")):
        catalog.put_bank("one", Purpose.HARMFUL)
        catalog.delete_bank("one")
    mine = entries(catalog, AuditQuery(participant="center"))
    assert [one["action"] for one in mine] == ["bank.created", "bank.deleted"]
    assert entries(catalog, AuditQuery(participant="center", action="bank.deleted")) == mine[1:]
    at = datetime.fromisoformat(mine[1]["at"])
    assert entries(catalog, AuditQuery(participant="center", since=at)) == mine[1:]
    assert entries(catalog, AuditQuery(participant="center", until=at)) == mine[:1]
    assert entries(catalog, AuditQuery(since=at + timedelta(days=1))) == []


@ON_SQLITE
def test_anybody_can_follow_the_chain_of_an_export(catalog: Catalog) -> None:
    """By what is documented, and nothing of ours."""
    with acting(Actor("http", "center", "abc", "r-1")):
        catalog.put_bank(
            "new", Purpose.HARMFUL, {"ü\u2028<b>": "\x1b[31m\ud83d\ude00"[:5] + "😀", "n": 0.1, "m": -1e-7}
        )
    digest = bytes(32)
    for line in [json.dumps(one) for one in entries(catalog)]:
        entry = json.loads(line)
        told = entry.pop("digest")
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(digest + text.encode()).digest()
        assert digest.hex() == told


@pytest.fixture
def written(catalog: Catalog, picture: Callable[..., NewItem]) -> Catalog:
    """With a dozen entries."""
    for _ in range(12 - catalog.audit.head().seq):
        catalog.add_item("known", picture())
    return catalog


@ON_SQLITE
def test_the_whole_chain_holds(written: Catalog) -> None:
    told: list[tuple[int, int]] = []
    found = written.audit.verify(report=lambda done, total: told.append((done, total)))
    assert (found.broken, found.head) == (None, written.audit.head())
    assert told == [(12, 12)]


@ON_SQLITE
def test_an_empty_log_holds(url: str) -> None:
    catalog = Catalog.open(url)
    found = catalog.audit.verify()
    assert (found.broken, found.head) == (None, AuditHead(0, BEFORE_THE_FIRST))
    catalog.close()


def test_the_database_refuses_to_change_or_delete_an_entry(written: Catalog) -> None:
    for statement in ("UPDATE audit SET participant = 'me' WHERE seq = 3", "DELETE FROM audit WHERE seq = 12"):
        with pytest.raises(CatalogUnavailable):
            written.database.write(lambda connection, statement=statement: connection.execute(text(statement)))
    assert written.audit.verify().broken is None


AGAIN = """
INSERT INTO audit SELECT 13, at, participant, key_id, via, request, action, subject, details, digest
FROM audit WHERE seq = 12
"""
TAMPERED = {
    "who": ("UPDATE audit SET participant = 'me' WHERE seq = 5", 4),
    "who, where nobody was": ("UPDATE audit SET participant = '' WHERE seq = 5", 4),
    "when": ("UPDATE audit SET at = at + 1 WHERE seq = 5", 4),
    "what": ("UPDATE audit SET action = 'item.deleted' WHERE seq = 5", 4),
    "to what": ("UPDATE audit SET subject = 'banks/other' WHERE seq = 5", 4),
    "details": ("UPDATE audit SET details = '{}' WHERE seq = 5", 4),
    "not JSON": ("UPDATE audit SET details = 'é' WHERE seq = 5", 4),
    "the first": ("UPDATE audit SET via = 'http' WHERE seq = 1", 0),
    "the last": ("UPDATE audit SET via = 'http' WHERE seq = 12", 11),
    "a digest": ("UPDATE audit SET digest = zeroblob(32) WHERE seq = 5", 4),
    "left out": ("DELETE FROM audit WHERE seq = 5", 4),
    "cut off": ("DELETE FROM audit WHERE seq > 9", 9),
    "begun later": ("DELETE FROM audit WHERE seq = 1", 0),
    "added": (AGAIN, 12),
    "put before the first": (AGAIN.replace("13", "0"), 0),
    "put long before the first": (AGAIN.replace("13", "-9223372036854775808"), 0),
    "head": ("UPDATE log_head SET audit_seq = 11", 12),
}


@ON_SQLITE
@pytest.mark.parametrize(("statement", "sound"), TAMPERED.values(), ids=TAMPERED.keys())
def test_whatever_is_tampered_with_is_noticed_and_where(
    written: Catalog, tmp_path: Path, statement: str, sound: int
) -> None:
    """By somebody who has the file, and so can take the database's own guard away."""
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        for event in ("UPDATE", "DELETE"):
            connection.execute(f"DROP TRIGGER audit_is_kept_{event}")
        connection.execute(statement)
    connection.close()
    found = written.audit.verify()
    assert found.broken is not None
    assert found.head.seq == sound


@ON_SQLITE
def test_a_log_that_was_written_anew_or_cut_off_is_noticed_by_its_witness(written: Catalog) -> None:
    noted = written.audit.head()
    assert written.audit.verify({noted.seq: noted.digest}).broken is None
    anew = written.audit.verify({4: bytes(32), noted.seq: noted.digest})
    assert (anew.head.seq, "rewritten" in (anew.broken or "")) == (3, True)
    cut = written.audit.verify({noted.seq + 5: noted.digest})
    assert "cut off" in (cut.broken or "")


@ON_SQLITE
def test_what_is_added_while_it_is_verified_does_not_disturb(written: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_READ_AT_ONCE", 3)
    names = iter(range(1000))

    def meanwhile(done: int, total: int) -> None:
        if total < 30:
            written.put_bank(f"more{next(names)}", Purpose.HARMFUL)
        assert done <= total

    found = written.audit.verify(report=meanwhile)
    assert (found.broken, found.head.seq) == (None, 30)


@ON_SQLITE
def test_an_export_that_is_no_export_is_not_taken_for_one(written: Catalog) -> None:
    good = entries(written)[0]
    assert Chain().follow([from_json(good)])
    wrongs = (
        {"seq": "x"},
        {"seq": "1"},
        {"seq": 1.5},
        {"seq": True},
        {"at": "now"},
        {"digest": "zz"},
        {"action": None},
    )
    unsaid = {"approved_by": "center"}  # the digest does not cover it, so nobody must read it there
    for wrong in ({}, good | unsaid, *(good | wrong for wrong in wrongs)):
        chain = Chain()
        try:
            held = chain.follow([from_json(wrong)])
        except ValueError:
            continue
        assert not held
