"""
The job `tiles`: brings what a bank held before its setting was changed to the tiles that it wants now.

Each item's embeddings are replaced in one step, so that it is found at every moment. Tiles are made of the originals;
they are taken away again without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from index.catalog import Catalog
from index.errors import Conflict, NotFound
from index.records.items import KeptItem
from index.records.jobs import JobJson, Plan, Progress
from index.records.spaces import SpaceId, SpaceStage
from service.errors import NotReady
from service.jobs.errors import Hopeless
from service.jobs.options import TilesOptions, read_options
from service.jobs.reembedding import Reembedder
from service.jobs.task import Task
from service.spaces.space_set import ServedSpace

TILES: Final = "tiles"
_PAGE: Final = 32
"""Items between two writes."""


@dataclass(frozen=True, slots=True)
class TileTools:
    """What the job works with."""

    catalog: Catalog
    reembedder: Reembedder


class FillTiles:
    """The job kind. Option: `bank`."""

    def __init__(self, tools: TileTools) -> None:
        self._tools = tools

    def checked(self, options: JobJson) -> JobJson:
        """
        Raises:
            InvalidField
        """
        return {"bank": read_options(TilesOptions, options).bank}

    def plan(self, task: Task) -> Plan:
        """A part for each space that new items are written to."""
        tiles, bank = self._tools.catalog.tiles, task.options["bank"]
        spaces = [served.id for served in self._written]
        try:
            lacking = sum(tiles.coverage(bank, space).lacking for space in spaces)
        except NotFound as error:
            raise Hopeless(str(error)) from error
        return Plan([{"space": space} for space in spaces], lacking)

    def run(self, task: Task) -> None:
        """One space; from its oldest item again where the setting has become another meanwhile."""
        catalog, bank, space = self._tools.catalog, task.options["bank"], SpaceId(task.span["space"])
        try:
            if catalog.moves.record(space).stage is SpaceStage.DROPPED:
                return  # nobody looks into it any more
            served = self._open(space)
            after, wanted = (task.cursor or {}).get("after", 0), (task.cursor or {}).get("tiles")
            while True:
                page = catalog.tiles.unlike(bank, space, after, _PAGE)
                now = catalog.bank(bank).settings.tiles
                if now != wanted:
                    after, wanted = 0, now
                elif page:
                    task.stop_if_asked()
                    after = page[-1].key
                    task.advanced(self._brought(task, served, page, {"after": after, "tiles": wanted}))
                else:
                    return
        except (NotFound, Conflict) as error:
            raise Hopeless(str(error)) from error

    def _brought(self, task: Task, served: ServedSpace, page: Sequence[KeptItem], cursor: JobJson) -> Progress:
        """These items as their bank wants them, as far as their originals can be had."""
        tiles = self._tools.catalog.tiles
        if cursor["tiles"] == 0:
            progress = task.progress(cursor, done=len(page), tiled=len(page))
            tiles.drop(served.id, [item.item_id for item in page], progress)
            return progress
        made = self._tools.reembedder.made(served, page)
        filled = {item_id: frames for item_id, frames in made.items() if frames is not None}
        progress = task.progress(cursor, done=len(page), tiled=len(filled), failed=len(page) - len(filled))
        tiles.put(served.id, filled, progress)
        return progress

    def finish(self, task: Task) -> JobJson:
        """How far the bank is, in each space."""
        bank = task.options["bank"]
        try:
            wanted = self._tools.catalog.bank(bank).settings.tiles
            spaces = {served.id: self._tools.catalog.tiles.coverage(bank, served.id) for served in self._written}
        except NotFound as error:
            raise Hopeless(str(error)) from error
        return {
            "tiles": wanted,
            "spaces": {
                space: {
                    "filled": coverage.filled,
                    "failed": coverage.lacking,
                    "without_original": coverage.without_original,
                }
                for space, coverage in spaces.items()
            },
        }

    @property
    def _written(self) -> tuple[ServedSpace, ...]:
        """The spaces that new items are written to, as far as they are open here."""
        return self._tools.reembedder.spaces.at(self._tools.catalog.moves.records()).written

    def _open(self, space: SpaceId) -> ServedSpace:
        """
        Raises:
            NotReady: it is not open here, or not any more: another worker, or a later attempt, may have it.
        """
        for served in self._written:
            if served.id == space:
                return served
        raise NotReady("The space is not open in this process.")
