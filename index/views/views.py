"""The views of one process: what the catalog holds, kept in memory where it can be searched."""

import time
from collections.abc import Collection, Mapping

from index.catalog import Catalog
from index.engines.vectors import VectorIndex
from index.errors import IndexBehind
from index.records.banks import BankRule
from index.records.changes import Version
from index.records.hits import PerceptualHit, SemanticHit
from index.records.items import ItemId
from index.records.rows import Embeddings, PdqRows
from index.records.spaces import SpaceId, SpaceStage
from index.views.building import Report
from index.views.following import Follower
from index.views.keeper import SnapshotKeeper
from index.views.kinds import ViewKind, perceptual_kind, semantic_kind
from index.views.layers import Index
from index.views.reading import Offsets, Reading
from index.views.snapshots import SnapshotStore
from index.views.tending import Tender
from index.views.view import LargePart, View, ViewOptions

_POLL_S = 0.002
_BUSY_S = 600.0


__all__ = ["ViewOptions", "Views"]


class Views:
    """
    One semantic view for each space and one perceptual view, following the catalog's log.

    Searches run at the same time as each other and as additions; none waits for another. The views start empty and
    are filled by the first `follow`, which every search does before it looks unless told otherwise: so whatever was
    acknowledged before a search began, by this process or another, is in its answer.

    With snapshots, the large parts are files that all processes of a data directory share: one of them builds, the
    others take over. Without, every process has its own in memory.

    Args:
        catalog: the truth; not closed by us.
        space_ids: the spaces to serve and the lengths of their embeddings; registered if need be.
        snapshots: where large parts are kept; None is nowhere.
        options: how large parts are made.
    """

    def __init__(
        self,
        catalog: Catalog,
        space_ids: Mapping[SpaceId, int],
        *,
        snapshots: SnapshotStore | None = None,
        options: ViewOptions | None = None,
    ) -> None:
        for space, dim in space_ids.items():
            catalog.register_space(space, dim)
        self._catalog = catalog
        self._options = options or ViewOptions()
        keeper = None if snapshots is None else SnapshotKeeper(catalog, snapshots, self._options)
        self._keeper = keeper
        kinds = {space: self._kind(space, dim) for space, dim in space_ids.items()}
        self._follower = Follower(catalog, perceptual_kind(), kinds, self._loaded if keeper is None else keeper.load)
        self._tender = Tender(self._follower, keeper, self._options.tell)
        if snapshots is not None:
            for record in catalog.state().spaces:
                if record.stage is SpaceStage.DROPPED:  # perhaps while nobody was there to clear up
                    snapshots.remove(record.space)

    @property
    def version(self) -> Version:
        """The newest change that is published here."""
        return self._follower.reading.version

    @property
    def banks(self) -> Mapping[str, BankRule]:
        """By name, as of `version`."""
        return self._follower.reading.banks

    def follow(self) -> Version:
        """
        Applies what the log has beyond us; cheap when there is nothing. Whoever comes while it is done waits for it.

        Raises:
            CatalogUnavailable: the log cannot be read.
        """
        if self._follower.follow():
            self._tender.tend()
        return self.version

    def tend(self) -> None:
        """Renews what is due, in a thread of its own; to be called now and then, as other processes build too."""
        self._tender.tend()

    def reach(self, version: Version, timeout_s: float) -> Version:
        """
        Follows until the views are at least at this version.

        Raises:
            IndexBehind: they are not in time.
        """
        deadline = time.monotonic() + timeout_s
        while self.follow() < version:
            if time.monotonic() >= deadline:
                raise IndexBehind(f"The index is at version {self.version}, not yet at {version}.")
            time.sleep(_POLL_S)
        return self.version

    def reading(self, *, follow: bool = True) -> Reading:
        """One state to search several times."""
        if follow:
            self.follow()
        return self._follower.reading

    def search(
        self,
        space: SpaceId,
        queries: Embeddings,
        k: int,
        banks: Collection[str] | None = None,
        offsets: Offsets | None = None,
        *,
        follow: bool = True,
    ) -> list[SemanticHit]:
        """As `Reading.search`."""
        return self.reading(follow=follow).search(space, queries, k, banks, offsets)

    def search_pdq(
        self,
        hashes: PdqRows,
        k: int,
        max_distance: int | None = None,
        banks: Collection[str] | None = None,
        *,
        follow: bool = True,
    ) -> list[PerceptualHit]:
        """As `Reading.search_pdq`."""
        return self.reading(follow=follow).search_pdq(hashes, k, max_distance, banks)

    def scores_of(
        self,
        space: SpaceId,
        queries: Embeddings,
        item_ids: Collection[ItemId],
        offsets: Offsets | None = None,
        *,
        follow: bool = True,
    ) -> dict[ItemId, SemanticHit]:
        """As `Reading.scores_of`."""
        return self.reading(follow=follow).scores_of(space, queries, item_ids, offsets)

    def distances_of(
        self, hashes: PdqRows, item_ids: Collection[ItemId], *, follow: bool = True
    ) -> dict[ItemId, PerceptualHit]:
        """As `Reading.distances_of`."""
        return self.reading(follow=follow).distances_of(hashes, item_ids)

    def add_space(self, space: SpaceId, dim: int) -> None:
        """
        Serves one more space from when this returns: it is loaded beside serving. Again is harmless.

        Raises:
            SpaceMismatch: it is known with another length of embeddings.
            CatalogUnavailable: the catalog cannot be read.
        """
        self._catalog.register_space(space, dim)
        self._follower.add(self._kind(space, dim), space)

    def drop_space(self, space: SpaceId) -> None:
        """Serves it no longer, and lets go of its snapshots; readings taken before still have it."""
        self._follower.drop(space)
        if self._keeper is not None:
            self._keeper.store.remove(space)

    def fold(self) -> None:
        """Makes the live rows of every view part of its large one, beside whatever else goes on."""
        self._tender.fold(None, _BUSY_S, _unheard)

    def compact(self, view: str | None = None, report: Report | None = None) -> None:
        """
        Builds the large part anew: without what is gone, with what came, its engine trained on what there is now.

        Args:
            view: the name of a space, or `pdq`; None is every view.
            report: told how far it is.

        Raises:
            IndexBusy: another process of the data directory has been building for minutes.
            OSError: there is no room.
            CatalogUnavailable: the catalog cannot be read.
        """
        self._follower.follow()
        self._tender.fold(view, _BUSY_S, report or _unheard)

    def large_parts(self) -> tuple[LargePart, ...]:
        """For people: what each view searches."""
        refused = (lambda _: 0) if self._keeper is None else self._keeper.refused
        return tuple(view.large_part(refused(view.kind.name)) for view in self._follower.views)

    def close(self) -> None:
        """Ends a folding that is under way."""
        self._tender.close()

    def _kind(self, space: SpaceId, dim: int) -> ViewKind[VectorIndex]:
        return semantic_kind(space, dim, self._options.build_index, self._options.engine)

    def _loaded(self, kind: ViewKind[Index], _: Version) -> View[Index]:
        """From the catalog alone."""
        view = View(kind, self._options.fold_rows)
        spaces = () if kind.space is None else (kind.space,)
        view.apply(self._catalog.changes(view.version, spaces, hashes=kind.space is None))
        return view


def _unheard(_: str) -> None:
    """Nobody asked how far it is."""
