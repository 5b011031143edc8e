"""Measuring a space on what platforms really had recorded, held against what is really banked."""

from typing import Final

import numpy as np

from index.catalog import Catalog
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from models.calibration import CalibrationRecord
from models.embedder import Space
from models.evaluation.calibrating import calibrate_on_traffic
from models.evaluation.errors import TooFewPictures

_MOST: Final = 20_000
"""Sightings, and rows of the banks, that are taken: evenly, the same ones each time."""


def measured_on_traffic(catalog: Catalog, space: Space) -> CalibrationRecord:
    """
    The thresholds that recorded uploads set: those that were not shown to match anything are taken to be innocent.

    Uploads of one cluster count as one picture. It is what was uploaded in the days that sightings are kept; and where
    copies are among them that nobody has found, the thresholds come out too high, never too low.

    Raises:
        SpaceMismatch: the catalog has no such space.
        TooFewPictures: there are too few sightings in it, or nothing is banked.
    """
    name = SpaceId(space.embedder_id)
    keys, clusters = catalog.sightings.unmatched()
    some = np.arange(0, len(keys), max(1, -(-len(keys) // _MOST)))
    held = catalog.sightings.rows_of(name, keys[some])
    found, first = np.unique(held.keys, return_index=True)
    uploads = np.split(held.embeddings, first[1:]) if len(found) else []
    owners = clusters[some][np.searchsorted(keys[some], found)]
    normalisation = None if space.calibration is None else space.calibration.normalisation
    return calibrate_on_traffic(space.embedder_id, uploads, owners, _banked(catalog, name, space.dim), normalisation)


def check_as_sure(record: CalibrationRecord, in_use: CalibrationRecord | None) -> None:
    """
    Before a record takes the place of the one in use.

    Raises:
        TooFewPictures: so few uploads support no rate as low as the one in use: thresholds would come down.
    """
    if in_use is not None and record.variant.fpr_upper95 > in_use.variant.fpr_upper95:
        raise TooFewPictures(
            f"{record.sample.queries:,} uploads support no false-positive rate below {record.variant.fpr_upper95:.2g}; "
            f"the record in use stands for {in_use.variant.fpr_upper95:.2g}. Record more of them, or name a file to "
            "write to"
        )


def _banked(catalog: Catalog, space: SpaceId, dim: int) -> Embeddings:
    """Of every bank, evenly: halved whenever it is too much."""
    kept = np.empty((0, dim), np.float32)
    every = 1
    with catalog.everything(space) as everything:
        for part in everything.parts:
            rows: Embeddings = part.payload[0]
            kept = np.concatenate([kept, rows[::every]])
            while len(kept) > _MOST:
                kept, every = kept[::2], 2 * every
    return kept
