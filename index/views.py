"""The views of one process: what the catalog holds, kept in memory where it can be searched."""

import logging
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import numpy as np

from index.catalog import Catalog
from index.changes import Changes
from index.errors import IndexBehind
from index.flat import FlatIndex
from index.layers import Fold, Kind, Layers, Payload, Sized
from index.perceptual import PdqIndex
from index.reading import Offsets, Reading, SemanticLayers
from index.records import (
    BankRule,
    Embeddings,
    ItemId,
    PdqRows,
    PerceptualHit,
    Rows,
    SemanticHit,
    SpaceId,
    Version,
)
from index.scan import ScanIndex
from index.vectors import BuildIndex, VectorIndex

_LOG = logging.getLogger(__name__)
Index = TypeVar("Index", bound=Sized)

_FOLD_ROWS = 4096
_POLL_S = 0.002


class Views:
    """
    One semantic view for each space and one perceptual view, following the catalog's log.

    Searches run at the same time as each other and as additions; none waits for another. The views start empty and
    are filled by the first `follow`, which every search does before it looks unless told otherwise: so whatever was
    acknowledged before a search began, by this process or another, is in its answer.

    Args:
        catalog: the truth; not closed by us.
        space_ids: the spaces to serve and the lengths of their embeddings; registered if need be.
        build_index: the engine of the large parts.
        fold_rows: how many rows a live part may hold before it is folded into a new large one.
    """

    def __init__(
        self,
        catalog: Catalog,
        space_ids: Mapping[SpaceId, int],
        *,
        build_index: BuildIndex = FlatIndex,
        fold_rows: int = _FOLD_ROWS,
    ) -> None:
        for space, dim in space_ids.items():
            catalog.register_space(space, dim)
        self._catalog = catalog
        self._dims = dict(space_ids)
        self._build_index = build_index
        self._fold_rows = fold_rows
        self._empty()
        self._applying = threading.Lock()
        self._folding = threading.Lock()
        self._folder: threading.Thread | None = None
        self._reading = Reading(Version(0), {}, {}, {}, ())
        self._publish(Version(0), {})

    @property
    def version(self) -> Version:
        """The newest change that is published here."""
        return self._reading.version

    @property
    def banks(self) -> Mapping[str, BankRule]:
        """By name, as of `version`."""
        return self._reading.banks

    def follow(self) -> Version:
        """
        Applies what the log has beyond us; cheap when there is nothing. Whoever comes while it is done waits for it.

        Raises:
            CatalogUnavailable: the log cannot be read.
        """
        newest = self._catalog.version()
        if newest > self._reading.version:
            with self._applying:
                if newest > self._reading.version:
                    self._apply(self._catalog.changes(self._reading.version, self._dims))
            self._fold_if_due()
        return self._reading.version

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
        return self._reading

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

    def fold(self) -> None:
        """Makes the live rows of every view part of its large one, beside whatever else goes on."""
        with self._folding:
            for layers in self._all():
                self._swap_in(layers, layers.prepare_fold())

    def close(self) -> None:
        """Waits for a folding that is under way."""
        folder = self._folder
        if folder is not None:
            folder.join()

    def _empty(self) -> None:
        self._semantic = {
            space: Layers(_semantic(dim, self._build_index), self._fold_rows) for space, dim in self._dims.items()
        }
        self._perceptual = Layers(_perceptual(), self._fold_rows)

    def _apply(self, changes: Changes) -> None:
        if not self._reading.version:
            self._empty()  # of what an earlier attempt at the first load may have left behind
        for layers in self._all():
            layers.forget(changes.touched_items, changes.lost_banks)
        for space, rows in changes.semantic.items():
            self._semantic[space].add(rows.origins, (rows.embeddings,))
        hashes = changes.perceptual
        self._perceptual.add(hashes.origins, (hashes.hashes, hashes.qualities))
        self._publish(changes.version, changes.banks)

    def _publish(self, version: Version, banks: Mapping[int, BankRule] | None) -> None:
        before = self._reading
        self._reading = Reading(
            version=version,
            banks=before.banks if banks is None else {rule.name: rule for rule in banks.values()},
            bank_keys=before.bank_keys if banks is None else {rule.name: key for key, rule in banks.items()},
            semantic={
                space: SemanticLayers(self._dims[space], layers.published) for space, layers in self._semantic.items()
            },
            perceptual=self._perceptual.published,
        )

    def _all(self) -> tuple[Layers[Any], ...]:
        return *self._semantic.values(), self._perceptual

    def _fold_if_due(self) -> None:
        if any(layers.fold_is_due() for layers in self._all()) and self._folding.acquire(blocking=False):
            folder = threading.Thread(target=self._fold_what_is_due, name="index-fold", daemon=True)
            try:
                folder.start()
            except RuntimeError:  # no more threads: as in the thread itself, it is tried again with the next change
                self._folding.release()
                _LOG.exception("no thread could be started to fold the live part of a view")
            else:
                self._folder = folder

    def _fold_what_is_due(self) -> None:
        """In a thread of its own; the lock was taken for it."""
        try:
            for layers in self._all():
                if layers.fold_is_due():
                    self._swap_in(layers, layers.prepare_fold())
        except Exception:  # noqa: BLE001 - a thread has nobody to raise to
            # Searching goes on in the live part, only slower; it is tried again with the next change.
            _LOG.exception("the live part of a view could not be folded into its large part")
        finally:
            self._folding.release()

    def _swap_in(self, layers: Layers[Index], fold: Fold[Index]) -> None:
        with self._applying:
            layers.adopt(fold)
            self._publish(self._reading.version, None)


def _semantic(dim: int, build_index: BuildIndex) -> Kind[VectorIndex]:
    def payload_of(index: VectorIndex, rows: Rows) -> Payload:
        return (index.vectors(rows),)

    return Kind((np.empty((0, dim), np.float32),), build_index, ScanIndex, payload_of)


def _perceptual() -> Kind[PdqIndex]:
    def payload_of(index: PdqIndex, rows: Rows) -> Payload:
        return index.hashes(rows), index.qualities[rows]

    return Kind((np.empty((0, 32), np.uint8), np.empty(0, np.int16)), PdqIndex, PdqIndex, payload_of)
