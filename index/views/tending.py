"""Renews the large parts of views, beside serving."""

import logging
import threading
import time
from typing import Any, Final

from index.errors import IndexBusy
from index.views.building import Report
from index.views.following import Follower
from index.views.keeper import SnapshotKeeper
from index.views.layers import Fold, Index, plan_fold
from index.views.view import Event, EventKind, Tell, View

_LOG = logging.getLogger(__name__)
_AGAIN_S: Final = 5.0
_AGAIN_AT_MOST_S: Final = 300.0
_LOOK_AGAIN_S = 0.05
_LARGE_ROWS = 100_000
_LINGER_S = 2.0


class Tender:
    """
    Folds the live parts of views that have grown too large, and takes over the snapshots of other processes.

    Safe from any thread; one at a time works.

    Args:
        follower: the views.
        keeper: of their snapshots; None keeps everything in memory.
        tell: told what cannot be done.
    """

    def __init__(self, follower: Follower, keeper: SnapshotKeeper | None, tell: Tell) -> None:
        self._follower = follower
        self._keeper = keeper
        self._tell = tell
        self._working = threading.Lock()
        self._thread: threading.Thread | None = None
        self._not_before: dict[str, float] = {}
        self._patience_s: dict[str, float] = {}
        self._closing = threading.Event()

    def tend(self) -> None:
        """Starts what is due, in a thread of its own; cheap when nothing is."""
        if not any(self._is_due(view) for view in self._follower.views) or not self._working.acquire(blocking=False):
            return
        thread = threading.Thread(target=self._work, name="index-fold", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: as in the thread itself, it is tried again with the next change
            self._working.release()
            _LOG.exception("no thread could be started to fold the live part of a view")
        else:
            self._thread = thread

    def fold(self, name: str | None, patience_s: float, report: Report) -> None:
        """
        Makes a new large part of every view, or of one, now.

        Raises:
            IndexBusy: another process of the directory builds for longer than this.
            OSError: there is no room.
        """
        with self._working:
            for view in self._follower.views:
                if name in {None, view.kind.name}:
                    self._fold_patiently(view, time.monotonic() + patience_s, report)

    def close(self) -> None:
        """Ends a build that is under way in a process of its own, waits for any other."""
        self._closing.set()
        if self._keeper is not None:
            self._keeper.stop()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _is_due(self, view: View[Any]) -> bool:
        if time.monotonic() < self._not_before.get(view.kind.name, 0.0):
            return False
        if self._newer(view):
            return True
        if not view.living:  # there is nothing to build from
            return False
        return view.layers.fold_is_due() or (self._keeper is not None and self._keeper.other_engine_due(view))

    def _is_dropped(self, view: View[Any]) -> bool:
        return self._follower.view(view.kind.name) is None

    def _newer(self, view: View[Any]) -> bool:
        return self._keeper is not None and self._keeper.newest(view.kind.name) > view.number

    def _work(self) -> None:
        """The lock was taken for it."""
        try:
            for view in self._follower.views:
                if self._is_due(view):
                    self._try(view)
        finally:
            self._working.release()

    def _try(self, view: View[Any]) -> None:
        name = view.kind.name
        try:
            self._renew(view)
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
            if self._is_dropped(view) or (self._keeper is not None and self._keeper.stopped):
                return
            # Searching goes on in the live part, only slower.
            wait_s = min(2 * self._patience_s.get(name, _AGAIN_S / 2), _AGAIN_AT_MOST_S)
            self._patience_s[name] = wait_s
            self._not_before[name] = time.monotonic() + wait_s
            says = f"the live part could not be folded into the large part ({type(error).__name__})"
            self._tell(Event(EventKind.FAILED, name, says, {"error": error}))
        else:
            self._patience_s.pop(name, None)
            self._not_before.pop(name, None)

    def _renew(self, view: View[Index]) -> None:
        if self._keeper is None:
            self._fold_in_memory(view)
            return
        current = self._taken_over(view)
        if current is None or not self._is_due(current):
            return
        with self._keeper.store.building() as mine:
            if mine:
                current = self._taken_over(current)
                if current is not None and self._is_due(current):
                    self._fold(current, lambda _: None)

    def _fold_patiently(self, view: View[Index], until: float, report: Report) -> None:
        if self._keeper is None:
            self._fold_in_memory(view)
            return
        while True:
            with self._keeper.store.building() as mine:
                if mine:
                    current = self._taken_over(view)
                    if current is not None:
                        self._fold(current, report)
                    return
            if time.monotonic() > until:
                raise IndexBusy("Another process builds an index of this data directory.")
            time.sleep(_LOOK_AGAIN_S)

    def _taken_over(self, view: View[Index]) -> View[Index] | None:
        """The view, from the newest snapshot there is; None when it is not there any more."""
        if self._keeper is not None and self._newer(view):
            opened = self._keeper.open_newest(view.kind, beyond=view.number)
            if opened is not None:
                self._follower.replace(view, self._keeper.warm(opened, view.kind))
                self._linger(view)
        return self._follower.view(view.kind.name)

    def _fold(self, view: View[Index], report: Report) -> None:
        if self._keeper is None or not self._keeper.stores(view):
            self._fold_in_memory(view)
            return
        version, layers = self._follower.published(view)
        plan = plan_fold(*layers)
        if len(plan.kept) == 0:
            return
        try:
            opened = self._keeper.fold(view, plan, version, report)
            self._follower.swap_in(view, Fold(opened.layer, plan), opened)
        finally:
            if self._is_dropped(view):  # meanwhile, and its snapshots with it
                self._keeper.store.remove(view.kind.name)
        self._linger(view)

    def _linger(self, view: View[Index]) -> None:
        """
        Keeps what was replaced until everybody who searches it is done: our caller still refers to it.

        Who lets go of a large mapping last takes it down, page by page, and that shall be nobody who is waited for.
        """
        if view.living >= _LARGE_ROWS:
            self._closing.wait(_LINGER_S)

    def _fold_in_memory(self, view: View[Index]) -> None:
        self._follower.swap_in(view, view.layers.prepare_fold(), None)
