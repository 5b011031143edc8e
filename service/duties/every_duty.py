"""Every duty there is, in the order in which each has a step."""

from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from index.records.spaces import SpaceId
from service.duties.keeper import Duty, DutyKeeper
from service.incidents.quarantine import Expectation, WatchItems
from service.matching.bounds import SpaceBounds
from service.matching.queries import DefaultThresholds
from service.sightings.linking import Link
from service.sightings.memory import SightingMemory
from service.sightings.retention import Forget
from service.sightings.retro_scan import LookBack
from service.variants.clustering import FindClusters, TidyUp

if TYPE_CHECKING:
    from service.runtime import Runtime


def duty_keeper(runtime: "Runtime", clock: Callable[[], float] = monotonic) -> DutyKeeper:
    """For one process; what the duties keep in memory is read when its turn comes."""
    settings = runtime.settings
    memory = SightingMemory(runtime.catalog, settings.data_dir / "sightings", runtime.log)
    return DutyKeeper(
        all_duties(runtime, memory),
        runtime.catalog.duties,
        runtime.log,
        runtime.metrics,
        at_end=memory.let_go,
        clock=clock,
    )


def all_duties(runtime: "Runtime", memory: SightingMemory) -> list[Duty]:
    """Looking back comes first: a sighting that is linked is compared with what was looked back for before it."""
    settings, catalog, metrics = runtime.settings, runtime.catalog, runtime.metrics
    defaults = DefaultThresholds(settings.uncalibrated_variant_score, settings.uncalibrated_related_score)
    bounds = SpaceBounds(runtime.live_spaces, defaults)
    look_back = LookBack(catalog=catalog, memory=memory, views=runtime.views, bounds=bounds, metrics=metrics)

    def leading() -> SpaceId:
        return runtime.spaces[0].id

    def expectation() -> Expectation | None:
        calibration = runtime.spaces[0].space.calibration
        if calibration is None:
            return None
        frames = runtime.views.reading(follow=False).embeddings_in(leading())
        return Expectation(lambda frames: calibration.expected_fpr(calibration.variant, frames), frames)

    return [
        look_back,
        Link(catalog=catalog, memory=memory, leading=leading, bounds=bounds, before=look_back.late, metrics=metrics),
        FindClusters(catalog, leading, bounds, settings.cluster_alert_sightings, metrics),
        WatchItems(catalog.quarantines, expectation),
        Forget(catalog, memory, settings.sighting_retention),
        TidyUp(catalog, timedelta(days=settings.event_retention_days), settings.sighting_retention),
    ]
