"""Keys as the catalog keeps them."""

from datetime import UTC, datetime, timedelta

import pytest

from index.audit import to_json
from index.catalog import Catalog
from index.catalog.audit import AuditQuery
from index.errors import KeyUnusable, RoleConflict, UnknownKey
from index.records.keys import Allowance, Key, KeyId, NewKey, Role, Scope, Secret

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def secret(name: str) -> Secret:
    return Secret(KeyId(name), bytes([len(name)]) * 32)


def new(participant: str = "center", role: Role = Role.CENTER, **rest: object) -> NewKey:
    return NewKey(participant, role, frozenset({Scope.MATCH, Scope.READ}), **rest)  # type: ignore[arg-type]


def ring(catalog: Catalog) -> dict[KeyId, Key]:
    return dict(catalog.keys.ring().keys)


def test_a_key_is_kept_as_it_was_made(catalog: Catalog) -> None:
    wanted = new(note="a\x1b<b>", expires_at=NOW, allowance=Allowance(0.5, 12))
    key = catalog.keys.create(wanted, secret("aaa"))
    assert ring(catalog) == {key.key_id: key}
    assert (key.participant, key.role, key.scopes) == ("center", Role.CENTER, frozenset({Scope.MATCH, Scope.READ}))
    assert (key.note, key.expires_at, key.allowance) == ("a\x1b<b>", NOW, Allowance(0.5, 12))
    assert (key.number, key.digest, key.revoked_at, key.last_used_at) == (1, bytes([3]) * 32, None, None)


def test_keys_are_numbered_in_their_order_and_never_anew(catalog: Catalog) -> None:
    for name in ("aaa", "bbb", "ccc"):
        catalog.keys.create(new(), secret(name))
    catalog.keys.revoke(KeyId("ccc"))
    assert catalog.keys.create(new(), secret("ddd")).number == 4
    assert [key.number for key in ring(catalog).values()] == [1, 2, 3, 4]


def test_every_change_of_a_key_is_a_new_version(catalog: Catalog) -> None:
    versions = [catalog.keys.version()]
    catalog.keys.create(new(), secret("aaa"))
    versions.append(catalog.keys.version())
    catalog.keys.rotate(KeyId("aaa"), secret("bbb"), datetime.now(UTC))
    versions.append(catalog.keys.version())
    catalog.keys.revoke(KeyId("bbb"))
    versions.append(catalog.keys.version())
    assert versions == sorted(set(versions))
    assert versions[0] == 0
    catalog.keys.revoke(KeyId("bbb"))
    catalog.keys.used({KeyId("bbb"): NOW})
    assert catalog.keys.version() == versions[-1]


def test_a_participant_keeps_its_role(catalog: Catalog) -> None:
    catalog.keys.create(new("vid.example", Role.PLATFORM), secret("aaa"))
    with pytest.raises(RoleConflict):
        catalog.keys.create(new("vid.example", Role.AUDITOR), secret("bbb"))
    assert list(ring(catalog)) == ["aaa"]
    assert catalog.keys.version() == 1


def test_a_rotated_key_ends_when_said_and_never_later_than_before(catalog: Catalog) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    catalog.keys.create(new(expires_at=ends), secret("aaa"))
    fresh = catalog.keys.rotate(KeyId("aaa"), secret("bbb"), ends + timedelta(days=1))
    old = ring(catalog)[KeyId("aaa")]
    assert (old.expires_at, old.replaced_by) == (ends, "bbb")
    assert (fresh.expires_at, fresh.number) == (ends, 2)


def test_a_key_that_has_ended_is_not_replaced(catalog: Catalog) -> None:
    catalog.keys.create(new(expires_at=NOW - timedelta(days=3650)), secret("aaa"))
    catalog.keys.create(new(), secret("bbb"))
    catalog.keys.revoke(KeyId("bbb"))
    catalog.keys.create(new(), secret("ccc"))
    catalog.keys.rotate(KeyId("ccc"), secret("ddd"), datetime.now(UTC) + timedelta(days=1))
    for name in ("aaa", "bbb", "ccc"):
        with pytest.raises(KeyUnusable):
            catalog.keys.rotate(KeyId(name), secret("eee"), datetime.now(UTC))


def test_there_is_nothing_to_do_with_a_key_that_is_not_there(catalog: Catalog) -> None:
    with pytest.raises(UnknownKey):
        catalog.keys.revoke(KeyId("aaa"))
    with pytest.raises(UnknownKey):
        catalog.keys.rotate(KeyId("aaa"), secret("bbb"), NOW)
    catalog.keys.used({KeyId("aaa"): NOW})


def test_the_last_use_never_goes_back(catalog: Catalog) -> None:
    catalog.keys.create(new(), secret("aaa"))
    for at in (NOW, NOW - timedelta(minutes=5)):
        catalog.keys.used({KeyId("aaa"): at})
    assert ring(catalog)[KeyId("aaa")].last_used_at == NOW


def test_what_is_done_with_keys_is_in_the_audit_log_without_their_digests(catalog: Catalog) -> None:
    start = catalog.audit.head().seq
    catalog.keys.create(new(note="desk"), secret("aaa"))
    catalog.keys.rotate(KeyId("aaa"), secret("bbbb"), NOW + timedelta(days=3650))
    catalog.keys.revoke(KeyId("bbbb"))
    catalog.keys.revoke(KeyId("bbbb"))
    found = [to_json(row) for row in catalog.audit.page(AuditQuery(), 100).items if row.seq > start]
    assert [(one["action"], one["subject"]) for one in found] == [
        ("key.created", "keys/aaa"),
        ("key.rotated", "keys/aaa"),
        ("key.revoked", "keys/bbbb"),
    ]
    assert found[0]["details"] == {
        "participant": "center",
        "role": "center",
        "scopes": ["match", "read"],
        "note": "desk",
        "expires_at": None,
        "rate_per_s": None,
        "queries_per_day": None,
    }
    assert found[1]["details"]["replaced_by"] == "bbbb"
    assert "digest" not in str([one["details"] for one in found])
