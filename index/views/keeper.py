"""Opens the large parts of views from snapshots, and builds new ones."""

import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.catalog import Catalog
from index.errors import CatalogUnavailable, UnusableIndex
from index.records.changes import Origins, Version
from index.views.building import INPUT, KEPT_FILE, Builder, Report, Task, build, finish, write_task
from index.views.columns import ColumnWriter
from index.views.kinds import ORIGIN_COLUMNS, ViewKind
from index.views.layers import FoldPlan, Index, Layer, Payload, layer_of
from index.views.snapshots import SnapshotStore, StoredSnapshot
from index.views.view import Event, EventKind, Opened, View, ViewOptions

_FAR_BEHIND: Final = 100_000
"""Changes; after more of them than these and than it has rows, a snapshot is no help any more."""
_TOO_FAR_BEHIND: Final = 1_000_000
"""However many rows it has: all that came since is held in memory at once, some kilobytes each."""
_BLOCK = 1 << 14
_LOOK_AGAIN_S = 0.05
_PATIENCE_S = 60.0
_WARMING_SEARCHES = 256
_WARMING_S = 0.5


class SnapshotKeeper:
    """
    What one process does with the snapshots of its data directory. Safe from any thread.

    Args:
        catalog: the truth.
        store: where the snapshots are.
        options: how large parts are made.
    """

    def __init__(self, catalog: Catalog, store: SnapshotStore, options: ViewOptions) -> None:
        self._catalog = catalog
        self.store = store
        self._options = options
        self._refused: set[Path] = set()
        self._builder: Builder | None = None
        self.stopped = False
        """Whether `stop` was called."""

    def load(self, kind: ViewKind[Index], head: Version) -> View[Index]:
        """
        A view of what the catalog holds: from the newest sound snapshot and the log since, or from the beginning.

        Args:
            kind: what it holds.
            head: the newest change, as far as is known.

        Raises:
            CatalogUnavailable: the catalog cannot be read.
        """
        opened = self.open_newest(kind)
        if opened is None:
            if head >= self._options.stored_rows:
                opened = self._first(kind)
        elif head - opened.manifest.version > min(max(_FAR_BEHIND, opened.manifest.rows), _TOO_FAR_BEHIND):
            opened = self._first(kind, beyond=opened.number) or opened
        view = View(kind, self._options.fold_rows, opened)
        view.apply(self._catalog.changes(view.version, _spaces_of(kind), hashes=kind.space is None))
        return view

    def open_newest(self, kind: ViewKind[Index], beyond: int = 0) -> Opened[Index] | None:
        """The newest snapshot with a higher number that is sound and of this catalog; refuses others loudly."""
        for number, folder in self.store.of_view(kind.name):
            if number <= beyond:
                break
            if folder in self._refused:
                continue
            try:
                opened = self._open(kind, self.store.read(kind.name, number, folder))
            except UnusableIndex as error:
                if folder.exists():  # else it was let go of as we came
                    self._refused.add(folder)
                    self._say(EventKind.REFUSED, kind, f"the snapshot {folder.name} is not used: {error}")
            else:
                self._say(EventKind.OPENED, kind, f"the snapshot {folder.name} is opened")
                return opened
        return None

    def newest(self, view: str) -> int:
        """The number of the newest snapshot that was not refused; 0 when there is none. Cheap."""
        numbers = (number for number, folder in self.store.of_view(view) if folder not in self._refused)
        return next(numbers, 0)

    def stores(self, view: View[Index]) -> bool:
        """Whether the large part of a view is kept as a snapshot: once it was, it stays so."""
        return view.opened is not None or view.living >= self._options.stored_rows

    def other_engine_due(self, view: View[Index]) -> bool:
        """Whether so many rows deserve another engine than they have."""
        if view.opened is None:
            return self.stores(view)
        asked = view.opened.asked
        return view.kind.choose(view.living, asked) != asked

    def fold(
        self, view: View[Index], plan: FoldPlan[Index], version: Version, report: Report = lambda _: None
    ) -> Opened[Index]:
        """
        A new snapshot of the rows in the plan; the caller holds `store.building`.

        Args:
            view: whose layers were planned.
            plan: of what is published at `version`.
            version: of the catalog.
            report: told how far it is.

        Raises:
            OSError: there is no room, or the build was stopped.
            UnusableIndex: what was built cannot be opened.
            CatalogUnavailable: the catalog cannot be read.
        """
        kind, began = view.kind, time.perf_counter()
        base = _still_there(view.opened, plan)
        task = Task(
            view=kind.name,
            version=version,
            mark=self._catalog.mark(version) or "",
            dim=kind.dim,
            columns=(*ORIGIN_COLUMNS, *kind.columns),
            base=None if base is None else str(base.folder),
            engine=kind.choose(len(plan.kept), None if view.opened is None else view.opened.asked),
            recall=self._options.recall,
        )
        with self.store.writing(kind.name) as aside:
            (aside / INPUT).mkdir()
            np.save(aside / INPUT / KEPT_FILE, plan.kept)
            layers = (plan.live,) if base is not None else (plan.large, plan.live)
            _write_columns(aside / INPUT, kind, ((layer.origins, _payload(kind, layer)) for layer in layers))
            write_task(aside, task)
            self._run(aside, len(plan.kept), report)
            return self.warm(self._put(kind, aside, began), kind)

    def warm(self, opened: Opened[Index], kind: ViewKind[Index]) -> Opened[Index]:
        """The same, once it has been searched for a while: so the first who asks need not wait for its pages."""
        rows = np.random.default_rng(0).integers(0, opened.manifest.rows, _WARMING_SEARCHES)
        until = time.monotonic() + _WARMING_S
        for row in rows:
            kind.find_own(opened.layer.index, np.array([row]))
            if time.monotonic() > until:
                break
        return opened

    def refused(self, view: str) -> int:
        """How many snapshots of a view were not sound."""
        return sum(folder.parent == self.store.home(view) for folder in self._refused)

    def stop(self) -> None:
        """Ends a build that is under way in a process of its own, and every later one."""
        self.stopped = True
        if self._builder is not None:
            self._builder.stop()

    def _first(self, kind: ViewKind[Index], beyond: int = 0) -> Opened[Index] | None:
        """A snapshot of everything, straight from the catalog; None when that cannot be."""
        patient_until = time.monotonic() + _PATIENCE_S
        try:
            while time.monotonic() < patient_until:
                with self.store.building() as mine:
                    opened = self.open_newest(kind, beyond)
                    if opened is not None or mine:
                        return opened or self._write_first(kind)
                time.sleep(_LOOK_AGAIN_S)
        except (OSError, UnusableIndex, CatalogUnavailable) as error:  # the catalog's say when it is read again
            self._say(EventKind.FAILED, kind, f"no snapshot could be written: {_sentence(error)}")
        return None

    def _write_first(self, kind: ViewKind[Index]) -> Opened[Index] | None:
        began = time.perf_counter()
        with self.store.writing(kind.name) as aside, ExitStack() as reading:
            everything = reading.enter_context(self._catalog.everything(kind.space))
            parts = ((part.origins, part.payload) for part in everything.parts)
            rows = _write_columns(aside, kind, parts)
            reading.close()
            if rows < self._options.stored_rows:
                return None
            task = Task(
                view=kind.name,
                version=everything.version,
                mark=everything.mark,
                dim=kind.dim,
                columns=(*ORIGIN_COLUMNS, *kind.columns),
                base=None,
                engine=kind.at_once,  # a better one is built beside serving
            )
            finish(aside, task, rows, lambda _: None)
            return self._put(kind, aside, began)

    def _run(self, aside: Path, rows: int, report: Report) -> None:
        if rows < self._options.own_process_rows:
            build(aside, report)
            return
        self._builder = Builder(aside, self._options.build_threads)
        if self.stopped:
            raise OSError("it was stopped")
        try:
            self._builder.run(report)
        finally:
            self._builder = None

    def _put(self, kind: ViewKind[Index], aside: Path, began: float) -> Opened[Index]:
        number = self.store.put(kind.name, aside)
        folder = dict(self.store.of_view(kind.name))[number]
        opened = self._open(kind, self.store.read(kind.name, number, folder))
        facts = {"rows": opened.manifest.rows, "engine": opened.manifest.engine.get("engine")}
        took = time.perf_counter() - began
        self._say(EventKind.BUILT, kind, f"snapshot {folder.name} built in {took:.1f} s", seconds=took, **facts)
        return opened

    def _open(self, kind: ViewKind[Index], stored: StoredSnapshot) -> Opened[Index]:
        """
        Raises:
            UnusableIndex: it is damaged, or not of this catalog.
        """
        manifest = stored.manifest
        if manifest.dim != kind.dim:
            raise UnusableIndex("its rows are of another length")
        if manifest.mark != self._catalog.mark(manifest.version):
            raise UnusableIndex("it is of another catalog, or of a state that this one was set back from")
        stored.verify()
        index = kind.open_large(stored.folder, manifest)
        return Opened(
            stored.folder, stored.number, manifest, layer_of(index, kind.origins_in(stored.folder, manifest.rows))
        )

    def _say(self, what: EventKind, kind: ViewKind[Index], says: str, **facts: Any) -> None:  # noqa: ANN401 - for the log
        self._options.tell(Event(what, kind.name, says, facts))


def _still_there(opened: Opened[Index] | None, plan: FoldPlan[Index]) -> Opened[Index] | None:
    """The snapshot that the large rows of a plan can be read from; what is mapped outlives its folder."""
    if opened is None or opened.layer.index is not plan.large.index or not opened.folder.exists():
        return None
    return opened


def _spaces_of(kind: ViewKind[Any]) -> Collection[Any]:
    return () if kind.space is None else (kind.space,)


def _payload(kind: ViewKind[Index], layer: Layer[Index]) -> Payload:
    return kind.kind.payload_of(layer.index, np.arange(len(layer.alive)))


def _write_columns(folder: Path, kind: ViewKind[Any], parts: Iterator[tuple[Origins, Payload]]) -> int:
    """How many rows there were."""
    shapes = [(), (), (), (), *(array.shape[1:] for array in kind.kind.nothing)]
    names = {**ORIGIN_COLUMNS, **kind.columns}
    with ExitStack() as stack:
        columns = [
            stack.enter_context(ColumnWriter(folder / name, dtype, tail))
            for (name, dtype), tail in zip(names.items(), shapes, strict=True)
        ]
        for origins, payload in parts:
            arrays = (origins.items, origins.tags, origins.banks, origins.positions, *payload)
            for start in range(0, len(origins), _BLOCK):
                _append(columns, arrays, slice(start, start + _BLOCK))
        return columns[0].rows


def _append(columns: list[ColumnWriter], arrays: tuple[NDArray[Any], ...], block: slice) -> None:
    for column, array in zip(columns, arrays, strict=True):
        column.append(array[block])


def _sentence(error: Exception) -> str:
    known = error.__cause__ if isinstance(error, CatalogUnavailable) else error
    return (isinstance(known, OSError) and known.strerror) or str(error)
