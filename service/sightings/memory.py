"""What the duties hold of sightings in memory: read from the catalog when their turn comes, let go with it."""

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.catalog.duties import Turn
from index.records.sightings import SightedHashes, SightedRows
from index.records.spaces import SpaceId, SpaceStage
from index.sightings.view import SightingView

LINK = "link"
"""The duty whose cursor says which sightings are held: those that it has linked."""


class SightingMemory:
    """
    Belongs to the thread that does the duties.

    Args:
        catalog: where sightings are kept.
        folder: for what need not be in memory; whoever's turn it is has a folder of its own in it.
        log: where to tell.
    """

    def __init__(self, catalog: Catalog, folder: Path, log: FilteringBoundLogger) -> None:
        self._shared = folder
        self._folder = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        self.view = SightingView(self._folder)
        self.linked = 0
        """The newest sighting that is held."""
        self._catalog = catalog
        self._log = log
        self._turn: Turn | None = None
        self._doubted = False

    def be_of(self, turn: Turn) -> None:
        """Reads what this turn begins with; may take a minute where there are a million sightings."""
        if self._turn == turn and not self._is_behind():
            return
        self.let_go()
        shutil.rmtree(self._shared, ignore_errors=True)  # what processes have left there that died, or were stopped
        self._folder.mkdir(parents=True)
        began = time.perf_counter()
        self.linked = self._catalog.duties.cursor(LINK)
        with self._catalog.sightings.after(0, self.linked) as held:
            for space in self.spaces():
                for rows in held.rows(space):
                    self.view.add(space, rows)
            for hashes in held.hashes():
                self.view.hashes.add(hashes)
        self._turn = turn
        if self.linked:
            self._log.info(
                "sightings were read",
                hashes=len(self.view.hashes),
                rows=sum(len(stores.wholes) for stores in self.view.spaces.values()),
                seconds=round(time.perf_counter() - began, 1),
            )

    def hold(self, upto: int, rows: Mapping[SpaceId, SightedRows], hashes: SightedHashes) -> None:
        """More sightings, up to this one, that are linked now."""
        try:
            for space, more in rows.items():
                self.view.add(space, more)
            self.view.hashes.add(hashes)
        except BaseException:  # a full disk, say: half of them would be held
            self.let_go()
            raise
        self.linked = upto

    def doubt(self) -> None:
        """After a link that failed, which may yet be written: whoever comes next finds out."""
        self._doubted = True

    def spaces(self) -> list[SpaceId]:
        """Those that sightings may have been recorded in, and can be searched in."""
        return [
            record.space
            for record in self._catalog.state().spaces
            if record.stage not in {SpaceStage.BUILDING, SpaceStage.DROPPED}
        ]

    def let_go(self) -> None:
        """Of everything."""
        self._turn = None
        self._doubted = False
        self.linked = 0
        self.view.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_behind(self) -> bool:
        """Whether a link that was taken for failed was written."""
        if self._doubted and self._catalog.duties.cursor(LINK) != self.linked:
            return True
        self._doubted = False
        return False
