"""
What a picture costs: the bundled descriptor beside ViT-B-32 (random weights, which cost the same), in the same rounds.

The picture tower alone, prepared pictures in, rows out; then the whole of a query with the views that the space names.
"""

import argparse
import time

import numpy as np
import open_clip
import torch
from report import print_heading, print_table, quantile

from models.embedder import Device
from models.openclip import BUNDLED, open_embedder
from models.tower import Tower

PEER = "ViT-B-32"
MS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BUNDLED)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print_heading("What a picture costs", options)
    ours = open_embedder(options.model, Device.CPU)
    peer = open_clip.create_model(PEER, pretrained=None).eval()
    tower = Tower(_PictureTower(peer))
    frame = np.random.default_rng(0).integers(0, 256, (384, 512, 3), dtype=np.uint8)
    prepared = ours.prepare(frame)
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for batch in options.batch:
            mine, theirs = _timed(
                [
                    lambda batch=batch: ours.embed([prepared] * batch),
                    lambda batch=batch: tower.rows(torch.zeros(batch, 3, 224, 224)),
                ],
                options.repeats if batch == 1 else max(3, options.repeats // 3),
            )
            per = [quantile(times, 0.5) * MS / batch for times in (mine, theirs)]
            rows.append([f"{threads}", f"{batch}", f"{per[1] / per[0]:.1f}", f"{per[0]:.2f}", f"{per[1]:.1f}"])
    print_table(["threads", "batch", "times cheaper", f"{options.model} ms", f"{PEER} ms"], rows)
    torch.set_num_threads(1)
    views = ours.query_views(frame)
    (whole,) = _timed([lambda: ours.embed([ours.prepare(view) for view in ours.query_views(frame)])], options.repeats)
    print(f"\nA query: {len(views)} views, prepared and embedded, one thread: {quantile(whole, 0.5) * MS:.1f} ms")


class _PictureTower(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self._model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self._model.encode_image(pixels)  # type: ignore[operator]
        return rows


def _timed(calls: list, repeats: int) -> list[list[float]]:
    """Seconds of each call, in turns, after one round that does not count."""
    spent: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for place, call in enumerate(calls):
            started = time.perf_counter()
            call()
            if turn:
                spent[place].append(time.perf_counter() - started)
    return spent


if __name__ == "__main__":
    main()
