"""What a service is told of its index."""

import io
import json
from types import SimpleNamespace
from typing import Any, cast

from index.catalog import Catalog
from index.records.banks import Purpose
from service.logs import open_log
from service.metrics import Metrics
from service.settings import Settings
from service.viewing import open_views


def test_a_snapshot_that_is_refused_is_counted_and_logged(settings: Settings) -> None:
    (settings.snapshots_dir / "pdq" / "00000001-000000000001").mkdir(parents=True)
    catalog = Catalog.open(settings.catalog_url)
    catalog.put_bank("known", Purpose.HARMFUL)
    metrics, said = Metrics(), io.StringIO()
    nothing_open = cast("Any", SimpleNamespace(opened=()))
    views = open_views(settings, catalog, nothing_open, metrics, open_log("info", said))
    views.follow()
    views.close()
    catalog.close()
    assert b'afterimage_snapshots_total{outcome="refused",view="pdq"} 1.0' in metrics.exposition()
    (line,) = map(json.loads, said.getvalue().splitlines())
    assert (line["level"], line["view"]) == ("error", "pdq")
    assert "manifest is missing" in line["says"]
