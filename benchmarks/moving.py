"""
Moving to another model while the service answers: what clients see of it.

    python benchmarks/moving.py

A service of two workers with a bank of generated pictures is asked about re-encoded ones all the time, while a second
model with embeddings of another length is built, watched in shadow, promoted, rolled back, promoted again, and the
first one dropped; pictures are banked and removed meanwhile. Every answer is held against what was acknowledged before
it was asked for: its status, the space it comes from, what was banked, what was removed. Then the times of the answers
around each decision are compared with those before.

The second model is the bundled one behind a random projection to half its length: hardly worse, and another space.
"""

import argparse
import http.client
import io
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from report import print_heading, print_table, quantile
from safetensors.torch import load_file, save_file
from serving import Serving, serving

from models.openclip import BUNDLED_FOLDER, CONFIG_FILE, WEIGHTS_FILES, open_embedder
from models.training.dice import Dice
from models.training.generator import generate

BANK = "known"
SIDE = 256
AROUND_S = 3.0
"""Answers that ended within this time of a decision are counted as its."""
PATIENCE_S = 300.0


@dataclass
class Ledger:
    """What was acknowledged, and what every answer said; times are `time.perf_counter()` instants."""

    flips: list[tuple[int, str]] = field(default_factory=list)
    """From which version on which space answers."""
    decisions: list[tuple[str, float, float]] = field(default_factory=list)
    """What, when it was asked for, when it was acknowledged."""
    removed: dict[str, tuple[int, float]] = field(default_factory=dict)
    answers: list[tuple[float, float]] = field(default_factory=list)
    """When each was asked for, and when it came."""
    wrong: list[str] = field(default_factory=list)
    banked: int = 0

    def space_at(self, version: int) -> str:
        return [space for since, space in self.flips if since <= version][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400, help="in the bank at the start")
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--pause-ms", type=float, default=60.0, help="of a client between two questions")
    parser.add_argument("--steady-s", type=float, default=15.0, help="between two decisions")
    parser.add_argument("--flips", type=int, default=8, help="promotions, each taken back; then one that stays")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print_heading("Moving to another model under load", options)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = _second_model(root / "models" / "second")
        pictures = _pictures(options.pictures + 64)
        flags = ("--workers", str(options.workers), "--ingest-roots", str(root / "models"), "--torch-threads", "1")
        with serving(root / "data", *flags) as server:
            _run(server, model, pictures, options)


def _run(server: Serving, model: str, pictures: list[bytes], options: argparse.Namespace) -> None:
    ask = _Asked(server)
    ask("PUT", f"/v1/banks/{BANK}", {"purpose": "harmful"})
    known = _banked(ask, pictures[: options.pictures])
    late = pictures[options.pictures :]
    old = next(space["embedder_id"] for space in ask("GET", "/v1/spaces")["items"])
    ledger = Ledger(flips=[(0, old)])
    with _load(server, known, late, ledger, options):
        time.sleep(options.steady_s)
        new = _build(ask, ledger, model)
        time.sleep(options.steady_s)
        report = ask("GET", f"/v1/spaces/{new}")
        for _ in range(options.flips):
            for what, space in (("promote", new), ("rollback", old)):
                _decide(ask, ledger, what, new, space)
                time.sleep(AROUND_S)
        _decide(ask, ledger, "promote", new, new)
        time.sleep(options.steady_s)
        _drop(ask, ledger, old)
        time.sleep(options.steady_s)
    left = ask("GET", f"/v1/spaces/{new}")["items"]
    _tell(ledger, options, report, left)


def _banked(ask: "_Asked", pictures: list[bytes]) -> list[tuple[bytes, str]]:
    """Those with enough to see in them, and their items."""
    banked = []
    for data in pictures:
        with suppress(Refused):
            banked.append((data, str(ask("POST", f"/v1/banks/{BANK}/items", data)["item_id"])))
    return banked


def _build(ask: "_Asked", ledger: Ledger, model: str) -> str:
    began = time.perf_counter()
    job = ask("POST", "/v1/jobs", {"kind": "reindex", "options": {"model": model}})
    state = _until(lambda: _ended(ask, job["job_id"]))
    ledger.decisions.append(("building", began, time.perf_counter()))
    assert state["state"] == "succeeded", state
    print(f"Built in {time.perf_counter() - began:.1f} s: {json.dumps(state['result']['items'])}\n", flush=True)
    return str(state["result"]["space"])


def _decide(ask: "_Asked", ledger: Ledger, what: str, space: str, answering: str) -> None:
    def moved() -> dict[str, Any] | None:
        try:
            began = time.perf_counter()
            told = ask("POST", f"/v1/spaces/{space}/{what}")
        except Refused as refusal:
            if refusal.kind != "space-not-open":
                raise
            return None
        ledger.flips.append((told["index_version"], answering))
        ledger.decisions.append((what, began, time.perf_counter()))
        return told

    _until(moved)


def _drop(ask: "_Asked", ledger: Ledger, space: str) -> None:
    began = time.perf_counter()
    job_id = ask("DELETE", f"/v1/spaces/{space}")["job_id"]
    state = _until(lambda: _ended(ask, job_id))
    ledger.decisions.append(("drop", began, time.perf_counter()))
    assert state["state"] == "succeeded", state


def _ended(ask: "_Asked", job_id: str) -> dict[str, Any] | None:
    state = ask("GET", f"/v1/jobs/{job_id}")
    return state if state["state"] in {"succeeded", "failed", "cancelled"} else None


def _until(look: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    until = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < until:
        found = look()
        if found is not None:
            return found
        time.sleep(0.1)
    raise SystemExit("It took too long.")


@contextmanager
def _load(
    server: Serving, known: list[tuple[bytes, str]], late: list[bytes], ledger: Ledger, options: argparse.Namespace
) -> Iterator[None]:
    """Clients that match, and one that banks and removes."""
    over = threading.Event()
    threads = [
        threading.Thread(target=_match, args=(server, known, ledger, over, (number, options.pause_ms / 1000)))
        for number in range(options.clients)
    ]
    threads.append(threading.Thread(target=_bank, args=(server, late, ledger, over)))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _match(
    server: Serving,
    known: list[tuple[bytes, str]],
    ledger: Ledger,
    over: threading.Event,
    turn: tuple[int, float],
) -> None:
    ask, (number, pause_s) = _Asked(server), turn
    rng = np.random.default_rng(number)
    while not over.wait(pause_s):
        place = int(rng.integers(len(known)))
        data, item_id = known[place]
        upload = _reencoded(data)
        acknowledged = len(ledger.flips)
        gone = dict(ledger.removed)
        asked_at = time.perf_counter()
        try:
            answer = ask("POST", "/v1/match", upload)
        except (Refused, OSError) as error:
            ledger.wrong.append(f"failed: {error!r}")
            continue
        ledger.answers.append((asked_at, time.perf_counter()))
        _check(answer, item_id, ledger, ledger.flips[:acknowledged], gone)


def _check(
    answer: dict[str, Any], item_id: str, ledger: Ledger, acknowledged: list[tuple[int, str]], gone: dict[str, Any]
) -> None:
    version, space = answer["index_version"], answer["embedder_id"]
    if version < acknowledged[-1][0]:
        ledger.wrong.append(f"at {version}, after {acknowledged[-1][0]} was acknowledged")
    if space != ledger.space_at(version):
        time.sleep(1.0)  # a decision is in effect before its caller knows of it, and then in the ledger
    if space != ledger.space_at(version):
        ledger.wrong.append(f"from {space} at {version}, where {ledger.space_at(version)} answers")
    found = [match["item_id"] for match in answer["matches"]]
    if item_id not in found[:1]:
        ledger.wrong.append(f"the item was not the best match at {version} in {space}")
    ledger.wrong.extend(f"{each} was removed at {gone[each][0]}, found at {version}" for each in found if each in gone)
    wrong_evidence = {match["semantic"]["embedder_id"] for match in answer["matches"] if match["semantic"]} - {space}
    if wrong_evidence:
        ledger.wrong.append(f"evidence of {wrong_evidence} in an answer of {space}")


def _bank(server: Serving, late: list[bytes], ledger: Ledger, over: threading.Event) -> None:
    """Banks a picture, finds it, removes it, finds it no more; again and again."""
    ask = _Asked(server)
    turn = 0
    while not over.wait(0.3):
        data = late[turn % len(late)]
        turn += 1
        try:
            added = ask("POST", f"/v1/banks/{BANK}/items", data)
            answer = ask("POST", f"/v1/match?min_index_version={added['index_version']}", _reencoded(data))
            if added["item_id"] not in [match["item_id"] for match in answer["matches"]]:
                ledger.wrong.append("what was banked is not found")
            gone = ask("DELETE", f"/v1/banks/{BANK}/items/{added['item_id']}")
            ledger.removed[added["item_id"]] = (gone["index_version"], time.perf_counter())
            ledger.banked += 1
        except (Refused, OSError) as error:
            if getattr(error, "kind", "") != "low-information":
                ledger.wrong.append(f"failed: {error!r}")


def _tell(ledger: Ledger, options: argparse.Namespace, report: dict[str, Any], left: dict[str, int]) -> None:
    begun = ledger.answers[0][0]
    building = next(began for what, began, _ in ledger.decisions if what == "building")
    before = [done - asked for asked, done in ledger.answers if asked >= begun + 2 and done < building]
    rows: list[tuple[str, ...]] = [("before", str(len(before)), *_milliseconds(before), "1.00")]
    for what in ("building", "promote", "rollback", "drop"):
        spans = [(began, max(ended, began + AROUND_S)) for each, began, ended in ledger.decisions if each == what]
        around = [
            done - asked
            for asked, done in ledger.answers
            if any(done >= began and asked <= end for began, end in spans)
        ]
        ratio = quantile(around, 0.99) / quantile(before, 0.99)
        rows.append((what, str(len(around)), *_milliseconds(around), f"{ratio:.2f}"))
    print(
        f"{len(ledger.answers)} answers to {options.clients} clients, {ledger.banked} pictures banked and removed: "
        f"{len(ledger.wrong)} failed or wrong (wanted: none).\n"
    )
    for sentence in ledger.wrong[:20]:
        print(f"- {sentence}")
    for what in ("promote", "rollback"):
        took = [ended - began for each, began, ended in ledger.decisions if each == what]
        print(f"{len(took)} times {what}: acknowledged after {1000 * quantile(took, 0.5):.0f} ms at the median.")
    print(f"Left in the old space alone at the end: {left['lacking'] + left['without_original']} items.")
    compared = sum(each["uploads"] for each in report["agreement"])
    agreed = sum(each["uploads"] for each in report["agreement"] if each["band"] == each["shadow_band"])
    print(f"In shadow {compared} uploads were compared; {agreed} had the same band.\n")
    print_table(("", "answers", "p50 ms", "p99 ms", "p99 over before"), rows)
    if ledger.wrong:
        raise SystemExit(1)


def _milliseconds(seconds: list[float]) -> tuple[str, str]:
    return f"{1000 * quantile(seconds, 0.5):.1f}", f"{1000 * quantile(seconds, 0.99):.1f}"


class Refused(Exception):
    """The service said no."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.kind = str(problem.get("type", "")).rsplit("/", 1)[-1]
        super().__init__(f"{status} {self.kind}: {problem.get('detail')}")


class _Asked:
    """One connection to the service."""

    def __init__(self, server: Serving) -> None:
        self._connection = http.client.HTTPConnection(server.host, server.port, timeout=60)

    def __call__(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {"Content-Type": "application/json" if isinstance(body, dict) else "image/jpeg"} if body else {}
        try:
            self._connection.request(method, path, body=data, headers=headers)
            response = self._connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if response.status >= http.client.BAD_REQUEST:
            raise Refused(response.status, answer)
        return answer


def _second_model(folder: Path) -> str:
    """The bundled model behind a random projection to half its length, as a folder."""
    folder.mkdir(parents=True)
    config = json.loads((BUNDLED_FOLDER / CONFIG_FILE).read_text())
    whole = config["model_cfg"]["embed_dim"]
    config["model_cfg"]["embed_dim"] = whole // 2
    config["model_cfg"]["vision_cfg"]["timm_proj"] = "linear"
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    shutil.copy(BUNDLED_FOLDER / "views.json", folder / "views.json")
    weights = load_file(str(BUNDLED_FOLDER / WEIGHTS_FILES[0]))
    turned, _ = torch.linalg.qr(torch.randn(whole, whole, generator=torch.Generator().manual_seed(0)))
    visual = {key: value for key, value in weights.items() if key.startswith("visual.")}
    save_file({**visual, "visual.head.proj.weight": turned[: whole // 2].contiguous()}, str(folder / WEIGHTS_FILES[0]))
    model = f"local-dir:{folder}"
    space = open_embedder(model).space
    print(f"The second model: {space.embedder_id}, {space.dim} numbers instead of {whole}\n", flush=True)
    return model


def _pictures(count: int) -> list[bytes]:
    drawn = generate(Dice(0, torch.device("cpu")), max(16, count), SIDE)
    arrays = (drawn.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    return [_jpeg(Image.fromarray(array), 92) for array in arrays[:count]]


def _reencoded(data: bytes) -> bytes:
    """An upload that PDQ alone would find too; that the item is found is not the point here."""
    picture = Image.open(io.BytesIO(data))
    return _jpeg(picture.resize((200, 200), Image.Resampling.BICUBIC), 70)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
