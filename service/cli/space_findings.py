"""What `afterimage doctor` says of a space, and of what was measured in it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from service.cli.findings import Finding, State
from service.settings import Settings

if TYPE_CHECKING:
    from models.embedder import Space


def findings_of_space(settings: Settings, space: "Space", device: str) -> Iterator[Finding]:
    """The device, the space, and the two records that say what its scores mean."""
    yield Finding("device", State.OK, f"{device} ({settings.device} was asked for)")
    yield Finding(
        "space",
        State.OK,
        f"{space.embedder_id} ({space.model}), {space.dim} numbers from {space.image_px} px, on {device}",
    )
    yield _calibration(space)
    yield _verification(space)


def _calibration(space: "Space") -> Finding:
    record = space.calibration
    if record is None:
        return Finding(
            "calibration",
            State.NOTE,
            f"{space.embedder_id} has none: its thresholds are guesses, and nothing over `review` is suggested",
            "Measure one with: afterimage calibrate",
        )
    return Finding(
        "calibration",
        State.OK,
        f"of {record.created}, on {record.sample.pictures:,} photographs; variant from {record.variant.score:.3f} "
        f"(1 innocent query in {_one_in(record.variant.fpr_upper95)} at most), related from {record.related.score:.3f} "
        f"(1 in {_one_in(record.related.fpr_upper95)})",
    )


def _verification(space: "Space") -> Finding:
    """What a closer look is weighed by, and what that was measured to do."""
    from models.features import EXTRACTOR  # OpenCV comes with it, and may be what is broken

    record = space.verification
    if record is None:
        return Finding(
            "verification",
            State.NOTE,
            f"{space.embedder_id} has no record: its bands are weighed as the bundled model's are, without a rate",
            "Fit one with: afterimage calibrate --alike",
        )
    if record.extractor != EXTRACTOR:
        return Finding(
            "verification",
            State.NOTE,
            f"the record of {space.embedder_id} weighs features of {record.extractor}, and {EXTRACTOR} is what is kept",
            "Fit it anew with: afterimage calibrate --alike",
        )
    sample = record.sample
    return Finding(
        "verification",
        State.OK,
        f"of {record.created}, on {sample.pictures:,} pictures and {sample.queries:,} innocent queries against "
        f"{sample.bank_frames:,} banked; a copy from {record.variant.score:.3f} "
        f"(1 innocent query in {_one_in(record.variant.fpr)}, of pictures 1 in {_one_in(record.variant.fpr_upper95)} "
        f"at most), related from {record.related.score:.4f} (1 in {_one_in(record.related.fpr)}); looks between "
        f"{record.far_at(sample.bank_frames):.2f} and {record.near:.2f}",
    )


def _one_in(rate: float) -> str:
    return f"{1 / rate:,.0f}" if rate > 0 else "none"
