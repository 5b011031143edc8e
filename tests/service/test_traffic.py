"""Thresholds measured on what was recorded."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from models.evaluation.errors import TooFewPictures
from service.runtime import Runtime
from service.sightings.traffic import check_as_sure, measured_on_traffic


def test_recorded_uploads_that_match_nothing_set_the_thresholds(
    client: FlaskClient,
    service: Runtime,
    jpeg: Callable[[int], bytes],
    picture: Callable[..., Image.Image],
    encoded: Callable[..., bytes],
) -> None:
    """The copies, and what nobody could tell from them, count for nothing; alike uploads count once."""
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    space = service.spaces[0].space
    for seed in range(4):
        client.post("/v1/banks/first/items", data=jpeg(seed), content_type="image/jpeg")
    with pytest.raises(TooFewPictures):
        measured_on_traffic(service.catalog, space)

    def record(data: bytes) -> Any:
        return client.post("/v1/match?record=true", data=data, content_type="image/jpeg").json

    for seed in range(100, 124):
        record(jpeg(seed))
    before = measured_on_traffic(service.catalog, space)
    assert record(jpeg(1))["verdict"]["band"] == "exact"
    assert record(encoded(picture(1), kind="PNG"))["verdict"]["band"] == "exact"
    record(encoded(picture(100).resize((150, 112)), quality=50))
    service.duties.work_through()
    after = measured_on_traffic(service.catalog, space)
    assert (before.sample.queries, before.sample.pictures, before.sample.bank_frames) == (24, 24, 4)
    assert (after.sample.queries, after.sample.pictures) == (25, 24)
    assert after.variant.score == pytest.approx(before.variant.score, abs=0.05)
    surer = replace(after, variant=replace(after.variant, fpr_upper95=0.001))
    check_as_sure(surer, after)
    check_as_sure(after, None)
    with pytest.raises(TooFewPictures, match="25 uploads support no false-positive rate below"):
        check_as_sure(after, surer)
