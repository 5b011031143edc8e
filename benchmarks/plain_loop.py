"""
The peer of the service: decode, PDQ, embed and search, called one after the other with nothing around them.

Started by service_latency.py. Reads one JSON request a line ({"count": 50} or {"seconds": 5.0}), answers the seconds
that each picture took, as a JSON list.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, cycle
from pathlib import Path

import numpy as np

from index.catalog import Catalog
from index.records.spaces import SpaceId
from index.views.views import Views
from models.embedder import Device
from models.media.image import decode_image
from models.media.types import MediaLimits
from models.openclip import open_embedder, use_threads

K = 5


def main(pictures: Path, catalog_url: str, threads: int) -> None:
    use_threads(threads)
    uploads = [path.read_bytes() for path in sorted(pictures.iterdir())]
    answer = _asker(catalog_url)
    for data in uploads[:8]:
        answer(data)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(list(_timed(answer, uploads, json.loads(line)))), flush=True)


def _asker(catalog_url: str) -> Callable[[bytes], None]:
    embedder = open_embedder("bundled", Device.CPU)
    space = SpaceId(embedder.space.embedder_id)
    views = Views(Catalog.open(catalog_url), {space: embedder.space.dim})
    views.follow()
    limits = MediaLimits()

    def answer(data: bytes) -> None:
        frame = decode_image(data, limits).frames[0]
        prepared = [embedder.prepare(view) for view in embedder.query_views(frame.pixels)]
        views.search(space, embedder.embed(prepared), K, follow=False)
        views.search_pdq(np.frombuffer(frame.pdq, dtype=np.uint8)[None], K, follow=False)

    return answer


def _timed(answer: Callable[[bytes], None], uploads: list[bytes], request: dict[str, float]) -> Iterator[float]:
    until = time.perf_counter() + request.get("seconds", float("inf"))
    for number, data in zip(count(), cycle(uploads)):
        before = time.perf_counter()
        if number >= request.get("count", float("inf")) or before >= until:
            return
        answer(data)
        yield time.perf_counter() - before


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
