"""
What decoding and hashing an upload costs in this process and in a child, side by side in the same rounds.

Run with OPENBLAS_NUM_THREADS=1, as the children are: else this process's matrix products spread over all cores.
"""

import argparse
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image
from report import print_heading, print_table, quantile

from models.media.image import decode_image
from models.media.sandbox import Decoder
from models.media.types import MediaLimits

MS = 1000
SIZES = ((512, 384), (1024, 768), (4000, 3000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=100_000, help="about what each JPEG weighs")
    parser.add_argument("--repeats", type=int, default=60)
    options = parser.parse_args()
    print_heading("Decoding and hashing a JPEG", options)
    limits = MediaLimits()
    decoder = Decoder(limits, processes=1)
    rows = []
    for width, height in SIZES:
        data = jpeg(width, height, options.bytes)
        decoder.decode(data)
        here, child = [], []
        for _ in range(options.repeats):
            here.append(seconds(lambda data=data: decode_image(data, limits)))
            child.append(seconds(lambda data=data: decoder.decode(data)))
        middle = [quantile(times, 0.5) * MS for times in (here, child)]
        rows.append(
            (
                f"{width}x{height}, {len(data) // 1000} kB",
                f"{middle[1] / middle[0]:.2f}",
                *(f"{value:.2f}" for value in (middle[0], min(here) * MS, middle[1], min(child) * MS)),
            )
        )
    print_table(("picture", "child / here", "here ms", "least", "child ms", "least"), rows)
    decoder.close()


def jpeg(width: int, height: int, wanted_bytes: int) -> bytes:
    """A photograph-like JPEG of about that many bytes: the best quality that fits."""
    dice = np.random.default_rng(0)
    canvas = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((4, 70.0), (16, 40.0), (64, 20.0), (256, 10.0)):
        coarse = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        canvas += (
            strength / 128 * (np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) - np.float32(128))
        )
    picture = Image.fromarray((canvas + 128).clip(0, 255).astype(np.uint8))
    for quality in range(97, 4, -4):
        buffer = BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= wanted_bytes:
            break
    return buffer.getvalue()


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
