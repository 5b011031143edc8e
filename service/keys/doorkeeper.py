"""Decides who may ask what, and how much of it."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from index.records.keys import Key, Scope
from service.errors import BudgetSpent, NotAuthenticated, ScopeMissing
from service.keys.access import Access
from service.keys.budgets import Budget, Budgets, Standing
from service.keys.keyring import Keyring
from service.settings import Settings

_SCHEME = "bearer"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; without a key, somebody of this machine or whom a proxy let in."""

    key: Key | None = None

    def may(self, scope: Scope) -> bool:
        return self.key is None or scope in self.key.scopes


class Doorkeeper:
    """
    Once a key was ever made, every operation but those for everyone needs one that is valid. Before, none is needed;
    unless the address can be reached by others, who are then all refused. Safe from any thread.
    """

    def __init__(self, keyring: Keyring, budgets: Budgets, settings: Settings) -> None:
        self.keyring = keyring
        self._budgets = budgets
        self._recordings = Budgets(settings.data_dir / "budgets-recordings")
        self._recordings_a_day = Budget(0, settings.key_recordings_per_day)
        self._default = Budget(settings.key_rate_per_s, settings.key_queries_per_day)
        self._places = settings.places_of_a_key
        self._open_to_others = not settings.loopback and not settings.trust_network
        self._inside: Counter[int] = Counter()
        self._counting = threading.Lock()

    @property
    def asks_for_keys(self) -> bool:
        """
        Whether every operation but those for everyone needs a key.

        Raises:
            CatalogUnavailable: none is known of, and it cannot be looked up.
        """
        return self._open_to_others or self.keyring.any_known or self.keyring.current().version > 0

    def caller(self, authorization: str | None) -> Caller:
        """
        Whoever shows this `Authorization`.

        Raises:
            NotAuthenticated: a key is needed and none was shown, or one that is not valid.
            CatalogUnavailable: it cannot be looked up.
        """
        needed = self.keyring.current().version > 0 or self._open_to_others
        if not needed:
            return Caller()
        if authorization is None:
            raise NotAuthenticated("A key is needed: send `Authorization: Bearer` and the key.")
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != _SCHEME:
            raise NotAuthenticated("A key is needed: send `Authorization: Bearer` and the key.")
        return Caller(self.keyring.holder(shown.strip(" ")))

    def refuse_unscoped(self, caller: Caller, access: Access, asked: Mapping[str, str]) -> None:
        """
        Args:
            caller: who asks.
            access: what the operation needs.
            asked: the query's parameters.

        Raises:
            ScopeMissing: the key does not allow this.
        """
        needed = [scope for (name, value), scope in access.besides.items() if asked.get(name) == value]
        enough = access.instead is not None and caller.may(access.instead)
        for scope in ([] if enough else [access.scope]) + needed:
            if scope is not None and not caller.may(scope):
                raise ScopeMissing(f"This key does not allow this: it needs the scope `{scope}`.", scope)

    def admits(self, caller: Caller, access: Access) -> bool:
        """
        Whether somebody who was let in once would be let in now.

        Raises:
            CatalogUnavailable: it cannot be looked up.
        """
        if caller.key is None:
            return not self.asks_for_keys
        key = self.keyring.usable(caller.key.key_id)
        return key is not None and any(scope in key.scopes for scope in (access.scope, access.instead))

    def take(self, caller: Caller, *, requests: int = 1, queries: int = 0) -> Standing:
        """
        Counts against the caller's budget, where there is one.

        Raises:
            BudgetSpent: there is too little of it left; says when there is more.
        """
        if caller.key is None:
            return Standing()
        standing = self._budgets.take(caller.key.number, self._budget(caller.key), requests=requests, queries=queries)
        if standing.wait_s:
            raise BudgetSpent("The budget of this key is spent for now.", standing)
        return standing

    def take_recording(self, caller: Caller) -> bool:
        """Counts an upload that is to be recorded, for whoever shows no key too; False when no more may be today."""
        number = 0 if caller.key is None else caller.key.number
        return not self._recordings.take(number, self._recordings_a_day, requests=0, queries=1).wait_s

    @contextmanager
    def inside(self, caller: Caller) -> Iterator[None]:
        """
        From here to the end of the block it is one of the requests that this key has in this worker.

        Raises:
            BudgetSpent: it has as many already as one key may, so that the others find a place too.
        """
        if caller.key is None:
            yield
            return
        number = caller.key.number
        with self._counting:
            if self._inside[number] >= self._places:
                raise BudgetSpent("This key has as many requests under way as one key may.", Standing(wait_s=1))
            self._inside[number] += 1
        try:
            yield
        finally:
            with self._counting:
                self._inside[number] -= 1

    def close(self) -> None:
        self.keyring.note_uses()
        self._budgets.close()
        self._recordings.close()

    def _budget(self, key: Key) -> Budget:
        """What the key says for itself, else the settings."""
        own, default = key.allowance, self._default
        return Budget(
            default.rate_per_s if own.rate_per_s is None else own.rate_per_s,
            default.queries_per_day if own.queries_per_day is None else own.queries_per_day,
        )
