"""
What the variants of a large incident cost: finding them as they come, and listing them.

    python benchmarks/variants.py                         # 100,000 sightings in one incident, in SQLite
    python benchmarks/variants.py --catalog postgresql+psycopg://…/empty

Listed are clusters whose sizes fall as one over their rank, and sightings by themselves, as the catalog keeps them
after clustering; one in ten uploads was caught by nothing. The peer, in the same run, is fetching one row for each
sighting of the incident and counting them here, which is what listing without kept counts would do at least.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from report import print_heading, print_table, quantile
from sqlalchemy import Connection, insert, select, text

from index.catalog import Catalog
from index.catalog.clusters import writing as cluster_writing
from index.catalog.duties import Step
from index.catalog.incident_tables import sighting_matches, sightings
from index.catalog.incidents.tallies import Tallied
from index.catalog.tables import log_head
from index.clusters.clustering import clustered
from index.clusters.graph import Anchored, Link, Look, Rules
from index.clusters.records import Cluster, Clustered, Placed, Seen
from index.records.banks import Purpose
from index.records.incidents import Incident, NewIncident
from index.records.sightings import EdgeRows, NewSighting, SightedFrame
from index.records.spaces import SpaceId
from service.keys.viewer import Viewer
from service.variants.lists import Variants, recent_since

DIM = 256
SPACE = SpaceId("bench-000000000000")
PLATFORMS = tuple(f"platform-{number}.example" for number in range(12))
PIECE = 5_000
RULES = Rules(join=0.62, hold=0.45)
NOW = datetime.now(UTC)
_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sightings", type=int, default=100_000)
    parser.add_argument("--clusters", type=int, default=2_000)
    parser.add_argument("--linked", type=int, default=4_000, help="sightings that clusters are found for")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--catalog", default="", help="of an empty database; else SQLite in a temporary folder")
    options = parser.parse_args()
    print_heading("Variants of a large incident", options)
    with tempfile.TemporaryDirectory() as folder:
        url = options.catalog or f"sqlite:///{Path(folder) / 'catalog.db'}"
        with closing(Catalog.open(url)) as catalog:
            catalog.register_space(SPACE, DIM)
            _find(catalog, options.linked)
            incident = _fill(catalog, options.sightings, options.clusters)
            _list(catalog, incident, options.rounds)


def _find(catalog: Catalog, count: int) -> None:
    """Clusters for sightings as they come: families of pictures, each linked to its nearest sixteen."""
    random = np.random.default_rng(1)
    families = _unit(random.standard_normal((count // 20, DIM)))
    which = random.integers(0, len(families), count)
    rows = _unit(0.85 * families[which] + np.sqrt(1 - 0.85**2) * _unit(random.standard_normal((count, DIM))))
    for row, of in zip(rows, which, strict=True):
        frame = SightedFrame(0, None, None, {SPACE: row.reshape(1, -1)})
        new = NewSighting(PLATFORMS[of % 12], None, None, None, None, "image", "none", "none", (), 0, (frame,))  # type: ignore[arg-type]
        catalog.sightings.record(new, timedelta(days=7))
    turn = catalog.duties.take_turn("bench", 3600)
    assert turn is not None
    catalog.sightings.link(Step(turn, "link", count), _edges(rows))
    began = time.perf_counter()
    for done in range(0, count, 128):
        upto = min(done + 128, count)
        found = clustered(catalog.clusters.batch(done, upto, SPACE), lambda _: RULES)
        catalog.clusters.keep(Step(turn, "cluster", upto), found, [], Tallied({}))
    took = time.perf_counter() - began
    made = len(catalog.clusters.unknown(NOW))
    print(f"Clusters found for {count:,} sightings of {len(families):,} families: {made:,}, in {took:.1f} s, ", end="")
    print(f"{count / took:,.0f} sightings a second, durably.\n")


def _edges(rows: np.ndarray) -> EdgeRows:
    keys, earlier, scores = [], [], []
    for number in range(1, len(rows)):
        alike = rows[:number] @ rows[number]
        for other in np.argsort(-alike)[:16]:
            if alike[other] >= (RULES.join + RULES.hold) / 2:
                keys.append(number + 1)
                earlier.append(int(other) + 1)
                scores.append(float(alike[other]))
    nothing = np.full(len(keys), -1, np.int64)
    return EdgeRows(np.array(keys, np.int64), np.array(earlier, np.int64), np.array(scores), nothing)


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _fill(catalog: Catalog, count: int, clusters: int) -> Incident:
    catalog.put_bank("footage", Purpose.HARMFUL)
    incident = catalog.incidents.create(NewIncident(name="large", type="exercise", banks=("footage",)))
    random = np.random.default_rng(2)
    share = 1 / np.arange(1, clusters + 1)
    which = random.choice(clusters + 1, count, p=np.append(share / share.sum() * 0.95, 0.05))  # the last: by itself
    first = catalog.sightings.head() + 1
    keys = np.arange(first, first + count)
    homes = {of: int(keys[np.argmax(which == of)]) for of in np.unique(which[which < clusters]).tolist()}
    alone = {of for of, size in Counter(which.tolist()).items() if size == 1}
    known: dict[int, Cluster] = {}
    homes = {of: home for of, home in homes.items() if of not in alone}
    for start in range(0, count, PIECE):
        piece = [(int(key), homes.get(int(of))) for key, of in zip(keys, which, strict=True)][start : start + PIECE]
        _piece(catalog, piece, known, incident.key)
    catalog.database.write(lambda connection: connection.execute(log_head.update().values(sighting_seq=int(keys[-1]))))
    if catalog.database.facts().database.startswith("PostgreSQL"):  # as its own housekeeping does within a minute
        catalog.database.write(lambda connection: connection.execute(text("ANALYZE")))
    sizes = [cluster.members for cluster in known.values()]
    print(f"{count:,} sightings in one incident: {len(known):,} clusters, the largest of {max(sizes):,}, ", end="")
    print(f"and {count - sum(sizes):,} by themselves.\n")
    return incident


def _piece(
    catalog: Catalog, piece: Sequence[tuple[int, int | None]], known: dict[int, Cluster], incident_key: int
) -> None:
    """Some sightings, each with its cluster, as clustering leaves them."""
    placed, touched, rows, matched = [], set(), [], []
    random = np.random.default_rng(piece[0][0])
    for key, home in piece:
        caught = bool(random.random() > 0.1)
        seen_us = (NOW - timedelta(hours=float(random.exponential(12))) - _EPOCH) // _US
        platform = PLATFORMS[int(random.integers(12))]
        seen = Seen(
            key,
            f"{key:028x}",
            platform,
            seen_us,
            seen_us,
            incident_key if caught else None,
            "variant" if caught else "none",
            known=caught,
        )
        strength = 0.62 + 0.38 * float(random.random())
        link = None if home is None or home == key else Link(home, strength, None)
        placed.append(Placed(seen, home, link))
        rows.append(_sighting(seen))
        if caught:
            matched.append(_match(seen))
        if home is not None:
            cluster = known.get(home) or Cluster(home, f"{home:028x}", 1, Anchored([_look()]), first_us=seen_us)
            known[home] = cluster
            cluster.members += 1
            cluster.matched += caught
            cluster.first_us, cluster.last_us = min(cluster.first_us, seen_us), max(cluster.last_us, seen_us)
            cluster.received_us = max(cluster.received_us, seen_us)
            cluster.weakest_key, cluster.weakest_strength = key, strength
            touched.add(home)

    def write(connection: Connection) -> None:
        connection.execute(insert(sightings), rows)
        connection.execute(insert(sighting_matches), matched)
        cluster_writing.write(connection, Clustered(placed, [known[home] for home in touched]))

    catalog.database.write(write)
    for home in touched:
        known[home].fresh = False


def _look() -> Look:
    return Look(
        _unit(np.random.default_rng(3).standard_normal((6, DIM))), np.ones(6, np.bool_), np.empty((0, 32), np.uint8)
    )


def _sighting(seen: Seen) -> dict[str, object]:
    at = _EPOCH + seen.observed_us * _US
    return {
        "sighting_key": seen.key,
        "sighting_id": seen.sighting_id,
        "platform": seen.platform,
        "upload_id": f"post-{seen.key}",
        "observed_at": at,
        "received_at": at,
        "kind": "image",
        "band": "variant" if seen.known else "none",
        "action": "review" if seen.known else "none",
        "reasons": [],
        "incident_key": seen.incident_key,
        "index_version": 1,
    }


def _match(seen: Seen) -> dict[str, object]:
    return {"sighting_key": seen.key, "item_key": 1, "means": "match", "band": "variant", "score": 0.8, "at": NOW}


def _list(catalog: Catalog, incident: Incident, rounds: int) -> None:
    variants = Variants(catalog)
    first = variants.of_incident(incident, 20, None)
    largest = max(first.items, key=lambda one: one.sightings)
    key = int(largest.cluster_id, 16)
    kinds: dict[str, Callable[[], object]] = {
        "variants, the first 20": lambda: variants.of_incident(incident, 20, None).model_dump_json(),
        "variants, the first 100": lambda: variants.of_incident(incident, 100, None).model_dump_json(),
        "variants, the next 20": lambda: variants.of_incident(incident, 20, first.next).model_dump_json(),
        "unknown clusters, the first 20": lambda: variants.unknown(20, None, Viewer()).model_dump_json(),
        f"one of {largest.sightings:,}, cut at 0.8": lambda: variants.parts(key, 0.8),
        "the peer: a row for each sighting": lambda: _peer(catalog, incident.key),
    }
    rows = [(name, *_milliseconds(call, rounds)) for name, call in kinds.items()]
    print_table(("ms", "median", "p99", "most"), rows)
    size = catalog.info().facts.size_bytes
    print(f"The catalog has {size / 2**20:,.0f} MiB; listing counts what came since {recent_since():%H:%M} UTC.\n")


def _peer(catalog: Catalog, incident_key: int) -> Counter[tuple[object, ...]]:
    mine = sightings.c
    query = select(mine.cluster_key, mine.platform, mine.observed_at).where(mine.incident_key == incident_key)
    with catalog.database.reading() as connection:
        return Counter((home, platform, at.hour) for home, platform, at in connection.execute(query))


def _milliseconds(call: Callable[[], object], rounds: int) -> Sequence[str]:
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - began))
    return tuple(f"{value:,.0f}" for value in (statistics.median(took), quantile(took, 0.99), max(took)))


if __name__ == "__main__":
    main()
