"""The catalog as everyone else sees it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection

from index.catalog import feed, log
from index.catalog.audit import AuditLog
from index.catalog.banks import adding, replays
from index.catalog.banks import items as item_rows
from index.catalog.banks import rows as bank_rows
from index.catalog.banks.features import FeatureTable
from index.catalog.banks.originals import OriginalTable
from index.catalog.banks.tiling import TileTable
from index.catalog.clusters.clusters import ClusterTable
from index.catalog.duties import DutyTable
from index.catalog.events import EventLog
from index.catalog.incidents.feedback import FeedbackTable
from index.catalog.incidents.figures import FigureTable
from index.catalog.incidents.incidents import IncidentTable
from index.catalog.incidents.quarantines import QuarantineTable
from index.catalog.incidents.tallies import TallyTable
from index.catalog.jobs import leases
from index.catalog.jobs.table import JobTable
from index.catalog.keys import KeyTable
from index.catalog.sightings.sightings import SightingTable
from index.catalog.spaces import rows as space_rows
from index.catalog.spaces.moves import SpaceMoves
from index.catalog.storage.database import Database
from index.catalog.storage.information import CatalogInfo
from index.catalog.storage.migrate import migrate, revision_of
from index.records.banks import Bank, BankSettings, Labels, Purpose
from index.records.changes import Changes, LogState, Version
from index.records.items import Added, Idempotency, Item, ItemChange, ItemId, ItemState, NewItem, Quarantine
from index.records.jobs import Progress
from index.records.pages import Page
from index.records.spaces import SpaceId, SpaceState

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class Catalog:
    """
    Banks, items and the log of their changes, durably.

    Safe from any thread, and any number of processes may open the same one; open it after forking. A method that
    changes something returns when the change would survive a power cut. Each method that reads sees one state of
    the catalog, whatever is written meanwhile.

    Every method raises CatalogUnavailable when the database fails, StorageFull when it has no room.
    """

    def __init__(self, database: Database, clock: Clock = _now) -> None:
        """Use `open`."""
        self._database = database
        self._clock = clock
        self.features = FeatureTable(database)
        self.originals = OriginalTable(database, clock)
        self.jobs = JobTable(database, clock)
        self.keys = KeyTable(database, clock)
        self.audit = AuditLog(database)
        self.duties = DutyTable(database, clock)
        self.sightings = SightingTable(database, clock)
        self.events = EventLog(database, clock)
        self.clusters = ClusterTable(database, clock)
        self.incidents = IncidentTable(database, clock)
        self.tallies = TallyTable(database)
        self.figures = FigureTable(database)
        self.feedback = FeedbackTable(database, clock)
        self.quarantines = QuarantineTable(database, clock)
        self.tiles = TileTable(database, clock)
        self.moves = SpaceMoves(database, clock)
        """Moving from one space to another."""

    @classmethod
    def open(cls, url: str, clock: Clock = _now) -> "Catalog":
        """
        Opens the catalog at a SQLAlchemy URL, creating or upgrading it as needed.

        Args:
            url: `sqlite:////absolute/path/catalog.db`, or `postgresql+psycopg://user@host/database`.
            clock: what time it is; for tests.

        Raises:
            CatalogTooNew: a newer release has written it.
        """
        database = Database(url)
        try:
            with database.writing() as connection:
                migrate(connection)
        except BaseException:
            database.close()
            raise
        return cls(database, clock)

    def close(self) -> None:
        self._database.close()

    @property
    def database(self) -> Database:
        """For the other parts of this package that keep something in it; `Database.write` says how."""
        return self._database

    def identity(self) -> str:
        """Another one in every catalog that was made, or restored from a backup: what was derived of it names this."""
        with self._database.reading() as connection:
            return log.catalog_id(connection)

    def put_bank(
        self, name: str, purpose: Purpose, labels: Labels | None = None, settings: BankSettings | None = None
    ) -> tuple[Bank, bool, Version]:
        """
        Makes a bank, or gives an existing one these labels and settings.

        Returns:
            the bank, whether it is new, and the version that includes it.

        Raises:
            BankPurposeConflict: it exists with the other purpose.
        """
        return self._database.write(
            lambda connection: bank_rows.put(
                connection,
                name,
                purpose=purpose,
                labels=labels or {},
                settings=settings or BankSettings(),
                at=self._clock(),
            )
        )

    def bank(self, name: str) -> Bank:
        """
        Raises:
            UnknownBank: there is none of that name.
        """
        with self._database.reading() as connection:
            return bank_rows.get(connection, name)

    def banks(self, limit: int, cursor: str | None = None) -> Page[Bank]:
        """
        By name.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        with self._database.reading() as connection:
            return bank_rows.page(connection, limit, cursor)

    def delete_bank(self, name: str) -> Version:
        """
        Removes a bank and every item in it. No search at or after the version returned finds any of them; the rows
        of a large bank are deleted afterwards, by `purge_removed`.

        Raises:
            UnknownBank: there is none of that name.
        """

        def remove(connection: Connection) -> Version:
            replays.forget_bank(connection, name)
            return bank_rows.remove(connection, name, self._clock())

        return self._database.write(remove)

    def purge_removed(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """
        Deletes what is left of removed banks, in small steps between which others write.

        Any number of processes may do this at the same time; what is interrupted goes on with the next call.

        Args:
            stopped: asked after every step.

        Returns:
            whether nothing is left.
        """
        while True:
            with self._database.reading() as connection:
                if not bank_rows.removed(connection):
                    return True
            if stopped():
                return False
            self._database.write(bank_rows.purge)

    def add_item(self, bank: str, new: NewItem, idempotency: Idempotency | None = None) -> Added:
        """
        Banks one item. Bytes that the bank holds already are left as they are, disabled ones too.

        Raises:
            UnknownBank: there is none of that name.
            SpaceMismatch: embeddings of a space that was not registered.
            BadEmbedding: embeddings of another length, not finite, or not of norm 1.
            IdempotencyConflict: the key was used for another request.
        """
        if idempotency is None:
            (added,) = self._database.write_alike(self._add_each, adding.Addition(bank, [new]))
            return added
        return self._database.write(
            lambda connection: replays.add_once(connection, bank, new, idempotency, self._clock())
        )

    def _add_each(self, connection: Connection, additions: Sequence[adding.Addition]) -> list[list[Added]]:
        return adding.add_each(connection, additions, self._clock())

    def add_items(
        self, bank: str, new: Sequence[NewItem], progress: Callable[[Sequence[Added]], Progress] | None = None
    ) -> list[Added]:
        """
        Banks many items in one transaction: all of them or, after an error, none.

        Args:
            bank: its name.
            new: what to bank.
            progress: how far the job is that does it, once it is known what became of each; written with them.

        Raises:
            UnknownBank, SpaceMismatch, BadEmbedding: as `add_item`.
            LeaseLost: the part of the job is another worker's by now; nothing is banked.
        """

        def add(connection: Connection) -> list[Added]:
            added = adding.add(connection, bank, new, self._clock())
            if progress is not None:
                leases.advance(connection, progress(added))
            return added

        return self._database.write(add)

    def replayed(self, idempotency: Idempotency) -> Added | None:
        """
        What the same request was answered within the last 24 hours; None when it is new.

        Raises:
            IdempotencyConflict: the key was used for another request.
        """
        with self._database.reading() as connection:
            return replays.find(connection, idempotency, self._clock())

    def item(self, bank: str, item_id: ItemId) -> Item:
        """
        Raises:
            UnknownBank, UnknownItem: there is no such bank, or no such item in it.
        """
        with self._database.reading() as connection:
            return item_rows.get(connection, bank, item_id)

    def items(self, bank: str, limit: int, cursor: str | None = None) -> Page[Item]:
        """
        Oldest first.

        Raises:
            UnknownBank: there is none of that name.
            BadCursor: the cursor is not one of this list.
        """
        with self._database.reading() as connection:
            return item_rows.page(connection, bank, limit, cursor)

    def items_by_id(self, item_ids: Iterable[ItemId]) -> dict[ItemId, Item]:
        """Those that exist, whatever their state; what a search found and this does not is removed since."""
        with self._database.reading() as connection:
            return item_rows.by_id(connection, item_ids)

    def set_item(
        self,
        bank: str,
        item_id: ItemId,
        state: ItemState | None = None,
        labels: Labels | None = None,
        quarantine: Quarantine | None = None,
    ) -> tuple[Item, Version]:
        """
        Changes what is given. A disabled item is found by no search at or after the version returned.

        Raises:
            UnknownBank, UnknownItem: there is no such bank, or no such item in it.
        """
        return self._database.write(
            lambda connection: item_rows.change(
                connection, bank, item_id, ItemChange(state, labels, quarantine), self._clock()
            )
        )

    def delete_item(self, bank: str, item_id: ItemId) -> Version:
        """
        Removes an item for good.

        Raises:
            UnknownBank, UnknownItem: there is no such bank, or no such item in it.
        """
        return self._database.write(lambda connection: item_rows.remove(connection, bank, item_id, self._clock()))

    def known_sha256(self, bank: str, digests: Collection[str]) -> set[str]:
        """
        Which of these bytes the bank holds, disabled items included.

        Raises:
            UnknownBank: there is none of that name.
        """
        return self.bank_knowing(bank, digests)[1]

    def bank_knowing(self, bank: str, digests: Collection[str]) -> tuple[Bank, set[str]]:
        """
        The bank, and which of these bytes it holds, disabled items included.

        Raises:
            UnknownBank: there is none of that name.
        """
        with self._database.reading() as connection:
            key, found = bank_rows.key_and_bank(connection, bank)
            return found, set(item_rows.by_sha256(connection, key, digests))

    def item_by_sha256(self, bank: str, digest: str) -> Item | None:
        """
        The bank's item of these bytes, whatever its state.

        Raises:
            UnknownBank: there is none of that name.
        """
        with self._database.reading() as connection:
            keys = item_rows.by_sha256(connection, bank_rows.key_of(connection, bank), [digest])
            return next(iter(item_rows.by_key(connection, keys.values()).values()), None)

    def active_items_by_sha256(self, digest: str, banks: Collection[str] | None = None) -> tuple[Item, ...]:
        """Items of exactly these bytes that may be found, in these banks or in any."""
        with self._database.reading() as connection:
            return item_rows.active_by_sha256(connection, digest, banks)

    def register_space(self, space: SpaceId, dim: int, model: str | None = None) -> None:
        """
        Lets embeddings of a space be kept; again is harmless.

        Args:
            space: the name.
            dim: the length of its embeddings.
            model: what to open it by, later and elsewhere.

        Raises:
            SpaceMismatch: it is known with another length of embeddings.
        """
        with self._database.reading() as connection:
            held = space_rows.all_rows(connection).get(space)
        if held is None or held.record.dim != dim or (model is not None and held.record.model is None):
            self._database.write(lambda connection: space_rows.register(connection, space, dim, model))

    def spaces(self) -> list[SpaceState]:
        """By name, with a count that reads every embedding's key: for people, not for every request."""
        with self._database.reading() as connection:
            return space_rows.states(connection)

    def version(self) -> Version:
        """The newest change; cheap enough to ask before every search."""
        return Version(self._database.scalar("SELECT seq FROM log_head"))

    def changes(self, since: Version, spaces: Collection[SpaceId], *, hashes: bool = True) -> Changes:
        """What views of these spaces, and that of the hashes if wanted, at `since` must forget and add."""
        with self._database.reading() as connection:
            return feed.changes_since(connection, since, spaces, hashes=hashes)

    def state(self) -> LogState:
        """What views must know of the catalog as a whole."""
        with self._database.reading() as connection:
            return feed.state_of(connection)

    def mark(self, version: Version) -> str | None:
        """What tells this catalog's history from any other that has come to a version; None where it has not yet."""
        with self._database.reading() as connection:
            return feed.mark_of(connection, version)

    @contextmanager
    def everything(self, space: SpaceId | None) -> Iterator[feed.Everything]:
        """All rows of a space, or of the hashes, as of one version: part by part, while the context is open."""
        with self._database.reading() as connection:
            yield feed.everything(connection, space)

    def check_writable(self) -> None:
        """
        Writes a time stamp, durably.

        Raises:
            CatalogUnavailable, StorageFull: it cannot be written now.
        """
        self._database.write(lambda connection: log.check(connection, self._clock()))

    def info(self) -> CatalogInfo:
        with self._database.reading() as connection:
            identity, revision = log.catalog_id(connection), revision_of(connection)
        return CatalogInfo(self._database.facts(), identity, revision or "")
