"""Where banking and matching happen: in a running service, or here, on a data directory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from index.errors import BankPurposeConflict, DataDirectoryInUse, UnknownBank
from models.errors import EmbeddingFailed, MediaError
from service.cli.output import remarks
from service.client import Client, ServiceProblem
from service.errors import LowInformation, ServiceError
from service.settings import key_of_environment

if TYPE_CHECKING:
    from service.runtime import Runtime

Json = dict[str, Any]


class UploadRefused(Exception):
    """This picture cannot be used; the next one may well be."""


class AskedTwice(ServiceError):
    """Both a service and a data directory were named."""


class BadBankName(ServiceError):
    """No bank can have this name."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about every picture of a `match`."""

    banks: tuple[str, ...]
    k: int
    min_band: str
    verify: str = "auto"
    explain: bool = False


class Target(Protocol):
    """
    Everything the commands need of a service.

    `known`, `add` and `match` are safe from several threads at once.
    """

    def prepare_bank(self, name: str, purpose: str | None) -> None:
        """
        Makes the bank unless it exists; one that exists keeps its labels and settings.

        Args:
            name: of the bank.
            purpose: what a new bank is for; None is `harmful`, and whatever an existing one has.

        Raises:
            BankPurposeConflict: it exists with another purpose.
        """

    def change_bank(self, name: str, settings: Json) -> Json:
        """The bank with these settings, and everything else as it was."""

    def banks(self) -> list[Json]: ...

    def known(self, bank: str, digests: Sequence[str]) -> set[str]:
        """Those of the SHA-256 digests that need not be sent, as far as is known on this side."""

    def add(self, bank: str, data: bytes, labels: Mapping[str, str]) -> bool:
        """
        Banks a picture; False when the bank already held these bytes.

        Raises:
            UploadRefused: this picture cannot be banked.
        """

    def match(self, data: bytes, question: Question) -> Json:
        """
        The answer, as `POST /v1/match` gives it.

        Raises:
            UploadRefused: this picture cannot be matched.
        """


class RunningService:
    """A service at a URL."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def prepare_bank(self, name: str, purpose: str | None) -> None:
        try:
            existing = self._client.bank(name)["purpose"]
        except ServiceProblem as problem:
            if problem.kind != "unknown-bank":
                raise
            self._client.put_bank(name, purpose or "harmful")
        else:
            _refuse_another_purpose(name, existing, purpose)

    def change_bank(self, name: str, settings: Json) -> Json:
        bank = self._client.bank(name)
        return self._client.put_bank(name, bank["purpose"], bank["labels"], bank["settings"] | settings)

    def banks(self) -> list[Json]:
        return list(self._client.banks())

    def known(self, bank: str, digests: Sequence[str]) -> set[str]:  # noqa: ARG002 - the service knows bytes again itself, before it decodes them
        return set()

    def add(self, bank: str, data: bytes, labels: Mapping[str, str]) -> bool:
        try:
            return self._client.add_item(bank, data, labels)[1]
        except ServiceProblem as problem:
            raise _refused(problem) from problem

    def match(self, data: bytes, question: Question) -> Json:
        query: Json = {
            "bank": question.banks, "k": question.k, "min_band": question.min_band, "verify": question.verify,
        }  # fmt: skip
        if question.explain:
            query["explain"] = "true"
        try:
            return self._client.match(data, query)
        except ServiceProblem as problem:
            raise _refused(problem) from problem


class LocalService:
    """A data directory that nobody else has open, served by this process."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime

    def prepare_bank(self, name: str, purpose: str | None) -> None:
        from index.records.banks import Purpose
        from service.inputs import BANK_NAME, bank_name_fits

        if not bank_name_fits(name):
            raise BadBankName(f"A bank cannot be called {name!r}: names match {BANK_NAME}")
        try:
            existing = self._runtime.catalog.bank(name).purpose.value
        except UnknownBank:
            self._runtime.catalog.put_bank(name, Purpose(purpose or "harmful"))
        else:
            _refuse_another_purpose(name, existing, purpose)

    def change_bank(self, name: str, settings: Json) -> Json:
        from service.schemas import bank_resource

        catalog = self._runtime.catalog
        bank = catalog.bank(name)
        changed, _, _ = catalog.put_bank(name, bank.purpose, bank.labels, replace(bank.settings, **settings))
        return bank_resource(changed).model_dump(mode="json")

    def banks(self) -> list[Json]:
        from service.schemas import bank_resource

        found: list[Json] = []
        cursor: str | None = None
        while True:
            page = self._runtime.catalog.banks(100, cursor)
            found.extend(bank_resource(bank).model_dump(mode="json") for bank in page.items)
            if page.next is None:
                return found
            cursor = page.next

    def known(self, bank: str, digests: Sequence[str]) -> set[str]:
        return set(self._runtime.catalog.known_sha256(bank, digests))

    def add(self, bank: str, data: bytes, labels: Mapping[str, str]) -> bool:
        from service.ingest import AddOptions

        try:
            return self._runtime.banker.add(bank, data, AddOptions(labels=labels)).created
        except (MediaError, EmbeddingFailed, LowInformation) as error:
            raise UploadRefused(str(error)) from error

    def match(self, data: bytes, question: Question) -> Json:
        from service.matching.asked_banks import BankChoice
        from service.matching.matcher import MatchOptions
        from service.schemas import Band, Verify

        options = MatchOptions(
            choice=BankChoice(frozenset(question.banks)),
            k=question.k,
            min_band=Band(question.min_band),
            verify=Verify(question.verify),
            explain=question.explain,
        )
        try:
            return self._runtime.matcher.match(data, options).model_dump(mode="json")
        except (MediaError, EmbeddingFailed) as error:
            raise UploadRefused(str(error)) from error


@dataclass(frozen=True, slots=True)
class Place:
    """A service's URL, or a data directory; neither is the data directory of the environment."""

    url: str | None
    data_dir: Path | None
    catalog: str | None = None
    """Goes over the setting; empty is SQLite in the data directory."""


def chosen(context: typer.Context, url: str | None, data_dir: Path | None) -> Place:
    """
    What the user meant: a flag goes over the environment.

    Raises:
        AskedTwice: both were named on the command line.
    """
    if url is None or data_dir is None:
        return Place(url, data_dir)
    source = context.get_parameter_source("url")
    if source is not None and source.name == "ENVIRONMENT":
        return Place(None, data_dir)
    raise AskedTwice("Name either --url or --data-dir, not both: one asks a running service, one works without.")


def service_client(url: str, *, patience_s: float = 60.0) -> Client:
    """Speaks to the service at a URL, with the key of the environment where there is one."""
    return Client(url, key=key_of_environment(), patience_s=patience_s)


@contextmanager
def open_target(place: Place) -> Iterator[Target]:
    """
    The place, ready to be asked.

    Raises:
        DataDirectoryInUse: another process has the data directory open; says what to do.
    """
    if place.url is not None:
        yield RunningService(service_client(place.url))
        return
    with opened_runtime(place) as runtime:
        yield LocalService(runtime)


@contextmanager
def opened_runtime(place: Place) -> "Iterator[Runtime]":
    """
    Every part of a service on a data directory, open in this process.

    Raises:
        DataDirectoryInUse: another process has the data directory open; says what to do.
    """
    from service.runtime import Runtime
    from service.settings import load_settings

    settings = load_settings(data_dir=place.data_dir, catalog=place.catalog, log_level="error")
    with remarks().status("Opening the model and the data directory …"):
        try:
            runtime = Runtime.open(settings)
        except DataDirectoryInUse as error:
            raise DataDirectoryInUse(
                f"{settings.data_dir} is in use by a running service or another command. Ask the service instead, with "
                f"--url (http://{settings.host}:{settings.port}, unless it was told otherwise), or stop it first."
            ) from error
    with runtime:
        yield runtime


def _refused(problem: ServiceProblem) -> Exception:
    return UploadRefused(str(problem)) if problem.upload_at_fault else problem


def _refuse_another_purpose(bank: str, existing: str, wanted: str | None) -> None:
    if wanted not in (None, existing):
        raise BankPurposeConflict(f"The bank {bank} was made with the purpose {existing}, and keeps it.")
