"""Keys: how they are made, and whose the one is that is shown."""

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from structlog.typing import FilteringBoundLogger

from index.catalog.keys import KeyTable
from index.errors import CatalogUnavailable
from index.records.keys import Key, KeyId, Ring, Secret
from service.errors import NotAuthenticated
from service.logs import where

SECRET_BYTES: Final = 32
_ID_DIGITS: Final = 12
_FORM: Final = re.compile(rf"afterimage_([a-z2-7]{{{_ID_DIGITS}}})_[a-z2-7]{{52}}", re.ASCII)
_NOBODY: Final = bytes(32)
"""Compared with where there is no such key: it takes as long, and nothing has this digest."""
_NOTED_EVERY: Final = timedelta(minutes=1)

Compare = Callable[[bytes, bytes], bool]
Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def make_key() -> tuple[str, Secret]:
    """
    A new key, to be shown once, and what is kept of it.

    32 random bytes need no stretching: nobody can try them all, so a plain digest is as safe as a slow one.
    """
    key_id = KeyId(_letters(8)[:_ID_DIGITS])
    text = f"afterimage_{key_id}_{_letters(SECRET_BYTES)}"
    return text, Secret(key_id, digest_of(text))


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _letters(count: int) -> str:
    return base64.b32encode(secrets.token_bytes(count)).decode().rstrip("=").lower()


class Keyring:
    """
    The keys as this process knows them, level with the catalog at every request: a key that was revoked is refused
    from the next request on, in every worker. Safe from any thread.
    """

    def __init__(self, table: KeyTable, *, clock: Clock = _now, compare: Compare = hmac.compare_digest) -> None:
        self._table = table
        self._clock = clock
        self._compare = compare
        self._ring = Ring(0, {})
        self._reading = threading.Lock()
        self._uses: dict[KeyId, datetime] = {}

    @property
    def any_known(self) -> bool:
        """Whether a key was ever made, as far as this process has heard."""
        return self._ring.version > 0

    def current(self) -> Ring:
        """
        Every key.

        Raises:
            CatalogUnavailable: nobody can say who may ask.
        """
        version = self._table.version()
        if version != self._ring.version:
            with self._reading:
                if version != self._ring.version:
                    self._ring = self._table.ring()
        return self._ring

    def holder(self, shown: str) -> Key:
        """
        The key that was shown. Wrong ones cost the same, whatever is wrong with them.

        Raises:
            NotAuthenticated: it is none of ours, or not any more.
        """
        ring = self.current()
        form = _FORM.fullmatch(shown)
        key = ring.keys.get(KeyId(form[1] if form else ""))
        right = self._compare(digest_of(shown), _NOBODY if key is None else key.digest)
        if key is None or not right:
            raise NotAuthenticated("The key is not one of this service.")
        # Only whoever holds the whole key hears more.
        if key.revoked_at is not None:
            raise NotAuthenticated("The key was revoked.")
        now = self._clock()
        if key.expired(now):
            raise NotAuthenticated("The key has expired.")
        self._uses[key.key_id] = now
        return key

    def usable(self, key_id: KeyId) -> Key | None:
        """
        A key that was shown before, if it may still be used.

        Raises:
            CatalogUnavailable: nobody can say.
        """
        key = self.current().keys.get(key_id)
        return None if key is None or key.revoked_at is not None or key.expired(self._clock()) else key

    def note_uses(self, log: FilteringBoundLogger | None = None) -> None:
        """Writes down when keys were last used, to the minute: not on anybody's way. What fails is tried again."""
        known = self._ring.keys
        due = {
            key_id: at
            for key_id, at in list(self._uses.items())
            if (key := known.get(key_id)) is None or key.last_used_at is None or at - key.last_used_at >= _NOTED_EVERY
        }
        if not due:
            return
        try:
            self._table.used(due)
            with self._reading:
                self._ring = self._table.ring()
        except CatalogUnavailable as error:
            if log is not None:
                log.warning("the last uses of keys could not be noted", **where(error))
