"""Looks at everything a service needs, without one, and says of each part whether it is well."""

import importlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import DataDirectoryInUse, IndexingError
from index.records.spaces import SpaceStage
from models.errors import ModelsError
from service.cli.findings import Finding, State
from service.cli.space_findings import findings_of_space
from service.errors import NotReady, ServiceError
from service.settings import Settings, cores

if TYPE_CHECKING:
    from index.views.view import LargePart
    from service.runtime import Runtime

_LITTLE_ROOM_BYTES = 1 << 30


_UNDER_WAY = {
    SpaceStage.BUILDING: ("is being filled", "See how far it is: afterimage reindex status"),
    SpaceStage.SHADOW: ("waits in shadow", "Compare, then decide: afterimage reindex status, promote or drop"),
    SpaceStage.RETIRED: (
        "was replaced, and is kept up to date so that one can go back",
        "When nobody will: afterimage reindex drop",
    ),
}


def diagnose(settings: Settings) -> Iterator[Finding]:
    """
    Part by part, as they are looked at; the slow ones last.

    The data directory is opened when nobody else has it open, and is not made when it does not exist.
    """
    libraries = [_torch(), _faiss()]
    yield from libraries
    if any(finding.state is State.WRONG for finding in libraries):
        return
    yield _threads(settings)
    yield _data_directory(settings.data_dir)
    if settings.catalog or (settings.data_dir / "catalog.db").exists():
        yield from _opened(settings)
    else:
        yield from _models_alone(settings)


def _faiss() -> Finding:
    try:
        importlib.import_module("faiss")
    except Exception as error:  # noqa: BLE001 - native libraries fail in many ways, and each is what we look for
        return Finding("FAISS", State.WRONG, f"cannot be imported: {error}", "Install Afterimage again.")
    return Finding("FAISS", State.OK, "can be imported")


def _torch() -> Finding:
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # noqa: BLE001 - likewise
        return Finding(
            "torch",
            State.WRONG,
            f"torch and torchvision do not work together: {error}",
            "They come from different indexes: install both from the same one (docs/operations.md, Installing).",
        )
    return Finding("torch", State.OK, "torch and torchvision work together")


def _threads(settings: Settings) -> Finding:
    says = (
        f"{cores()} cores; {settings.workers} worker(s), each with {settings.cores_for_models} threads for the model, "
        f"{settings.cores_for_decoding} processes that decode and {settings.threads} that answer"
    )
    if settings.workers * settings.cores_for_models > cores():
        return Finding(
            "threads",
            State.NOTE,
            says,
            "The models' threads of all workers together are more than the cores: set AFTERIMAGE_TORCH_THREADS lower.",
        )
    return Finding("threads", State.OK, says)


def _data_directory(path: Path) -> Finding:
    shown = str(path.absolute())
    if not path.exists():
        return Finding("data directory", State.OK, f"{shown} is not there yet; the first to need it makes it")
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        return Finding("data directory", State.WRONG, f"{shown} cannot be written", "Give its owner to this user.")
    free = shutil.disk_usage(path).free
    room = f"{free / (1 << 30):.1f} GiB free"
    if free < _LITTLE_ROOM_BYTES:
        return Finding("data directory", State.NOTE, f"{shown}, {room}", "Make room before it is full.")
    return Finding("data directory", State.OK, f"{shown}, {room}")


def _opened(settings: Settings) -> Iterator[Finding]:
    from service.runtime import Runtime

    try:
        runtime = Runtime.open(settings)
    except DataDirectoryInUse as error:
        yield Finding("catalog", State.NOTE, str(error), "Ask the service itself: afterimage doctor --url …")
        yield from _models_alone(settings)
        return
    except (IndexingError, ModelsError, ServiceError) as error:
        yield Finding("service", State.WRONG, f"cannot be opened: {error}")
        return
    with runtime:
        for served in runtime.spaces:
            yield from findings_of_space(settings, served.space, served.batcher.device)
        yield from _moves(runtime)
        yield from _catalog(runtime)
        yield from map(_large_part, runtime.views.large_parts())
        yield _canary(runtime)


def _models_alone(settings: Settings) -> Iterator[Finding]:
    from models.embedder import Device
    from models.openclip import open_embedder

    for model in settings.model:
        try:
            embedder = open_embedder(model, Device(settings.device), calibration=settings.calibration_dir)
        except ModelsError as error:
            yield Finding("model", State.WRONG, str(error))
            continue
        try:
            yield from findings_of_space(settings, embedder.space, embedder.device)
        finally:
            embedder.close()


def _moves(runtime: "Runtime") -> Iterator[Finding]:
    """What is under way between spaces, and where the catalog decides otherwise than the configuration."""
    spaces = runtime.mover.spaces()
    answering = ", ".join(space.embedder_id for space in spaces if space.answers)
    for space in spaces:
        if space.embedder_id in runtime.live_spaces.configured and not space.answers:
            yield Finding(
                "configuration",
                State.NOTE,
                f"AFTERIMAGE_MODEL names the model of {space.embedder_id}, which is {space.stage.value}; {answering} "
                "answers, as the catalog has it",
                "Name the model that answers, so that a new data directory begins with it.",
            )
        elif space.stage is SpaceStage.SERVED and not space.answers:
            yield Finding(
                "space",
                State.NOTE,
                f"{space.embedder_id} has embeddings here, and no configured model leads to it",
                "Name its model in AFTERIMAGE_MODEL too, or fill the one that answers: afterimage reindex --model NAME",
            )
        if space.stage in _UNDER_WAY:
            says, advice = _UNDER_WAY[space.stage]
            yield Finding("space", State.NOTE, f"{space.embedder_id} {says}", advice)


def _catalog(runtime: "Runtime") -> Iterator[Finding]:
    info = runtime.catalog.info()
    facts = info.facts
    yield Finding(
        "catalog",
        State.OK,
        f"{facts.place}, {facts.size_bytes / (1 << 20):.1f} MiB, revision {info.schema_revision}, {facts.durability}",
    )
    yield Finding("database", State.OK if facts.hazard is None else State.NOTE, facts.database, facts.hazard or "")
    counts = ", ".join(f"{state.frames:,} frames in {state.space}" for state in runtime.catalog.spaces())
    behind = runtime.catalog.version() - runtime.views.follow()
    yield Finding(
        "index",
        State.OK if behind == 0 else State.WRONG,
        f"version {runtime.views.version}, {len(runtime.views.banks)} banks; {counts or 'no embeddings yet'}",
        "" if behind == 0 else f"It is {behind} changes behind the catalog.",
    )
    yield _keys(runtime)


def _keys(runtime: "Runtime") -> Finding:
    keys = runtime.catalog.keys.ring().keys.values()
    now = datetime.now(UTC)
    valid = sum(key.revoked_at is None and not key.expired(now) for key in keys)
    noted = f"{runtime.catalog.audit.head().seq:,} entries in the audit log"
    if not keys:
        return Finding("keys", State.OK, f"none yet: whoever reaches the address may ask; {noted}")
    if not valid:
        return Finding("keys", State.NOTE, f"all have ended; {noted}", "Make one with: afterimage keys create")
    return Finding("keys", State.OK, f"{valid} of {len(keys)} are valid; {noted}")


def _large_part(part: "LargePart") -> Finding:
    """What a view searches: how it was made, and what it was measured to find."""
    name = f"index of {part.view}"
    since = f"{part.live_rows:,} since are compared one by one"
    if part.manifest is None:
        return Finding(name, State.OK, f"{part.rows:,} rows in memory, {since}")
    engine = part.manifest.engine
    says = f"{part.rows:,} rows, {engine['engine']}, of version {part.manifest.version}; {since}"
    if engine.get("curve"):
        measured = engine["curve"][-1]
        says += (
            f"; finds {measured['planted']:.1%} of planted copies and {measured['overlap']:.1%} of the ten nearest "
            f"in {measured['query_ms']:.2f} ms"
        )
    if part.refused:
        return Finding(
            name, State.NOTE, says, f"{part.refused} snapshot(s) were not sound and were not used; the log says why."
        )
    return Finding(name, State.OK, says)


def _canary(runtime: "Runtime") -> Finding:
    try:
        runtime.readiness.check()
    except NotReady as error:
        failed = ", ".join(f"{part}: {said}" for part, said in error.checks.items() if said != "ok")
        return Finding("canary", State.WRONG, failed or str(error))
    return Finding("canary", State.OK, "a picture went through decoder, models, index and catalog")
