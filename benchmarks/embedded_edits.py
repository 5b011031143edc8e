"""
Embeds pictures and edited copies of them, for benchmarks that should not be run on random rows.

Writes one .npz: `bank` (the pictures as they are), `queries` (the view of each edited copy that is nearest its
original, which is the one that finds it) and `owners` (the row in `bank` that each query is a copy of).
"""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from index.records.rows import Embeddings
from models.embedder import Device, Embedder
from models.evaluation.edits.registry import SINGLE, edited
from models.evaluation.pictures import LIMITS, SUFFIXES, looked_at
from models.media.image import decode_image
from models.media.types import Frame
from models.openclip import BUNDLED, open_embedder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asked", type=Path, nargs="+", required=True, help="folders of pictures asked about")
    parser.add_argument("--banked", type=Path, nargs="*", default=[], help="folders of pictures only banked")
    parser.add_argument("--edits", type=int, default=2, help="edited copies of each picture asked about")
    parser.add_argument("--model", default=BUNDLED)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    embedder = open_embedder(options.model, Device.CPU)
    bank: list[Embeddings] = []
    queries: list[Embeddings] = []
    owners: list[int] = []
    asked, banked = (_pictures(folders) for folders in (options.asked, options.banked))
    began = time.monotonic()
    for place, path in enumerate([*asked, *banked]):
        picture = Image.fromarray(decode_image(path.read_bytes(), LIMITS).frames[0].pixels)
        own = _rows(embedder, embedder.reference_views(np.asarray(picture)))
        row = sum(map(len, bank))
        bank.append(own)
        for edit in random.Random(path.name).sample(SINGLE, options.edits) if place < len(asked) else []:
            copy = looked_at(edited(edit, picture, path.name, lambda dice: _opened(dice.choice(asked)))).pixels
            views = _rows(embedder, embedder.query_views(copy))
            queries.append(views[[int(np.argmax((views @ own.T).max(axis=1)))]])
            owners.append(row)
        if place % 500 == 0:
            print(f"{place} of {len(asked) + len(banked)} pictures, {time.monotonic() - began:.0f} s", flush=True)
    np.savez(options.out, bank=np.concatenate(bank), queries=np.concatenate(queries), owners=np.array(owners))


def _pictures(folders: Sequence[Path]) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _opened(path: Path) -> Image.Image:
    return Image.fromarray(decode_image(path.read_bytes(), LIMITS).frames[0].pixels)


def _rows(embedder: Embedder, views: Sequence[Frame]) -> Embeddings:
    return embedder.embed([embedder.prepare(view) for view in views])


if __name__ == "__main__":
    main()
