"""How much a key may ask: over time, over workers, and whoever else asks."""

import errno
import io
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from index.records.keys import Allowance, NewKey, Role, Scope
from service.app import create_app
from service.keys.budgets import Budget, Budgets
from service.keys.keyring import make_key
from service.runtime import Runtime

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOON = 20_779 * DAY + DAY // 2


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budgets(tmp_path: Path, clock: Clock) -> Iterator[Budgets]:
    budgets = Budgets(tmp_path / "budgets", clock)
    yield budgets
    budgets.close()


def test_a_burst_is_allowed_and_then_the_rate(budgets: Budgets, clock: Clock) -> None:
    budget = Budget(rate_per_s=2, queries_per_day=0)
    assert [budgets.take(1, budget).wait_s for _ in range(21)] == [0] * 20 + [1]
    clock.now += SECOND // 2
    assert [budgets.take(1, budget).wait_s for _ in range(2)] == [0, 1]
    clock.now += 10 * SECOND
    assert [budgets.take(1, budget).wait_s for _ in range(21)] == [0] * 20 + [1]


def test_a_slow_rate_lets_one_in_and_says_how_long_to_wait(budgets: Budgets, clock: Clock) -> None:
    budget = Budget(rate_per_s=0.01, queries_per_day=0)
    assert [budgets.take(1, budget).wait_s for _ in range(2)] == [0, 100]
    clock.now += 99 * SECOND
    assert budgets.take(1, budget).wait_s == 1
    clock.now += SECOND
    assert budgets.take(1, budget).wait_s == 0


def test_what_is_refused_is_not_counted(budgets: Budgets) -> None:
    budget = Budget(rate_per_s=0, queries_per_day=10)
    assert budgets.take(1, budget, queries=8).wait_s == 0
    refused = budgets.take(1, budget, queries=3)
    assert refused.wait_s == DAY // 2 // SECOND
    assert refused.limits[0].remaining == 2
    assert budgets.take(1, budget, queries=2).limits[0].remaining == 0


def test_both_limits_hold_or_nothing_is_taken(budgets: Budgets) -> None:
    budget = Budget(rate_per_s=1, queries_per_day=1)
    assert budgets.take(1, budget, queries=1).wait_s == 0
    refused = budgets.take(1, budget, queries=1)
    assert [(limit.name, limit.remaining) for limit in refused.limits] == [("requests", 9), ("queries", 0)]


def test_a_new_day_begins_at_midnight_in_utc(budgets: Budgets, clock: Clock) -> None:
    budget = Budget(rate_per_s=0, queries_per_day=1)
    assert [budgets.take(1, budget, queries=1).wait_s for _ in range(2)] == [0, 43_200]
    clock.now += DAY // 2
    assert budgets.take(1, budget, queries=1).wait_s == 0


def test_one_key_has_its_own_budget_whatever_the_others_do(budgets: Budgets) -> None:
    budget = Budget(rate_per_s=1, queries_per_day=5)
    for number in (1, 3):
        while budgets.take(number, budget, queries=1).wait_s == 0:
            pass
    standing = budgets.take(2, budget, queries=1)
    assert (standing.wait_s, [limit.remaining for limit in standing.limits]) == (0, [9, 4])


def test_without_limits_nothing_is_counted(budgets: Budgets, tmp_path: Path) -> None:
    assert budgets.take(1, Budget(0, 0)).limits == ()
    assert not (tmp_path / "budgets").exists()


def test_a_clock_that_was_set_back_shuts_nobody_out(budgets: Budgets, clock: Clock) -> None:
    budget = Budget(rate_per_s=1, queries_per_day=0)
    clock.now += 30 * DAY
    for _ in range(10):
        budgets.take(1, budget)
    clock.now -= 30 * DAY
    assert budgets.take(1, budget).wait_s == 1
    clock.now += SECOND
    assert budgets.take(1, budget).wait_s == 0


@pytest.mark.parametrize("content", [b"", b"\xff" * 4096, b"x" * 40, b"\x80" * 64])
def test_whatever_the_file_holds_it_ends_by_itself(tmp_path: Path, clock: Clock, content: bytes) -> None:
    (tmp_path / "budgets").write_bytes(content)
    budgets = Budgets(tmp_path / "budgets", clock)
    budget = Budget(rate_per_s=1, queries_per_day=3)
    budgets.take(1, budget, queries=1)
    clock.now += 2 * DAY
    assert budgets.take(1, budget, queries=1).wait_s == 0
    budgets.close()


def test_a_count_is_kept_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    for remaining in (2, 1, 0):
        budgets = Budgets(tmp_path / "budgets", clock)
        assert budgets.take(7, Budget(0, 3), queries=1).limits[0].remaining == remaining
        budgets.close()


def test_where_nothing_can_be_written_a_worker_counts_for_itself(tmp_path: Path, clock: Clock) -> None:
    budgets = Budgets(tmp_path / "missing" / "budgets", clock)
    assert [budgets.take(1, Budget(0, 2), queries=1).wait_s > 0 for _ in range(3)] == [False, False, True]


def test_a_full_disk_gives_nobody_a_spent_budget_again(
    budgets: Budgets, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(rate_per_s=1, queries_per_day=3)
    assert [budgets.take(1, budget, queries=1).wait_s > 0 for _ in range(3)] == [False, False, False]

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    refused = budgets.take(1, budget, queries=1)
    assert (refused.wait_s, [limit.remaining for limit in refused.limits]) == (43_200, [7, 0])
    assert [budgets.take(2, budget, queries=1).wait_s > 0 for _ in range(4)] == [False, False, False, True]
    clock.now += DAY
    assert budgets.take(1, budget, queries=1).wait_s == 0


@pytest.mark.parametrize("rate", [1e-9, 1e-10, 1e-300, 5e-324])
def test_a_rate_however_slow_lets_one_in(budgets: Budgets, clock: Clock, rate: float) -> None:
    """Else a typing error in one setting would shut everybody out, those who could mend it among them."""
    budget = Budget(rate_per_s=rate, queries_per_day=0)
    standings = [budgets.take(1, budget) for _ in range(2)]
    assert [standing.wait_s for standing in standings] == [0, 365 * 86_400]
    assert standings[0].limits[0].window_s == 365 * 86_400
    clock.now += 365 * DAY
    assert budgets.take(1, budget).wait_s == 0


def test_a_count_that_nobody_can_have_harms_nobody(tmp_path: Path, clock: Clock) -> None:
    today = NOON // DAY
    (tmp_path / "budgets").write_bytes(struct.pack("<qqq8x", 2**63 - 1, today, 2**63 - 1) * 2)
    budgets = Budgets(tmp_path / "budgets", clock)
    assert budgets.take(1, Budget(rate_per_s=1, queries_per_day=0), queries=1).wait_s == 1
    clock.now += SECOND
    assert budgets.take(1, Budget(rate_per_s=1, queries_per_day=0), queries=1).wait_s == 0
    budgets.close()


TAKE = """
import sys
from pathlib import Path
from service.keys.budgets import Budget, Budgets
budgets = Budgets(Path(sys.argv[1]), lambda: int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
print(sum(budgets.take(1, Budget(0, 1000), queries=1).wait_s == 0 for _ in range(700)))
"""


def test_several_processes_share_one_budget_exactly(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, str(tmp_path / "budgets"), str(NOON)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    taken = [int(worker.communicate("go\n", timeout=60)[0]) for worker in workers]
    assert sum(taken) == 1000


def test_several_threads_share_one_budget_exactly(budgets: Budgets) -> None:
    taken: list[int] = []

    def take() -> None:
        taken.append(sum(budgets.take(1, Budget(0, 300), queries=1).wait_s == 0 for _ in range(200)))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 300


Jpeg = Callable[[int], bytes]


@pytest.fixture
def key(service: Runtime) -> Callable[..., dict[str, str]]:
    """What the holder of a new key sends."""

    def made(participant: str, rate: float | None = None, queries: int | None = None) -> dict[str, str]:
        text, secret = make_key()
        new = NewKey(participant, Role.PLATFORM, frozenset(Scope), allowance=Allowance(rate, queries))
        service.catalog.keys.create(new, secret)
        return {"Authorization": f"Bearer {text}"}

    return made


def test_a_platform_that_floods_spends_its_own_budget_in_every_worker(
    open_service: Callable[..., Runtime], service: Runtime, key: Callable[..., dict[str, str]]
) -> None:
    clients = [create_app(service).test_client(), create_app(open_service()).test_client()]
    flooding, quiet = key("flooding", rate=0.5), key("quiet", rate=0.5)
    statuses = [clients[turn % 2].get("/v1/banks", headers=flooding).status_code for turn in range(12)]
    assert statuses == [200] * 5 + [429] * 7
    refused = clients[0].get("/v1/banks", headers=flooding)
    assert refused.json["type"] == "/problems/budget-spent"
    assert 1 <= int(refused.headers["Retry-After"]) <= 2
    assert refused.headers["RateLimit"] == '"requests";r=0;t=10'
    assert [client.get("/v1/banks", headers=quiet).status_code for client in clients] == [200, 200]


def test_a_refusal_costs_no_decoding_and_is_counted(
    client: FlaskClient, key: Callable[..., dict[str, str]], jpeg: Jpeg
) -> None:
    spent = key("spent", queries=1)
    ask: dict[str, Any] = {"data": jpeg(1), "content_type": "image/jpeg", "headers": spent}
    assert [client.post("/v1/match", **ask).status_code for _ in range(3)] == [200, 429, 429]
    figures = client.get("/metrics", headers=key("watching")).text
    assert 'afterimage_refused_total{why="budget-spent"} 2.0' in figures
    assert 'afterimage_stage_seconds_count{stage="decode"} 1.0' in figures


def test_every_file_of_a_batch_is_a_query(client: FlaskClient, key: Callable[..., dict[str, str]], jpeg: Jpeg) -> None:
    def batch(files: int, headers: dict[str, str]) -> Any:
        parts = [(io.BytesIO(jpeg(1)), f"{number}.jpg") for number in range(files)]
        return client.post("/v1/match/batch", data={"media": parts}, headers=headers)

    some = key("some", queries=5)
    answer = batch(3, some)
    assert answer.status_code == 200
    assert '"queries";r=2' in answer.headers["RateLimit"]
    refused = batch(3, some)
    assert refused.status_code == 429
    assert '"queries";r=1' in refused.headers["RateLimit"]  # the first is counted at the door


@pytest.mark.parametrize(("rows", "queries"), [(1, 1), (8, 1), (9, 2), (256, 32)])
def test_many_rows_are_many_queries(
    client: FlaskClient, key: Callable[..., dict[str, str]], rows: int, queries: int
) -> None:
    body = {"pdq": ["0" * 64] * rows}
    answer = client.post("/v1/match/embeddings", json=body, headers=key("some", queries=100))
    assert f'"queries";r={100 - queries};' in answer.headers["RateLimit"]


def test_one_key_cannot_take_every_place(service: Runtime, key: Callable[..., dict[str, str]], jpeg: Jpeg) -> None:
    """Two places here: a key has one of them, so that its neighbour finds the other."""
    entered, leave = threading.Semaphore(0), threading.Event()
    match = service.matcher.match

    def slow(data: bytes, options: Any) -> Any:
        entered.release()
        leave.wait(10)
        return match(data, options)

    service.matcher.match = slow  # type: ignore[method-assign]
    app = create_app(service)
    greedy, neighbour = key("greedy"), key("neighbour")
    answers: list[int] = []

    def ask(headers: dict[str, str]) -> None:
        given = {"data": jpeg(1), "content_type": "image/jpeg", "headers": headers}
        answers.append(app.test_client().post("/v1/match", **given).status_code)

    callers = [threading.Thread(target=ask, args=(greedy,))]
    callers[0].start()
    assert entered.acquire(timeout=10)
    refused = app.test_client().post("/v1/match", data=jpeg(1), content_type="image/jpeg", headers=greedy)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    callers.append(threading.Thread(target=ask, args=(neighbour,)))
    callers[1].start()
    assert entered.acquire(timeout=10)
    leave.set()
    for caller in callers:
        caller.join()
    assert answers == [200, 200]
    assert app.test_client().get("/v1/banks", headers=greedy).status_code == 200
