"""Keeps the views of one process level with the catalog's log."""

import threading
from collections.abc import Callable
from typing import Any, Final

from index.catalog import Catalog
from index.engines.perceptual import PdqIndex
from index.engines.vectors import VectorIndex
from index.records.changes import Changes, LogState, Version
from index.records.spaces import SpaceId
from index.views.kinds import ViewKind
from index.views.layers import Fold, Index, Layer
from index.views.reading import Reading, SemanticLayers
from index.views.view import Opened, View

_FAR_BEHIND: Final = 200_000
"""Changes; after more of them it is cheaper to start over than to read them."""

Load = Callable[[ViewKind[Any], Version], View[Any]]
"""Makes a view of what the catalog holds, which is at that version at least."""


class Follower:
    """
    The views, and the one state of them that is published.

    Safe from any thread: whoever changes the views waits for whoever does, and nobody else waits for either.

    Args:
        catalog: the truth.
        hashes: the view of hashes.
        spaces: the views of spaces, by name.
        load: how a view begins.
    """

    def __init__(
        self,
        catalog: Catalog,
        hashes: ViewKind[PdqIndex],
        spaces: dict[SpaceId, ViewKind[VectorIndex]],
        load: Load,
    ) -> None:
        self._catalog = catalog
        self._hashes = hashes
        self._spaces = dict(spaces)
        self._load = load
        self._views: dict[str, View[Any]] = {}
        """Empty until the first load."""
        self._applying = threading.Lock()
        self.reading = Reading(Version(0), {}, {}, {}, (), ())
        self._publish(None, None)

    @property
    def views(self) -> tuple[View[Any], ...]:
        return tuple(self._views.values())

    def view(self, name: str) -> View[Any] | None:
        """None when there is none of that name, or not any more."""
        return self._views.get(name)

    def published(self, view: View[Index]) -> tuple[Version, tuple[Layer[Index], Layer[Index]]]:
        """
        A view's layers and the version of the catalog that they are of, neither before a step of the log nor within it.

        That is not always the published one: a view that was taken over may be ahead of the others until the next step.
        """
        with self._applying:
            return view.version, view.layers.published

    def follow(self) -> bool:
        """
        Applies what the log has beyond what is published; whether there was anything. Cheap when there is not.

        A log that ends before what is published was set back to an older backup: then everything is loaded anew. So it
        is when far too much has happened since, by the newest snapshot or what the tables hold now.

        Raises:
            CatalogUnavailable: the log cannot be read.
        """
        published = self.reading.version  # looked at first, so that only a log that was set back ends before it
        newest = self._catalog.version()
        if newest == published:
            return False
        with self._applying:
            published = self.reading.version
            if newest < published:  # or somebody else has applied more by now
                newest = self._catalog.version()
            if not self._views or newest < published or newest - published > _FAR_BEHIND:
                self._begin(newest)
            elif newest > published:
                self._apply(self._changes(published))
        return True

    def add(self, kind: ViewKind[VectorIndex], space: SpaceId) -> None:
        """
        One more space, published once it is loaded; again is harmless.

        Raises:
            CatalogUnavailable: the catalog cannot be read.
        """
        if space in self._spaces:
            return
        view = self._load(kind, self._catalog.version())
        with self._applying:
            if space in self._spaces:
                return
            self._spaces[space] = kind
            if self._views:
                view.apply(self._catalog.changes(view.version, [space], hashes=False))
                self._views = {**self._views, kind.name: view}
            self._publish(None, None)

    def drop(self, space: SpaceId) -> None:
        """One space less; whoever has a reading keeps it there."""
        with self._applying:
            self._spaces.pop(space, None)
            self._views = {name: view for name, view in self._views.items() if name != space}
            self._publish(None, None)

    def swap_in(self, view: View[Index], fold: Fold[Index], opened: Opened[Index] | None) -> None:
        """A large part made from what the view held a while ago."""
        with self._applying:
            if self._views.get(view.kind.name) is view and view.layers.adopt(fold):
                view.opened = opened
                self._publish(None, None)

    def replace(self, view: View[Index], opened: Opened[Index]) -> None:
        """
        A large part that somebody else made, and the log since.

        Raises:
            CatalogUnavailable: the log cannot be read.
        """
        fresh = View(view.kind, view.fold_rows, opened)
        fresh.apply(self._changes_of(fresh))  # beside serving, as it may be much
        with self._applying:
            if self._views.get(view.kind.name) is view:
                fresh.apply(self._changes_of(fresh))
                self._views = {**self._views, view.kind.name: fresh}
                self._publish(None, None)

    def _begin(self, newest: Version) -> None:
        state = self._catalog.state()
        kinds: list[ViewKind[Any]] = [*self._spaces.values(), self._hashes]
        views = {kind.name: self._load(kind, newest) for kind in kinds}
        self._views = views
        try:
            self._apply(self._changes(state.version), state)
        except BaseException:
            self._views = {}
            raise

    def _changes(self, since: Version) -> Changes:
        return self._catalog.changes(since, self._spaces)

    def _changes_of(self, view: View[Any]) -> Changes:
        space = view.kind.space
        return self._catalog.changes(view.version, () if space is None else (space,), hashes=space is None)

    def _apply(self, changes: Changes, state: LogState | None = None) -> None:
        for view in self._views.values():
            view.apply(changes)
        self._publish(changes, state)

    def _publish(self, changes: Changes | None, state: LogState | None) -> None:
        before = self.reading
        banks = None if state is None else state.banks
        spaces = None if state is None else state.spaces
        if changes is not None:
            banks = banks if changes.banks is None else changes.banks
            spaces = spaces if changes.spaces is None else changes.spaces
        self.reading = Reading(
            version=before.version if changes is None else changes.version,
            banks=before.banks if banks is None else {rule.name: rule for rule in banks.values()},
            bank_keys=before.bank_keys if banks is None else {rule.name: key for key, rule in banks.items()},
            semantic={space: SemanticLayers(kind.dim, self._layers_of(kind)) for space, kind in self._spaces.items()},
            perceptual=self._layers_of(self._hashes),
            spaces=before.spaces if spaces is None else spaces,
        )

    def _layers_of(self, kind: ViewKind[Index]) -> tuple[Layer[Index], ...]:
        view: View[Index] | None = self._views.get(kind.name)
        return () if view is None else view.layers.published
