"""Banks with tiles in an evaluation: more rows of the same pictures, asked about with the same queries."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.calibration import Sample, Threshold
from models.embedder import Embedder
from models.evaluation import tables
from models.evaluation.pictures import looked_at
from models.evaluation.run import EvaluationOptions, evaluate
from models.evaluation.systems import EmbeddingSystem
from models.evaluation.tiled import TiledEye, TiledSystem
from models.evaluation.verified import Eye
from models.features import EXTRACTOR
from models.geometry import Location
from models.media.types import DecodedFrame
from models.verification import Evidence, Far, VerificationRecord, terms_of

MakeFolder = Callable[..., Path]
MakePicture = Callable[..., Image.Image]


def told(found: dict[int, Location | None]) -> list[tuple[int, object]]:
    """What can be compared of it, in order."""
    return [(at, one and (one.inliers, one.weight, one.query_quad, one.alike)) for at, one in found.items()]


@pytest.fixture
def frames(picture: MakePicture) -> list[DecodedFrame]:
    return [looked_at(picture(seed, 240, 180)) for seed in range(10)]


@pytest.fixture
def corners(picture: MakePicture) -> list[DecodedFrame]:
    """The lower right of each, as the last of four tiles shows it."""
    return [looked_at(picture(seed, 240, 180).crop((96, 72, 240, 180))) for seed in range(10)]


@pytest.mark.parametrize("count", [4, 9])
def test_every_tile_is_a_row_more_and_no_pair_is_farther_for_it(
    count: int, thumbnails: Embedder, frames: list[DecodedFrame], corners: list[DecodedFrame]
) -> None:
    plain = EmbeddingSystem("plain", thumbnails)
    tiled = TiledSystem(plain, count)
    asked = tiled.asked(corners)
    before, after = (plain.scores(asked, plain.banked(frames)), tiled.scores(asked, tiled.banked(frames)))
    assert [len(rows) for rows in tiled.banked(frames)] == [1 + count] * 10
    assert (after >= before - 1e-6).all()
    assert np.diag(after).mean() > np.diag(before).mean() + 0.1


def test_what_was_found_without_tiles_is_found_again_and_not_looked_for(
    thumbnails: Embedder, frames: list[DecodedFrame], corners: list[DecodedFrame]
) -> None:
    plain = EmbeddingSystem("plain", thumbnails)
    tiled = TiledSystem(plain, 4)
    eye, alone = Eye(plain), Eye(tiled)
    sharing = TiledEye(tiled, eye)
    eye.looked(eye.asked(corners), eye.banked(frames))
    shared = sharing.looked(sharing.asked(corners), sharing.banked(frames))
    own = alone.looked(alone.asked(corners), alone.banked(frames))
    assert np.array_equal(shared.scores, own.scores)
    assert [told(found) for found in shared.locations] == [told(found) for found in own.locations]
    assert any(location is not None for found in shared.locations for location in found.values())
    assert shared.rows == own.rows == 50


def test_each_number_of_tiles_is_measured_beside_the_plain_system(folder: MakeFolder, thumbnails: Embedder) -> None:
    weights = dict.fromkeys(terms_of(Evidence(None, None)), 1.0)
    record = VerificationRecord(
        embedder_id="thumbnail",
        extractor=EXTRACTOR,
        created="2026-11-23",
        sample=Sample(10, 10, 10),
        weights=weights,
        variant=Threshold(0.9, 1e-3, 1e-3),
        related=Threshold(0.5, 1e-2, 1e-2),
        near=0.99,
        far=(Far(1, 0.1),),
        pdq_far=60,
    )
    thumbnails.space = dataclasses.replace(thumbnails.space, verification=record)  # type: ignore[misc]
    report = evaluate(
        EvaluationOptions(
            photos=folder(14),
            lookalikes=folder(3, "alike", 100),
            originals=3,
            threshold_edits=0,
            edits=("jpeg", "crop_25"),
            tiles=(4,),
            baselines=False,
            rounds=5,
        ),
        [("thumbnail", thumbnails)],
        lambda *_: None,
    )
    assert [system.name for system in report.systems] == [
        "thumbnail",
        "thumbnail + verification",
        "thumbnail + verification, auto",
        "thumbnail, 4 tiles",
        "thumbnail, 4 tiles + verification",
        "thumbnail, 4 tiles + verification, auto",
    ]
    assert report.rows == {"thumbnail, 4 tiles": 5 * report.counts.bank}
    assert f"thumbnail, 4 tiles: {5 * report.counts.bank} embeddings" in tables.to_markdown(report)
