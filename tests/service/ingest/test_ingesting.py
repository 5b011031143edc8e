"""Ingest: what is banked, and what is said of what cannot be."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.errors import BankPurposeConflict, OriginalBeingRemoved
from index.records.banks import Purpose
from index.records.items import ItemKind
from index.records.jobs import Job, JobState
from service.errors import InvalidField
from service.jobs import ingest
from service.jobs.kinds import job_kinds
from service.matching.matcher import MatchOptions
from service.runtime import Runtime

HASH = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
Ingested = Callable[..., Job]
Skipped = Callable[[Runtime, Job], dict[str, str]]


def test_a_folder_is_banked_and_what_cannot_be_is_listed(
    service: Runtime, ingested: Ingested, archive: Path, skipped: Skipped
) -> None:
    job = ingested(archive, labels={"from": "the archive"})
    assert (job.state, job.result) == (
        JobState.SUCCEEDED, {"added": 6, "known": 1, "skipped": 2, "skipped_file": "skipped.jsonl"},
    )  # fmt: skip
    assert job.progress.total == 9
    assert set(skipped(service, job)) == {"broken.jpg", "blank.png"}
    items = service.catalog.items("known", 100).items
    assert {item.sha256 for item in items} == {
        hashlib.sha256((archive / f"{number}.jpg").read_bytes()).hexdigest() for number in range(6)
    }
    assert {item.labels["from"] for item in items} == {"the archive"}
    assert all(service.originals.exists(item.sha256 or "") for item in items)


def test_what_was_ingested_is_found(service: Runtime, ingested: Ingested, archive: Path) -> None:
    ingested(archive)
    answer = service.matcher.match((archive / "0.jpg").read_bytes(), MatchOptions())
    assert (answer.verdict.band, answer.matches[0].bank) == ("exact", "known")


def test_the_same_again_adds_nothing_and_decodes_nothing(
    service: Runtime, ingested: Ingested, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingested(archive)
    decode, decoded = service.decoder.decode, []
    monkeypatch.setattr(service.decoder, "decode", lambda data, *_: (decoded.append(data), decode(data))[1])
    job = ingested(archive)
    assert (job.result or {})["added"] == 0
    assert (job.result or {})["known"] == 7
    assert len(decoded) == 2, "the broken and the blank one"


def test_blank_pictures_are_banked_when_that_is_wanted(ingested: Ingested, archive: Path) -> None:
    assert (ingested(archive, force=True).result or {})["added"] == 7


def test_lists_of_hashes_are_banked_once_however_often_they_say_it(
    service: Runtime, ingested: Ingested, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"signal_type,signal_str,tags\npdq,{HASH},a b\npdq,{HASH.upper()},c\npdq,nothing,\nmd5,00,\n")
    job = ingested(path)
    assert job.error is None
    assert (job.result or {}) == {"added": 1, "known": 1, "skipped": 2, "skipped_file": "skipped.jsonl"}
    assert (ingested(path).result or {})["added"] == 0
    (item,) = service.catalog.items("known", 10).items
    assert (item.kind, item.labels, item.original_bytes) == (ItemKind.SIGNATURE, {"tags": "a b"}, None)


def test_an_existing_bank_keeps_its_purpose(service: Runtime, ingested: Ingested, archive: Path) -> None:
    service.catalog.put_bank("known", Purpose.PUBLIC_INTEREST)
    assert ingested(archive).state is JobState.SUCCEEDED
    assert service.catalog.bank("known").purpose is Purpose.PUBLIC_INTEREST
    job = ingested(archive, purpose="harmful")
    assert (job.state, "purpose" in (job.error or "")) == (JobState.FAILED, True)
    assert BankPurposeConflict.__name__ not in (job.error or "")


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"bank": "no such/name"}, "/options/bank"),
        ({"purpose": "fun"}, "/options/purpose"),
        ({"force": "yes"}, "/options/force"),
        ({"labels": 7}, "/options/labels"),
        ({"sources": []}, "/options/sources"),
        ({"sources": ["a\0b"]}, "/options/sources/0"),
        ({"colour": "red"}, "/options/colour"),
        ({"labels_from": "id"}, "/options/labels_from"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_a_pointer(
    service: Runtime, archive: Path, options: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)], **options})
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_an_original_that_is_being_removed_is_waited_for(
    service: Runtime, ingested: Ingested, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner of this test tries once; who began a removal may have died over it, minutes ago."""
    monkeypatch.setattr(ingest, "_LOOK_EVERY_S", 0.0)
    add, refused = service.catalog.add_items, list[Any]()

    def removing(*arguments: Any) -> Any:
        if len(refused) < 7:
            refused.append(arguments)
            raise OriginalBeingRemoved("It is being deleted.")
        return add(*arguments)

    monkeypatch.setattr(service.catalog, "add_items", removing)
    job = ingested(archive)
    assert (job.state, (job.result or {})["added"]) == (JobState.SUCCEEDED, 6)
