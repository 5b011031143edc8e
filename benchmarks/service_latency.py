"""
What the service adds to the work it does: HTTP, the sandbox, queueing, bands and policy.

    python benchmarks/service_latency.py

`/v1/match` of the real server (gunicorn, sandboxed decoding, the bundled model) with JPEGs of about 100 kB, against
the same decoding, PDQ, embedding and searching called in a plain loop (plain_loop.py), over the same catalog of random
embeddings. Both are measured in turn, in short rounds, so that whatever else the machine does falls on both.

One client: the median of the time from sending to having the answer, against the loop's with as many threads as
cores. Several clients: pictures a second, against as many loops of one thread as there are cores, all running at once.
"""

import argparse
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from report import print_heading, print_table, quantile
from serving import Serving, serving

from index.catalog import Catalog
from index.records.banks import Purpose
from index.records.items import ItemKind, NewFrame, NewItem
from index.records.spaces import SpaceId
from models.openclip import open_embedder
from service.demonstration.photographs import known_photographs
from service.settings import cores

HERE = Path(__file__).parent
UPLOADS = 32
JPEG_BYTES = 100_000
CORES = cores()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=60, help="pictures of a round, one client")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a round, several clients")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--banked", type=int, default=10_000, help="items in the bank")
    options = parser.parse_args()
    print_heading("The service against a plain loop", options)

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        uploads = _write_uploads(root / "uploads")
        catalog_url = _fill(root / "data", options.banked)
        loop = stack.enter_context(_loop(root / "uploads", catalog_url, CORES))
        loops = [stack.enter_context(_loop(root / "uploads", catalog_url, 1)) for _ in range(CORES)]
        server = stack.enter_context(serving(root / "data"))
        _warm_up(server, uploads, options.clients)
        _one_client(server, uploads, loop, options)
        _several_clients(server, uploads, loops, options)


def _one_client(server: Serving, uploads: list[bytes], loop: "_Loop", options: argparse.Namespace) -> None:
    theirs: list[float] = []
    ours: list[float] = []
    inside: list[float] = []
    for _ in range(options.rounds):
        theirs += loop.ask(count=options.requests)
        for took_s, timings in _client(server, uploads, options.requests):
            ours.append(took_s)
            inside.append(timings["total"] / 1000)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"One client: the median answer takes {ratio:.2f} times the loop's (wanted: at most 1.25).\n")
    rows = [
        ("plain loop", *_milliseconds(theirs)),
        ("service, at the client", *_milliseconds(ours)),
        ("service, its own `timings_ms.total`", *_milliseconds(inside)),
    ]
    print_table(("", "p50 ms", "p90 ms", "p99 ms"), rows)


def _several_clients(server: Serving, uploads: list[bytes], loops: "list[_Loop]", options: argparse.Namespace) -> None:
    theirs: list[float] = []
    ours: list[float] = []
    waits: list[float] = []
    for _ in range(options.rounds):
        theirs.append(sum(len(took) for took in _at_once(loops, options.seconds)) / options.seconds)
        took = _clients(server, uploads, options.clients, options.seconds)
        ours.append(len(took) / options.seconds)
        waits += took
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"{options.clients} clients: {ratio:.2f} times the pictures/s of {len(loops)} loops (wanted: 0.90 or more).\n"
    )
    rows = [
        (f"{len(loops)} plain loops of one thread", f"{statistics.median(theirs):.1f}", "", "", ""),
        (f"service, {options.clients} clients", f"{statistics.median(ours):.1f}", *_milliseconds(waits)),
    ]
    print_table(("", "pictures/s", "p50 ms", "p90 ms", "p99 ms"), rows)


def _milliseconds(seconds: list[float]) -> tuple[str, str, str]:
    p50, p90, p99 = (f"{1000 * quantile(seconds, share):.1f}" for share in (0.5, 0.9, 0.99))
    return p50, p90, p99


def _write_uploads(folder: Path) -> list[bytes]:
    """Crops of photographs, each a JPEG of about 100 kB."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    photographs = [Image.open(io.BytesIO(one.data)).convert("RGB") for one in known_photographs()]
    uploads = []
    for number in range(UPLOADS):
        photograph = photographs[number % len(photographs)]
        left, top = (float(rng.uniform(0, 0.2)) * side for side in photograph.size)
        box = (left, top, left + 0.8 * photograph.width, top + 0.8 * photograph.height)
        uploads.append(_jpeg(photograph.resize((1024, 768), Image.Resampling.BICUBIC, box=box)))
        (folder / f"{number:02}.jpg").write_bytes(uploads[-1])
    sizes = sorted(map(len, uploads))
    print(f"{len(uploads)} JPEGs of 1024 x 768, {sizes[0] / 1000:.0f} to {sizes[-1] / 1000:.0f} kB\n")
    return uploads


def _jpeg(picture: Image.Image) -> bytes:
    """With the quality whose file comes nearest to the size that is wanted."""
    files = []
    for quality in range(40, 98, 3):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        files.append(buffer.getvalue())
    return min(files, key=lambda data: abs(len(data) - JPEG_BYTES))


def _fill(data_dir: Path, items: int) -> str:
    """A bank of random embeddings and hashes: what is searched, not what is found, is measured."""
    data_dir.mkdir()
    embedder = open_embedder("bundled")
    space, dim = SpaceId(embedder.space.embedder_id), embedder.space.dim
    url = f"sqlite:///{data_dir.absolute() / 'catalog.db'}"
    catalog = Catalog.open(url)
    catalog.register_space(space, dim)
    catalog.put_bank("known", Purpose.HARMFUL)
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((items, dim), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    hashes = rng.integers(0, 256, (items, 32), dtype=np.uint8)
    for start in range(0, items, 1000):
        batch = [
            NewItem(ItemKind.SIGNATURE, [NewFrame(0, hashes[row].tobytes(), 100, {space: rows[row : row + 1]})])
            for row in range(start, min(start + 1000, items))
        ]
        catalog.add_items("known", batch)
    catalog.close()
    return url


class _Loop:
    """A process that runs plain_loop.py."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._requests, self._answers = process.stdin, process.stdout
        self.wait()

    def ask(self, **request: float) -> list[float]:
        self.begin(**request)
        answer: list[float] = json.loads(self.wait())
        return answer

    def begin(self, **request: float) -> None:
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()

    def wait(self) -> str:
        return self._answers.readline()


@contextmanager
def _loop(uploads: Path, catalog_url: str, threads: int) -> Iterator[_Loop]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    process = subprocess.Popen(
        [sys.executable, str(HERE / "plain_loop.py"), str(uploads), catalog_url, str(threads)],
        cwd=HERE.parent,
        env={**environment, "PYTHONPATH": str(HERE.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield _Loop(process)
    finally:
        process.terminate()
        process.wait()


def _at_once(loops: list[_Loop], seconds: float) -> list[list[float]]:
    for loop in loops:
        loop.begin(seconds=seconds)
    return [json.loads(loop.wait()) for loop in loops]


def _client(
    server: Serving, uploads: list[bytes], requests: int, until: float = float("inf"), first: int = 0
) -> Iterator[tuple[float, dict[str, float]]]:
    """One client with one connection: the seconds of each answer, and the service's own timings."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    headers = {"Content-Type": "image/jpeg"}
    try:
        for number in range(first, first + requests):
            before = time.perf_counter()
            if before >= until:
                return
            connection.request("POST", "/v1/match", body=uploads[number % len(uploads)], headers=headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            took_s = time.perf_counter() - before
            if response.status != http.client.OK:
                raise SystemExit(f"The service answered {response.status}: {answer}")
            yield took_s, answer["timings_ms"]
    finally:
        connection.close()


def _clients(server: Serving, uploads: list[bytes], clients: int, seconds: float) -> list[float]:
    took: list[float] = []
    until = time.perf_counter() + seconds

    def run(first: int) -> None:
        took.extend(took_s for took_s, _ in _client(server, uploads, sys.maxsize, until, first))

    threads = [threading.Thread(target=run, args=(7 * number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def _warm_up(server: Serving, uploads: list[bytes], clients: int) -> None:
    _clients(server, uploads, clients, 2.0)


if __name__ == "__main__":
    main()
