"""Originals: whole or not there, kept as long as somebody refers to them, and no longer."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient

from index.errors import StorageFull
from index.records.banks import Purpose
from service.app import create_app
from service.errors import BadSettings, OriginalMissing, OriginalsUnavailable
from service.originals import (
    LocalOriginals,
    NoOriginals,
    OriginalStore,
    RemoteOriginals,
    delete_removed,
    open_originals,
)
from service.runtime import Runtime
from service.upkeep import delete_leftovers

DATA = b"the bytes of a picture"
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> OriginalStore:
    """One contract for every store that keeps anything."""
    return open_originals({"local": "local", "remote": f"memory://{tmp_path.name}"}[request.param], tmp_path / "kept")


def test_what_was_put_is_there_until_it_is_deleted(store: OriginalStore) -> None:
    assert store.keeps
    assert not store.exists(DIGEST)
    store.put(DIGEST, DATA)
    store.put(DIGEST, DATA)
    assert (store.exists(DIGEST), store.get(DIGEST)) == (True, DATA)
    store.delete(DIGEST)
    store.delete(DIGEST)
    assert not store.exists(DIGEST)
    with pytest.raises(OriginalMissing):
        store.get(DIGEST)


def test_many_are_put_at_once(store: OriginalStore) -> None:
    many = {hashlib.sha256(data).hexdigest(): data for data in (b"one", b"two", b"three", DATA)}
    store.put(DIGEST, DATA)
    store.keep([store.stage(digest, data) for digest, data in many.items()])
    store.keep([store.stage(digest, data) for digest, data in many.items()])
    assert {digest: store.get(digest) for digest in many} == many


@pytest.mark.parametrize("name", ["../../etc/passwd", "AB" * 32, "", "0" * 63, "0" * 63 + "/"])
def test_only_a_digest_names_an_original(store: OriginalStore, name: str) -> None:
    for use in (store.get, store.exists, store.delete):
        with pytest.raises(ValueError, match="SHA-256"):
            use(name)
    with pytest.raises(ValueError, match="SHA-256"):
        store.put(name, DATA)


def test_an_original_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    store = LocalOriginals(tmp_path / "kept")
    staged = store.stage(DIGEST, DATA)
    assert not store.exists(DIGEST), "somebody who dies now leaves nothing under its name"
    store.keep([staged])
    assert store.get(DIGEST) == DATA


def test_what_the_dead_left_staged_is_swept(tmp_path: Path) -> None:
    store = LocalOriginals(tmp_path / "kept")
    dead, alive = store.stage(DIGEST, DATA).aside, store.stage("0" * 64, DATA).aside
    assert dead is not None
    assert alive is not None
    long_ago = time.time() - 7200
    os.utime(dead, (long_ago, long_ago))
    store.sweep()
    assert (dead.exists(), alive.exists()) == (False, True)


def test_a_store_that_does_not_work_says_so_without_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    with pytest.raises(OriginalsUnavailable) as raised:
        LocalOriginals(tmp_path / "kept").put(DIGEST, DATA)
    assert "kept" not in str(raised.value)


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this platform")
    store = LocalOriginals(tmp_path / "kept")
    store.put("0" * 64, DATA)
    staging = tmp_path / "kept" / "staged"
    staging.rmdir()
    staging.symlink_to("/dev")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.originals.secrets.token_hex", lambda _: "full")
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # not the device
        with pytest.raises(StorageFull):
            store.put(DIGEST, DATA)


def test_a_url_that_nothing_opens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="gopher"):
        open_originals("gopher://somewhere/there", tmp_path)


def test_urls_name_their_store(tmp_path: Path) -> None:
    assert isinstance(open_originals("none", tmp_path), NoOriginals)
    assert isinstance(open_originals(str(tmp_path), Path()), LocalOriginals)
    assert isinstance(open_originals(f"file://{tmp_path}", Path()), LocalOriginals)
    assert isinstance(open_originals("memory://somewhere", Path()), RemoteOriginals)


def test_banking_keeps_the_original_and_removing_the_last_item_deletes_it(
    client: FlaskClient, service: Runtime, make_bank: Callable[..., str], jpeg: Callable[[int], bytes]
) -> None:
    data = jpeg(1)
    digest = hashlib.sha256(data).hexdigest()
    first, second = make_bank("first"), make_bank("second")
    items = {
        bank: client.post(f"/v1/banks/{bank}/items", data=data, content_type="image/jpeg").json["item_id"]
        for bank in (first, second)
    }
    assert service.originals.get(digest) == data
    client.delete(f"/v1/banks/{first}/items/{items[first]}")
    assert delete_removed(service.catalog, service.originals) == 0
    client.delete(f"/v1/banks/{second}")
    assert delete_removed(service.catalog, service.originals) == 1
    assert not service.originals.exists(digest)


def test_the_service_deletes_what_is_left_of_a_removed_bank_and_its_originals(
    client: FlaskClient,
    service: Runtime,
    make_bank: Callable[..., str],
    jpeg: Callable[[int], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("index.catalog.banks.rows._PURGED_AT_ONCE", 1)
    pictures, bank = [jpeg(number) for number in (1, 2, 3)], make_bank("first")
    for data in pictures:
        client.post(f"/v1/banks/{bank}/items", data=data, content_type="image/jpeg")
    assert client.delete(f"/v1/banks/{bank}").status_code == 200
    delete_leftovers(service.catalog, service.originals, service.log)
    assert service.catalog.purge_removed(lambda: True)
    assert not any(service.originals.exists(hashlib.sha256(data).hexdigest()) for data in pictures)


def test_a_deletion_is_on_the_disk_before_it_is_crossed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalOriginals(tmp_path / "kept")
    store.put(DIGEST, DATA)
    synced: list[Path] = []
    monkeypatch.setattr("service.originals.sync_file", synced.append)
    store.delete(DIGEST)
    store.delete(DIGEST)
    assert synced == [tmp_path / "kept" / DIGEST[:2]]


def test_originals_that_were_claimed_long_ago_are_left_to_whoever_claims_them_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, deleted, crossed_out = [0.0], list[str](), list[str]()
    claims = [["1" * 64, "2" * 64, "3" * 64], []]

    def slowly(digest: str) -> None:
        deleted.append(digest)
        now[0] += 100.0

    monkeypatch.setattr("service.originals.time.monotonic", lambda: now[0])
    originals = SimpleNamespace(removals=lambda _: claims.pop(0), removed=crossed_out.extend)
    catalog = SimpleNamespace(originals=originals)
    assert delete_removed(catalog, SimpleNamespace(delete=slowly)) == 2  # type: ignore[arg-type]
    assert deleted == crossed_out == ["1" * 64, "2" * 64]


def test_a_picture_is_not_banked_when_its_original_cannot_be_kept(
    client: FlaskClient, service: Runtime, make_bank: Callable[..., str], jpeg: Callable[[int], bytes]
) -> None:
    service.settings.originals_dir.write_text("a file where the folder should be")
    answer = client.post(f"/v1/banks/{make_bank()}/items", data=jpeg(1), content_type="image/jpeg")
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/originals-unavailable")
    assert service.catalog.bank("first").items == 0


def test_a_service_that_keeps_no_originals_banks_all_the_same(
    service: Runtime, jpeg: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.banker, "_originals", NoOriginals())
    client = create_app(service).test_client()
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    assert client.post("/v1/banks/first/items", data=jpeg(1), content_type="image/jpeg").status_code == 201
    assert service.catalog.items("first", 1).items[0].original_bytes is None
    assert not service.settings.originals_dir.exists()


def test_an_original_that_was_deleted_while_its_item_was_banked_is_put_again(
    service: Runtime, make_bank: Callable[..., str], jpeg: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jpeg(1)
    digest = hashlib.sha256(data).hexdigest()
    make_bank()
    put = service.originals.put
    seen: list[str] = []

    class Racing(LocalOriginals):
        """Somebody else's deletion falls between putting and banking, once."""

        def put(self, sha256: str, data: bytes) -> None:
            put(sha256, data)
            seen.append(sha256)
            if len(seen) == 1:
                self.delete(sha256)

    monkeypatch.setattr(service.banker, "_originals", Racing(service.settings.originals_dir))
    assert service.banker.add("first", data).created
    assert service.originals.get(digest) == data


def test_an_original_is_not_replaced_by_what_its_file_holds_by_now(
    service: Runtime, jpeg: Callable[[int], bytes]
) -> None:
    service.catalog.put_bank("known", Purpose.HARMFUL)
    added = service.banker.add("known", jpeg(1))
    digest = added.item.sha256 or ""
    service.originals.delete(digest)
    with pytest.raises(OriginalsUnavailable):
        service.banker.keep_still(added, lambda: jpeg(2))
    assert not service.originals.exists(digest)
    service.banker.keep_still(added, lambda: jpeg(1))
    assert service.originals.get(digest) == jpeg(1)
