"""
What a service measures of itself, for Prometheus.

With one worker the figures are this process's. With several they are summed over files the workers share, which
prometheus_client decides when it is first imported: `PROMETHEUS_MULTIPROC_DIR` must be set before that.
"""

import time
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from models.batching import BatchStats
from models.errors import MediaError
from service.schemas import Answer

Stage = Literal["decode", "embed", "search", "verify", "total"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FRAMES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Safe from any thread. A bank is a label: operators make banks, not uploaders."""

    def __init__(self, *, several_workers: bool = False) -> None:
        self._several_workers = several_workers
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Histogram(
            "afterimage_request_seconds",
            "Requests, by route.",
            ["route", "method", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "afterimage_requests_in_flight", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self.stages = Histogram(
            "afterimage_stage_seconds", "Matching, by stage.", ["stage"], buckets=_SECONDS, registry=registry
        )
        self.matches = Counter("afterimage_matches", "Matches answered.", ["bank", "band"], registry=registry)
        self.verdicts = Counter(
            "afterimage_verdicts", "Uploads answered.", ["band", "suggested_action"], registry=registry
        )
        self.uploads_looked_at = Counter(
            "afterimage_uploads_looked_at", "Uploads that originals were looked for in.", registry=registry
        )
        self.looks = Counter(
            "afterimage_looks", "Candidates whose original was looked for.", ["outcome"], registry=registry
        )
        self.shadow_uploads = Counter(
            "afterimage_shadow_uploads",
            "Uploads also asked in a space in shadow, by the band that was answered and the one that would be.",
            ["embedder_id", "band", "shadow_band"],
            registry=registry,
        )
        self.duty_seconds = Histogram(
            "afterimage_duty_seconds", "Steps of duties.", ["duty"], buckets=_SECONDS, registry=registry
        )
        self.duty_behind = Gauge(
            "afterimage_duty_behind",
            "What a duty has not come to yet: sightings that are not linked, changes that were not looked back for.",
            ["duty"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.retro_matches = Counter(
            "afterimage_retro_matches", "Recorded uploads that were found to match later.", registry=registry
        )
        self.duty_failures = Counter(
            "afterimage_duty_failures", "Steps of duties that failed.", ["duty"], registry=registry
        )
        self.recordings = Counter(
            "afterimage_recordings",
            "Uploads that were to be recorded, by what became of it.",
            ["outcome"],
            registry=registry,
        )
        self.media_failures = Counter(
            "afterimage_media_failures", "Uploads that could not be decoded.", ["kind"], registry=registry
        )
        self.refused = Counter("afterimage_refused", "Requests refused under load.", ["why"], registry=registry)
        self.batch_frames = Histogram(
            "afterimage_batch_frames",
            "Pictures a model took at once.",
            ["embedder_id"],
            buckets=_FRAMES,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "afterimage_batch_seconds",
            "How long a model took for a batch.",
            ["embedder_id"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_failures = Counter(
            "afterimage_batch_failed_frames", "Pictures a model failed on.", ["embedder_id"], registry=registry
        )
        self.queue_frames = Gauge(
            "afterimage_queue_frames",
            "Pictures waiting for a model.",
            ["embedder_id"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.degraded = Gauge(
            "afterimage_degraded",
            "1 when a model had to leave its device for the CPU.",
            ["embedder_id"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.event_streams = Gauge(
            "afterimage_event_streams", "Event streams that are open.", registry=registry, multiprocess_mode="livesum"
        )
        self.snapshots = Counter(
            "afterimage_snapshots",
            "Snapshots of the index, by what became of them.",
            ["view", "outcome"],
            registry=registry,
        )
        self.index_version = Gauge(
            "afterimage_index_version",
            "The change the views have applied; of the worker furthest behind.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.index_current_at = Gauge(
            "afterimage_index_current_timestamp_seconds",
            "When the views last were level with the log; time() minus this is the index's age.",
            registry=registry,
            multiprocess_mode="livemin",
        )

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        if not self._several_workers:
            return generate_latest(self._registry)
        summed = CollectorRegistry()
        MultiProcessCollector(summed)  # type: ignore[no-untyped-call]
        return generate_latest(summed)

    def answered(self, answer: Answer) -> None:
        """Counts an answer: its verdict, its matches and where its time went."""
        timings = answer.timings_ms
        for stage in ("decode", "embed", "search", "verify", "total"):
            self.stages.labels(stage).observe(getattr(timings, stage) / 1000)
        self.verdicts.labels(answer.verdict.band, answer.verdict.suggested_action).inc()
        for match in answer.matches:
            self.matches.labels(match.bank, match.band).inc()

    def undecodable(self, error: MediaError) -> None:
        self.media_failures.labels(type(error).__name__).inc()

    def batch(self, embedder_id: str, stats: BatchStats) -> None:
        self.batch_frames.labels(embedder_id).observe(stats.size)
        self.batch_seconds.labels(embedder_id).observe(stats.embed_s)
        if stats.failed:
            self.batch_failures.labels(embedder_id).inc(stats.failed)

    def index_is_current(self, version: int) -> None:
        self.index_version.set(version)
        self.index_current_at.set(time.time())
