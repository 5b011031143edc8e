"""Where spaces are looked at and decided about: a running service, or a data directory."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from index.errors import SpaceNotOpen, WrongStage
from models.errors import EmbeddingFailed, MediaError
from service.cli.target import Place, UploadRefused, opened_runtime, service_client
from service.client import Client, ServiceProblem
from service.errors import ServiceError

if TYPE_CHECKING:
    from service.spaces.moving import Mover

Json = dict[str, Any]

_PATIENCE_S = 30.0
_LOOK_S = 0.5


class NoSuchSpace(ServiceError):
    """Nothing, or more than one thing, is meant by what was said."""


class SpacePlace(Protocol):
    """Spaces as `/v1/spaces` answers them."""

    def spaces(self) -> list[Json]: ...

    def report(self, space: str) -> Json: ...

    def move(self, space: str, change: str, how: Mapping[str, bool]) -> Json:
        """`promote` or `rollback`."""

    def drop(self, space: str) -> Json: ...

    def compare(self, space: str, data: bytes) -> Json:
        """
        Raises:
            UploadRefused: this picture cannot be asked about.
        """


class ServiceSpaces:
    """Those of a service at a URL."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def spaces(self) -> list[Json]:
        return self._client.spaces()

    def report(self, space: str) -> Json:
        return self._client.space(space)

    def move(self, space: str, change: str, how: Mapping[str, bool]) -> Json:
        query = {name: str(value).lower() for name, value in how.items() if value}
        return _patiently(
            lambda: self._client.move_space(space, change, query),
            lambda error: isinstance(error, ServiceProblem) and error.kind == "space-not-open",
        )

    def drop(self, space: str) -> Json:
        return self._client.drop_space(space)

    def compare(self, space: str, data: bytes) -> Json:
        try:
            return self._client.compare_space(space, data)
        except ServiceProblem as problem:
            raise (UploadRefused(str(problem)) if problem.upload_at_fault else problem) from problem


class LocalSpaces:
    """Those of a data directory that is open here."""

    def __init__(self, mover: "Mover") -> None:
        self._mover = mover

    def spaces(self) -> list[Json]:
        return [space.model_dump(mode="json") for space in self._mover.spaces()]

    def report(self, space: str) -> Json:
        from index.records.spaces import SpaceId

        return self._mover.report(SpaceId(space)).model_dump(mode="json")

    def move(self, space: str, change: str, how: Mapping[str, bool]) -> Json:
        from index.records.spaces import SpaceId

        def moved() -> Json:
            if change == "promote":
                told = self._mover.promote(
                    SpaceId(space), keep_old=how.get("keep_old", False), leave_behind=how["leave_behind"]
                )
            else:
                told = self._mover.rollback(SpaceId(space), leave_behind=how["leave_behind"])
            return told.model_dump(mode="json")

        return _patiently(moved, lambda error: isinstance(error, SpaceNotOpen))

    def drop(self, space: str) -> Json:
        from index.records.spaces import SpaceId

        return self._mover.drop(SpaceId(space)).model_dump(mode="json")

    def compare(self, space: str, data: bytes) -> Json:
        from index.records.spaces import SpaceId

        try:
            return self._mover.compare(SpaceId(space), data, None).model_dump(mode="json")
        except (MediaError, EmbeddingFailed) as error:
            raise UploadRefused(str(error)) from error


@contextmanager
def open_spaces(place: Place) -> Iterator[SpacePlace]:
    """The spaces of a place."""
    if place.url is not None:
        yield ServiceSpaces(service_client(place.url))
        return
    with opened_runtime(place) as runtime:
        yield LocalSpaces(runtime.mover)


def named(spaces: list[Json], said: str | None, stages: set[str]) -> str:
    """
    The space that is meant: by its id, the beginning of it, or its model; or the only one in these stages.

    Raises:
        NoSuchSpace: there is none, or more than one.
        WrongStage: it is in another stage.
    """
    fitting = [space for space in spaces if space["stage"] in stages]
    if said is None:
        found = fitting
        if len(found) != 1:
            names = ", ".join(space["embedder_id"] for space in found) or "none"
            raise NoSuchSpace(f"Say which space is meant. In question: {names}. `afterimage reindex status` lists all.")
        return str(found[0]["embedder_id"])
    meant = [space for space in spaces if said in {space["embedder_id"], space["model"]}]
    meant = meant or [space for space in spaces if space["embedder_id"].startswith(said)]
    if len(meant) != 1:
        raise NoSuchSpace(f"{said!r} is no space, or several. `afterimage reindex status` lists all.")
    if meant[0]["stage"] not in stages:
        raise WrongStage(
            f"The space {meant[0]['embedder_id']} is {meant[0]['stage']}, not {' or '.join(sorted(stages))}."
        )
    return str(meant[0]["embedder_id"])


def _patiently(move: Callable[[], Json], not_yet: Callable[[Exception], bool]) -> Json:
    """Processes that answer take some seconds to say that they have a space open."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return move()
        except (ServiceProblem, SpaceNotOpen) as error:
            if not not_yet(error) or time.monotonic() >= until:
                raise
            time.sleep(_LOOK_S)
