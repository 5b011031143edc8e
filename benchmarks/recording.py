"""
What `record=true` costs a match: the same uploads to the same service, recorded and not, in turns.

Recording is durable before it is answered, and the duties link what is recorded beside the requests, in the same
process. The uploads repeat, so that each looks like many before it: more edges than ordinary traffic has.
"""

import argparse
import http.client
import io
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image
from report import print_heading, print_table, quantile
from serving import Serving, serving

from service.demonstration.photographs import known_photographs

UPLOADS = 32
WANTED = 0.20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=60, help="of each kind, a round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    print_heading("Recording uploads", options)
    uploads = _uploads()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data") as server:
        _ask(server, uploads, recorded=True)
        for clients in options.clients:
            _measure(server, uploads, clients, options)


def _measure(server: Serving, uploads: list[bytes], clients: int, options: argparse.Namespace) -> None:
    plain: list[float] = []
    recorded: list[float] = []
    for _ in range(options.rounds):
        plain += _asked(server, uploads, clients, options.requests, recorded=False)
        recorded += _asked(server, uploads, clients, options.requests, recorded=True)
    more = statistics.median(recorded) / statistics.median(plain) - 1
    print(f"{clients} client(s): the median answer takes {more:+.1%} (wanted: at most {WANTED:+.0%}).\n")
    rows = [("not recorded", *_milliseconds(plain)), ("recorded", *_milliseconds(recorded))]
    print_table(("", "p50 ms", "p90 ms", "p99 ms"), rows)


def _asked(server: Serving, uploads: list[bytes], clients: int, requests: int, *, recorded: bool) -> list[float]:
    """How long each of so many answers took, over several connections at once."""
    took: list[float] = []

    def ask(first: int) -> None:
        mine = [uploads[(first + number * clients) % len(uploads)] for number in range(requests // clients)]
        took.extend(_ask(server, mine, recorded=recorded))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def _ask(server: Serving, uploads: list[bytes], *, recorded: bool) -> list[float]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    path = f"/v1/match?platform=alpha&record={'true' if recorded else 'false'}"
    took = []
    for upload in uploads:
        began = time.perf_counter()
        connection.request("POST", path, upload, {"Content-Type": "image/jpeg"})
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        took.append(time.perf_counter() - began)
        assert reply.status == http.client.OK, answer
        assert (answer["sighting_id"] is not None) == recorded
    connection.close()
    return took


def _uploads() -> list[bytes]:
    """Crops of photographs."""
    photographs = [Image.open(io.BytesIO(one.data)).convert("RGB") for one in known_photographs()]
    uploads = []
    for number in range(UPLOADS):
        photograph = photographs[number % len(photographs)]
        share = 0.02 * (number // len(photographs))
        box = (share * photograph.width, share * photograph.height, photograph.width, photograph.height)
        buffer = io.BytesIO()
        photograph.resize((1024, 768), Image.Resampling.BICUBIC, box=box).save(buffer, "JPEG", quality=80)
        uploads.append(buffer.getvalue())
    return uploads


def _milliseconds(seconds: list[float]) -> tuple[str, str, str]:
    p50, p90, p99 = (f"{1000 * quantile(seconds, share):.1f}" for share in (0.5, 0.9, 0.99))
    return p50, p90, p99


if __name__ == "__main__":
    main()
