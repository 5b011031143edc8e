"""Moving from one space to another: what the catalog decides, each decision one transaction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from index.catalog.jobs import leases
from index.catalog.spaces import agreements, backfill, holders
from index.catalog.spaces import rows as space_rows
from index.catalog.storage.database import Database
from index.errors import ItemsLeftBehind, SpaceNotOpen
from index.records.changes import Version
from index.records.items import ItemId, KeptItem
from index.records.jobs import Progress
from index.records.spaces import Agreement, Coverage, Holding, SpaceId, SpaceRecord, SpaceStage

Clock = Callable[[], datetime]

_HEARD = timedelta(seconds=3)
"""Processes that answer look at the log every second: by then each has said that it knows of a change."""


class SpaceMoves:
    """
    What a re-index asks of the catalog. Safe from any thread and any process.

    Every method raises CatalogUnavailable when the database fails, and UnknownSpace where a space is not known.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def records(self) -> tuple[SpaceRecord, ...]:
        """Every space there is or was, the oldest first; cheap."""
        with self._database.reading() as connection:
            return space_rows.records(connection)

    def record(self, space: SpaceId) -> SpaceRecord:
        """One of them."""
        with self._database.reading() as connection:
            return space_rows.row_of(connection, space).record

    def begin(self, space: SpaceId, dim: int, *, model: str, replaces: SpaceId | None) -> SpaceRecord:
        """
        Makes a space to be filled. One that is served goes on as it is, and one that is being filled or waits in shadow
        too, unless it is to take over from another now.

        Raises:
            WrongStage: the one to take over from is not served.
            SpaceMismatch: the space is known with another length of embeddings.
        """

        def work(connection: Connection) -> SpaceRecord:
            return space_rows.begin(connection, space, dim, model=model, replaces=replaces, at=self._clock())

        return self._database.write(work)

    def to_shadow(self, space: SpaceId) -> SpaceRecord:
        """
        Says that the space is filled.

        Raises:
            WrongStage: it is dropped or retired.
        """
        return self._database.write(lambda connection: space_rows.to_shadow(connection, space, self._clock()))

    def promote(self, space: SpaceId, *, keep_old: bool = False, leave_behind: bool = False) -> Version:
        """
        From the version returned on, answers come from this space, and not from the one it replaces.

        Args:
            space: one that waits in shadow, or that answers beside the one it replaces.
            keep_old: the one it replaces goes on being served beside it.
            leave_behind: items that only the old space finds may be lost to it.

        Raises:
            WrongStage: it does not wait in shadow.
            ItemsLeftBehind: items that only the old space finds would not be found any more.
            SpaceNotOpen: a process that answers does not have it open.
        """
        seen = 0
        if not (keep_old or leave_behind):
            with self._database.reading() as connection:
                row = space_rows.row_of(connection, space)
                seen = backfill.newest_item(connection)
                _refuse_to_lose(connection, row.replaces, row.key, since=0)

        def work(connection: Connection) -> Version:
            row = space_rows.row_of(connection, space)
            if not (keep_old or leave_behind):
                _refuse_to_lose(connection, row.replaces, row.key, since=seen)
            if row.stage is SpaceStage.SHADOW:
                self._refuse_unless_heard_of(row)
                self._refuse_unless_open(connection, row)
            return space_rows.promote(connection, row, keep_old=keep_old, at=self._clock())

        return self._database.write(work)

    def rollback(self, space: SpaceId, *, leave_behind: bool = False) -> Version:
        """
        From the version returned on, answers come from the space that this one took over from.

        Raises:
            WrongStage: it has not taken over from another that is still kept.
            ItemsLeftBehind: items that only the new space finds would not be found any more.
            SpaceNotOpen: a process that answers does not have the other open.
        """
        seen = 0
        if not leave_behind:
            with self._database.reading() as connection:
                row = space_rows.row_of(connection, space)
                seen = backfill.newest_item(connection)
                _refuse_to_lose(connection, row.key, row.replaces, since=0)

        def work(connection: Connection) -> Version:
            row = space_rows.row_of(connection, space)
            if not leave_behind:
                _refuse_to_lose(connection, row.key, row.replaces, since=seen)
            for other in space_rows.all_rows(connection).values():
                if other.key == row.replaces and other.stage is SpaceStage.RETIRED:
                    self._refuse_unless_open(connection, other)
            return space_rows.rollback(connection, row, self._clock())

        return self._database.write(work)

    def drop(self, space: SpaceId) -> Version:
        """
        Gives a space up; `purge` then deletes its embeddings.

        Raises:
            WrongStage: it is served.
        """

        def work(connection: Connection) -> Version:
            agreements.forget(connection, space_rows.row_of(connection, space))
            return space_rows.drop(connection, space, self._clock())

        return self._database.write(work)

    def purge(self, space: SpaceId, items: int, after: int = 0) -> list[int]:
        """
        Deletes embeddings of a dropped space, of so many items after a key; the keys of these, oldest first.

        Raises:
            WrongStage: it is not dropped, or wanted again.
        """
        return self._database.write(lambda connection: backfill.purge(connection, space, after, items))

    def spans(self, size: int, after: int = 0) -> list[tuple[int, int]]:
        """Everything that is banked after an item key, in ranges `(after, until]` of so many items."""
        with self._database.reading() as connection:
            return backfill.spans(connection, after, size)

    def lacking(self, space: SpaceId, after: int, until: int, limit: int) -> list[KeptItem]:
        """Items in a range that have no embedding in the space and whose originals are kept, oldest first."""
        with self._database.reading() as connection:
            return backfill.lacking(connection, space, after, until, limit)

    def fill(self, space: SpaceId, filled: backfill.Filled, progress: Progress | None = None) -> int:
        """
        Writes embeddings of items that have none in the space yet; what was removed meanwhile stays removed.

        Args:
            space: of the embeddings.
            filled: by item and frame number.
            progress: of the job whose work it is, in the same transaction.

        Returns:
            how many items were written.

        Raises:
            WrongStage: the space is dropped.
            LeaseLost: another worker has the work now; nothing is written.
        """

        def work(connection: Connection) -> int:
            if progress is not None:
                leases.advance(connection, progress)
            return backfill.fill(connection, space, filled, self._clock())[1]

        return self._database.write(work)

    def items(self) -> int:
        """How many items have an original to embed."""
        with self._database.reading() as connection:
            return backfill.count(connection)

    def newest_item(self) -> int:
        """An item key that no item there is now lies behind."""
        with self._database.reading() as connection:
            return backfill.newest_item(connection)

    def left(self, space: SpaceId, limit: int) -> list[tuple[str, ItemId]]:
        """Bank and id of items that can be found elsewhere and not in the space; as many at most."""
        with self._database.reading() as connection:
            return backfill.left(connection, space_rows.row_of(connection, space), limit)

    def coverage(self, space: SpaceId) -> Coverage:
        """How far it is filled; reads every item's key."""
        with self._database.reading() as connection:
            return backfill.coverage(connection, space_rows.row_of(connection, space))

    def say_open(self, holder: str, held: Mapping[SpaceId, Holding]) -> None:
        """What a process that answers has open now."""

        def work(connection: Connection) -> None:
            holders.say(connection, holder, held, space_rows.known(connection), self._clock())

        self._database.write(work)

    def leave(self, holder: str) -> None:
        """A process that answered ends."""
        self._database.write(lambda connection: holders.leave(connection, holder))

    def holdings(self, space: SpaceId) -> dict[str, Holding]:
        """What each living process that answers says of the space."""
        with self._database.reading() as connection:
            return holders.of_space(connection, space_rows.row_of(connection, space), self._clock())

    def add_agreements(self, shadow: SpaceId, against: SpaceId, counted: Sequence[Agreement]) -> None:
        """Adds to what was counted before; of a space that is not in shadow any more, nothing."""

        def work(connection: Connection) -> None:
            row = space_rows.row_of(connection, shadow)
            if row.stage is SpaceStage.SHADOW:
                agreements.add(connection, row, space_rows.row_of(connection, against), counted)

        self._database.write(work)

    def agreements(self, shadow: SpaceId) -> list[Agreement]:
        with self._database.reading() as connection:
            return agreements.of_space(connection, space_rows.row_of(connection, shadow))

    def _refuse_unless_heard_of(self, row: space_rows.SpaceRow) -> None:
        """
        Raises:
            SpaceNotOpen: a process that answers may be there that has not looked at the log since.
        """
        changed_at = row.record.changed_at
        if changed_at is not None and self._clock() - changed_at < _HEARD:
            raise SpaceNotOpen("The space has just changed: processes that answer have yet to say that they have it.")

    def _refuse_unless_open(self, connection: Connection, row: space_rows.SpaceRow) -> None:
        """
        Raises:
            SpaceNotOpen: a process that answers cannot answer from it.
        """
        said_by = holders.of_space(connection, row, self._clock())
        lacking = {who: said for who, said in said_by.items() if not said.is_open}
        if lacking:
            who, said = next(iter(lacking.items()))
            raise SpaceNotOpen(
                f"{len(lacking)} of the processes that answer do not have the space open: {who} {said.reason}."
            )


def _refuse_to_lose(connection: Connection, old: int | None, new: int | None, *, since: int) -> None:
    """
    Raises:
        ItemsLeftBehind: items after a key can be found in the old space only.
    """
    if old is None or new is None:
        return
    lost = backfill.left_behind(connection, old, new, since=since)
    if lost:
        raise ItemsLeftBehind(f"{lost} items can be found in the old space only and would not be found any more.", lost)
