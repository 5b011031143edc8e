"""Moving to another model: what there is to see of it, and what an operator decides."""

from typing import Final

from index.catalog import Catalog
from index.records.changes import Version
from index.records.spaces import SpaceId, SpaceRecord
from index.views.views import Views
from models.media.sandbox import Decoder
from service.jobs.purge import PURGE
from service.matching.matcher import MatchOptions
from service.schemas import Band
from service.spaces.shadow import Outcome, Shadows
from service.spaces.shapes import (
    LeftItem,
    OutcomeOf,
    SpaceAgreement,
    SpaceComparison,
    SpaceCoverage,
    SpaceDropped,
    SpaceHolding,
    SpaceMoved,
    SpaceReport,
    SpaceResource,
)
from service.spaces.space_set import LiveSpaces, parts_of

_LISTED: Final = 100


class Mover:
    """Safe from any thread. Every method raises UnknownSpace where a space is not known."""

    def __init__(
        self, *, catalog: Catalog, views: Views, spaces: LiveSpaces, shadows: Shadows, decoder: Decoder
    ) -> None:
        self._catalog = catalog
        self._views = views
        self._spaces = spaces
        self._shadows = shadows
        self._decoder = decoder

    def spaces(self) -> list[SpaceResource]:
        """Every space there is or was, the oldest first."""
        records = self._catalog.moves.records()
        return [self._resource(record, records) for record in records]

    def report(self, space: SpaceId) -> SpaceReport:
        """Everything there is to know before one decides; reads every item's key."""
        self._shadows.write_down()
        moves = self._catalog.moves
        coverage = moves.coverage(space)
        return SpaceReport(
            **self._one(space).model_dump(),
            items=SpaceCoverage(
                filled=coverage.filled, lacking=coverage.lacking, without_original=coverage.without_original
            ),
            left=[LeftItem(bank=bank, item_id=item_id) for bank, item_id in moves.left(space, _LISTED)],
            open_in=[
                SpaceHolding(process=process, open=said.is_open, reason=said.reason)
                for process, said in sorted(moves.holdings(space).items())
            ],
            agreement=[
                SpaceAgreement(
                    band=Band(each.band),
                    shadow_band=Band(each.shadow_band),
                    uploads=each.uploads,
                    same_item=each.same_item,
                )
                for each in moves.agreements(space)
            ],
        )

    def promote(self, space: SpaceId, *, keep_old: bool, leave_behind: bool) -> SpaceMoved:
        """
        Raises:
            WrongStage, ItemsLeftBehind, SpaceNotOpen: as the catalog says.
        """
        return self._moved(space, self._catalog.moves.promote(space, keep_old=keep_old, leave_behind=leave_behind))

    def rollback(self, space: SpaceId, *, leave_behind: bool) -> SpaceMoved:
        """
        Raises:
            WrongStage, ItemsLeftBehind, SpaceNotOpen: as the catalog says.
        """
        return self._moved(space, self._catalog.moves.rollback(space, leave_behind=leave_behind))

    def drop(self, space: SpaceId) -> SpaceDropped:
        """
        Gives it up at once; a job deletes its embeddings.

        Raises:
            WrongStage: it is served.
        """
        moved = self._moved(space, self._catalog.moves.drop(space))
        options = {"space": str(space)}
        under_way = self._catalog.jobs.unfinished(PURGE, options)
        job_id = under_way or self._catalog.jobs.create(PURGE, options).job_id
        return SpaceDropped(**moved.model_dump(), job_id=job_id)

    def compare(self, space: SpaceId, data: bytes, deadline: float | None) -> SpaceComparison:
        """
        What is answered about an upload, and what would be if the space took over; nothing is counted.

        Raises:
            WrongStage: it does not wait in shadow.
            MediaError, EmbeddingError
        """
        self._one(space)
        media = self._decoder.decode(data, deadline)
        told = self._shadows.compare(space, media, MatchOptions(deadline=deadline))
        return SpaceComparison(
            embedder_id=told.space,
            against=told.against,
            answered=_outcome(told.answered),
            in_shadow=_outcome(told.in_shadow),
            changes_the_verdict=told.changes_the_verdict,
        )

    def _moved(self, space: SpaceId, version: Version) -> SpaceMoved:
        self._views.follow()
        return SpaceMoved(embedder_id=space, stage=self._one(space).stage, index_version=version)

    def _one(self, space: SpaceId) -> SpaceResource:
        records = self._catalog.moves.records()
        return self._resource(self._catalog.moves.record(space), records)

    def _resource(self, record: SpaceRecord, records: tuple[SpaceRecord, ...]) -> SpaceResource:
        opened = {served.id: served for served in self._spaces.opened}
        served = opened.get(record.space)
        return SpaceResource(
            embedder_id=record.space,
            model=record.model,
            dim=record.dim,
            stage=record.stage,
            answers=record.space in parts_of(self._spaces.configured, records).asked,
            calibrated=None if served is None else served.space.calibration is not None,
            replaces=record.replaces,
            changed_at=record.changed_at,
        )


def _outcome(outcome: Outcome) -> OutcomeOf:
    return OutcomeOf(band=outcome.band, suggested_action=outcome.action, item_id=outcome.best)
