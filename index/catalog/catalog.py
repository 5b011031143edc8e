"""The catalog as everyone else sees it."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import text, update

from index.catalog import adding, feed, replays
from index.catalog import banks as bank_rows
from index.catalog import items as item_rows
from index.catalog import spaces as space_rows
from index.catalog.database import Database
from index.catalog.information import CatalogInfo, hazard_of
from index.catalog.migrate import migrate, revision_of
from index.catalog.tables import log_head
from index.changes import Changes
from index.records import (
    Added,
    Bank,
    BankRule,
    BankSettings,
    Idempotency,
    Item,
    ItemId,
    ItemState,
    Labels,
    NewItem,
    Page,
    Purpose,
    SpaceId,
    SpaceState,
    Version,
)

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

    @classmethod
    def open(cls, url: str, clock: Clock = _now) -> "Catalog":
        """
        Opens the catalog at a SQLAlchemy URL, creating or upgrading it as needed.

        Args:
            url: `sqlite:////absolute/path/catalog.db`.
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
        with self._database.writing() as connection:
            return bank_rows.put(
                connection,
                name,
                purpose=purpose,
                labels=labels or {},
                settings=settings or BankSettings(),
                at=self._clock(),
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

    def bank_rules(self) -> dict[str, BankRule]:
        """By name; `Views.banks` has the same without asking the database."""
        with self._database.reading() as connection:
            return {rule.name: rule for rule in bank_rows.rules(connection).values()}

    def delete_bank(self, name: str) -> Version:
        """
        Removes a bank and every item in it.

        Raises:
            UnknownBank: there is none of that name.
        """
        with self._database.writing() as connection:
            replays.forget_bank(connection, name)
            return bank_rows.remove(connection, name, self._clock())

    def add_item(self, bank: str, new: NewItem, idempotency: Idempotency | None = None) -> Added:
        """
        Banks one item. Bytes that the bank holds already are left as they are, disabled ones too.

        Raises:
            UnknownBank: there is none of that name.
            SpaceMismatch: embeddings of a space that was not registered.
            BadEmbedding: embeddings of another length, not finite, or not of norm 1.
            IdempotencyConflict: the key was used for another request.
        """
        with self._database.writing() as connection:
            now = self._clock()
            if idempotency is not None:
                earlier = replays.find(connection, idempotency, now)
                if earlier is not None:
                    return earlier
            known = space_rows.known(connection)
            (added,) = adding.add(connection, bank, [new], known, now)
            if idempotency is not None:
                replays.keep(connection, idempotency, added, now)
            return added

    def add_items(self, bank: str, new: Sequence[NewItem]) -> list[Added]:
        """
        Banks many items in one transaction: all of them or, after an error, none.

        Raises:
            UnknownBank, SpaceMismatch, BadEmbedding: as `add_item`.
        """
        with self._database.writing() as connection:
            return adding.add(connection, bank, new, space_rows.known(connection), self._clock())

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
        self, bank: str, item_id: ItemId, state: ItemState | None = None, labels: Labels | None = None
    ) -> tuple[Item, Version]:
        """
        Changes what is given. A disabled item is found by no search at or after the version returned.

        Raises:
            UnknownBank, UnknownItem: there is no such bank, or no such item in it.
        """
        with self._database.writing() as connection:
            return item_rows.change(connection, bank, item_id, state=state, labels=labels, at=self._clock())

    def delete_item(self, bank: str, item_id: ItemId) -> Version:
        """
        Removes an item for good.

        Raises:
            UnknownBank, UnknownItem: there is no such bank, or no such item in it.
        """
        with self._database.writing() as connection:
            return item_rows.remove(connection, bank, item_id, self._clock())

    def known_sha256(self, bank: str, digests: Collection[str]) -> set[str]:
        """
        Which of these bytes the bank holds, disabled items included.

        Raises:
            UnknownBank: there is none of that name.
        """
        with self._database.reading() as connection:
            return set(item_rows.by_sha256(connection, bank, digests))

    def item_by_sha256(self, bank: str, digest: str) -> Item | None:
        """
        The bank's item of these bytes, whatever its state.

        Raises:
            UnknownBank: there is none of that name.
        """
        with self._database.reading() as connection:
            keys = item_rows.by_sha256(connection, bank, [digest])
            return next(iter(item_rows.by_key(connection, keys.values()).values()), None)

    def active_items_by_sha256(self, digest: str, banks: Collection[str] | None = None) -> tuple[Item, ...]:
        """Items of exactly these bytes that may be found, in these banks or in any."""
        with self._database.reading() as connection:
            return item_rows.active_by_sha256(connection, digest, banks)

    def register_space(self, space: SpaceId, dim: int) -> None:
        """
        Lets embeddings of a space be kept; again is harmless.

        Raises:
            SpaceMismatch: it is known with another length of embeddings.
        """
        with self._database.reading() as connection:
            held = space_rows.known(connection).get(space)
        if held is None or held.dim != dim:
            with self._database.writing() as connection:
                space_rows.register(connection, space, dim)

    def spaces(self) -> list[SpaceState]:
        """By name, with a count that reads every embedding's key: for people, not for every request."""
        with self._database.reading() as connection:
            return space_rows.states(connection)

    def version(self) -> Version:
        """The newest change; cheap enough to ask before every search."""
        return Version(self._database.scalar("SELECT seq FROM log_head"))

    def changes(self, since: Version, spaces: Collection[SpaceId]) -> Changes:
        """What a view of these spaces at `since` must forget and add to be up to date."""
        with self._database.reading() as connection:
            return feed.changes_since(connection, since, spaces)

    def check_writable(self) -> None:
        """
        Writes a time stamp, durably.

        Raises:
            CatalogUnavailable, StorageFull: it cannot be written now.
        """
        with self._database.writing() as connection:
            connection.execute(update(log_head).values(checked_at=self._clock()))

    def info(self) -> CatalogInfo:
        with self._database.reading() as connection:
            version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
            journal_mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
            synchronous = connection.execute(text("PRAGMA synchronous")).scalar_one()
            revision = revision_of(connection)
        return CatalogInfo(
            path=str(self._database.path),
            size_bytes=self._database.size_bytes(),
            sqlite_version=version,
            journal_mode=journal_mode,
            synchronous={0: "off", 1: "normal", 2: "full", 3: "extra"}[synchronous],
            schema_revision=revision or "",
            hazard=hazard_of(),
        )
