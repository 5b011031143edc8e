"""What kinds of jobs there are."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from service.jobs.compact import COMPACT, Compact
from service.jobs.features import FEATURES, FeatureTools, FillFeatures
from service.jobs.ingest import INGEST, Ingest
from service.jobs.kind import JobKind
from service.jobs.purge import PURGE, Purge
from service.jobs.reembedding import Reembedder
from service.jobs.reindex import REINDEX, Reindex, ReindexTools
from service.jobs.scan import SCAN, Scan
from service.jobs.tiles import TILES, FillTiles, TileTools

if TYPE_CHECKING:
    from service.runtime import Runtime


_THREADS_A_CORE = 4
_LEAST_THREADS = 4
"""Threads mostly wait: for a file, a decoder, the model, the disk."""


def job_kinds(runtime: "Runtime", roots: tuple[Path, ...] | None) -> Mapping[str, JobKind]:
    """
    Every kind, by name.

    Args:
        runtime: the parts they are made of.
        roots: the folders that jobs made here may read; None is everything, for who sits at this machine.
    """
    settings, catalog = runtime.settings, runtime.catalog
    threads = max(_LEAST_THREADS, _THREADS_A_CORE * settings.cores_for_decoding)
    return {
        INGEST: Ingest(
            banker=runtime.banker, catalog=catalog, threads=threads, most_bytes=settings.max_bytes, roots=roots
        ),
        SCAN: Scan(
            matcher=runtime.matcher, catalog=catalog, threads=threads, most_bytes=settings.max_bytes, roots=roots
        ),
        COMPACT: Compact(runtime.views),
        REINDEX: Reindex(_reindex_tools(runtime), roots),
        PURGE: Purge(catalog),
        TILES: FillTiles(TileTools(catalog, _reembedder(runtime))),
        FEATURES: FillFeatures(
            FeatureTools(catalog, runtime.decoder, runtime.originals, max(1, settings.cores_for_decoding // 2))
        ),
    }


def _reindex_tools(runtime: "Runtime") -> ReindexTools:
    settings = runtime.settings
    return ReindexTools(
        catalog=runtime.catalog,
        spaces=runtime.live_spaces,
        leading=lambda: runtime.spaces[0].id,
        opener=runtime.opener,
        decoder=runtime.decoder,
        originals=runtime.originals,
        calibrations=settings.calibration_dir,
        at_once=max(1, settings.cores_for_decoding // 2),  # uploads go first
        log=runtime.log,
    )


def _reembedder(runtime: "Runtime") -> Reembedder:
    at_once = max(1, runtime.settings.cores_for_decoding // 2)  # uploads go first
    return Reembedder(runtime.live_spaces, runtime.decoder, runtime.originals, at_once, runtime.log)
