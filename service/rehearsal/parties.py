"""Who takes part: four platforms and two organisations, each with a key of its own where the service asks for keys."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from service.client import Client, ClientError, ServiceProblem
from service.rehearsal.errors import BadKeyFile, KeysNeeded
from service.rehearsal.script import PLATFORMS

CENTERS = ("center", "second-center")
_PREFIX = "rehearsal-"
_NOTE = "a rehearsal; ends with it"
_KEYS_LAST = timedelta(hours=12)
_SCOPES = {"platform": ["match", "record", "read"]}
"""A center has what is usual for one."""

Json = dict[str, Any]
Open = Callable[[str | None], Client]
"""A client that shows this key."""


@dataclass(frozen=True, slots=True)
class Party:
    """A participant, and how it speaks to the service."""

    name: str
    client: Client
    key: str | None = None

    @property
    def names_itself(self) -> bool:
        """Whether it has to say who it is: no key says so."""
        return self.key is None


@dataclass(frozen=True, slots=True)
class Parties:
    platforms: Mapping[str, Party]
    """By what the script calls them."""
    centers: tuple[Party, Party]

    @property
    def names(self) -> list[str]:
        """Of the platforms, as the service knows them."""
        return [party.name for party in self.platforms.values()]


class Gathering:
    """The parties while they meet; keys that were made for it end with it."""

    def __init__(self, own: Client, open_client: Open, keys: Mapping[str, str] | None = None) -> None:
        """
        Args:
            own: shows the key of whoever rehearses, if any.
            open_client: makes a client for a key.
            keys: by participant, where they were given.
        """
        self._own = own
        self._open = open_client
        self._given = keys
        self._stack = ExitStack()

    def __enter__(self) -> Parties:
        """
        Raises:
            KeysNeeded: the service asks for keys, none were given, and the own one may make none.
        """
        try:
            return self._gathered()
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _gathered(self) -> Parties:
        if self._given is not None:
            keys: Mapping[str, str | None] = self._given
            platforms = list(self._given)[: len(PLATFORMS)]
            centers = list(self._given)[len(PLATFORMS) :]
        else:
            platforms, centers = ([_PREFIX + name for name in group] for group in (PLATFORMS, CENTERS))
            keys = self._made(platforms, centers) if self._keys_are_asked_for() else dict.fromkeys(platforms + centers)
        parties = {name: Party(name, self._open(key), key) for name, key in keys.items()}
        first, second = (parties[name] for name in centers)
        return Parties(dict(zip(PLATFORMS, (parties[name] for name in platforms), strict=True)), (first, second))

    def _keys_are_asked_for(self) -> bool:
        try:
            return any(key["revoked_at"] is None for key in self._own.keys())  # noqa: SIM118 - of a service
        except ServiceProblem as problem:
            if problem.kind in {"unauthenticated", "forbidden"}:
                raise KeysNeeded(
                    "This service asks for keys. Name six of them with --keys, or show one that may make them "
                    f"(scope `admin`) in AFTERIMAGE_KEY. It said: {problem}"
                ) from problem
            raise

    def _made(self, platforms: list[str], centers: list[str]) -> dict[str, str | None]:
        made: dict[str, str | None] = {}
        for role, names in (("platform", platforms), ("center", centers)):
            for name in names:
                ends = datetime.now(UTC) + _KEYS_LAST
                wanted: Json = {"participant": name, "role": role, "note": _NOTE, "expires_at": ends.isoformat()}
                issued = self._own.create_key({**wanted, "scopes": _SCOPES.get(role), "rate_per_s": 0})
                self._stack.callback(self._revoke, issued["key_id"])
                made[name] = issued["key"]
        return made

    def _revoke(self, key_id: str) -> None:
        with suppress(ClientError):  # it ends by itself, in the end
            self._own.revoke_key(key_id)


def read_keys(path: Path) -> dict[str, str]:
    """
    The keys of a JSON file, four platforms' first: `{"platforms": {"NAME": "KEY", …}, "centers": {"NAME": "KEY", …}}`.

    Raises:
        BadKeyFile: it is not of this form, or has not four and two.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        platforms, centers = dict(value["platforms"]), dict(value["centers"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadKeyFile(f"{path} is not JSON of the form {{platforms: {{NAME: KEY}}, centers: {{…}}}}.") from error
    keys = {**platforms, **centers}
    if (len(platforms), len(centers), len(keys)) != (len(PLATFORMS), len(CENTERS), len(PLATFORMS) + len(CENTERS)):
        raise BadKeyFile(
            f"{path} names {len(platforms)} platforms and {len(centers)} centers; four and two are needed."
        )
    if not all(isinstance(key, str) and key for key in keys.values()):
        raise BadKeyFile(f"{path} has a key that is no text.")
    return keys
