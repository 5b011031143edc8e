"""
Does news stay up while re-uploads do not?

    python benchmarks/public_interest.py --photos DIR

Each photograph is a frame of footage. Its original is banked in a confirmed incident's harmful bank, whose protocol
blocks variants; a broadcast of it by one of three channels is banked as public interest: the whole screen or a window
beside a studio wall, under a logo and a lower third, or under a logo and a narrow ticker.

Then uploads are asked about that nobody has banked: recordings of those broadcasts, of another channel's broadcast,
plain edits of the footage, the footage under a fake logo, and whole broadcasts imitated around it.

Capped: the suggested action is `review`, and the reason `public_interest_cap` is given.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from news_pictures import CHANNELS, Channel, as_jpeg, broadcast, imitated, recorded, with_fake_logo, with_logo_of
from PIL import Image, ImageOps
from report import print_heading, print_table

from index.records.banks import Purpose
from index.records.incidents import Advance, IncidentState, NewIncident
from service.matching.asked_banks import BankChoice
from service.matching.matcher import MatchOptions
from service.runtime import Runtime
from service.schemas import Answer, Reason, Verify
from service.settings import load_settings

PUBLISHER = "trusted.example"


@dataclass(frozen=True)
class Scene:
    """A frame of footage, and what else its pictures are drawn from."""

    number: int
    footage: Image.Image
    dice: np.random.Generator

    def aired(self, later: int = 0) -> Image.Image:
        """Its broadcast by the channel that is banked, or by another. It was broadcast once: always the same."""
        return broadcast(self.footage, self.channel(later), np.random.default_rng(10_000 + self.number))

    def channel(self, later: int = 0) -> Channel:
        return CHANNELS[(self.number + later) % len(CHANNELS)]


@dataclass(frozen=True)
class Case:
    """One kind of upload."""

    name: str
    wanted: str
    draw: Callable[[Scene], Image.Image]
    publisher: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--count", type=int, default=150, help="how many of them are footage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verify", type=Verify, default=Verify.AUTO, help="`never`: by score and hash alone")
    options = parser.parse_args()
    print_heading("Public interest", options)
    paths = sorted(options.photos.iterdir())
    chosen = np.random.default_rng(options.seed).permutation(len(paths))[: options.count]
    footage = [_opened(paths[place]) for place in sorted(chosen)]
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder), log_level="error", trusted_publishers=(PUBLISHER,))
        with Runtime.open(settings) as runtime:
            _bank(runtime, footage)
            rows = [_asked(runtime, case, footage, options) for case in _cases()]
    headings = ("upload", "wanted", "asked", "matched", "capped at review", "block", "review, not capped", "nothing")
    print_table(headings, rows)


def _cases() -> list[Case]:
    return [
        Case("the banked broadcast, recorded", "capped", lambda scene: scene.aired()),
        Case("another channel's broadcast", "capped, if told", lambda scene: scene.aired(1)),
        Case("the same, by a trusted publisher", "capped", lambda scene: scene.aired(1), PUBLISHER),
        Case("the footage, edited", "not capped", lambda scene: scene.footage),
        Case("the footage under a fake logo", "not capped", lambda scene: with_fake_logo(scene.footage, scene.dice)),
        Case(
            "under one like the channel's own", "not capped", lambda scene: with_logo_of(scene.footage, scene.channel())
        ),
        Case("an imitated broadcast", "not capped", lambda scene: imitated(scene.footage, scene.dice)),
    ]


def _bank(runtime: Runtime, footage: list[Image.Image]) -> None:
    runtime.catalog.put_bank("footage", Purpose.HARMFUL)
    runtime.catalog.put_bank("news", Purpose.PUBLIC_INTEREST)
    for number, picture in enumerate(footage):
        runtime.banker.add("footage", as_jpeg(picture))
        runtime.banker.add("news", as_jpeg(Scene(number, picture, np.random.default_rng(0)).aired()))
    incidents = runtime.catalog.incidents
    opened = incidents.create(NewIncident("measured", "exercise", banks=["footage", "news"]))
    for to, by in ((IncidentState.ASSESSING, None), (IncidentState.CONFIRMED, "a"), (IncidentState.CONFIRMED, "b")):
        incidents.advance(opened.incident_id, Advance(to, "measuring", by))
    runtime.views.follow()


def _asked(runtime: Runtime, case: Case, footage: list[Image.Image], asked: argparse.Namespace) -> tuple[str, ...]:
    options = MatchOptions(choice=BankChoice(), publisher=case.publisher, verify=asked.verify)
    counts: Counter[str] = Counter()
    for number, picture in enumerate(footage):
        dice = np.random.default_rng([asked.seed, number, sum(map(ord, case.name))])
        upload = recorded(case.draw(Scene(number, picture, dice)), dice)
        found = runtime.matcher.match(upload, replace(options, request_id=f"n{number}"))
        counts[_outcome(found)] += 1
        counts["matched"] += any(match.bank == "footage" for match in found.matches)
    shares = [_share(counts[name], len(footage)) for name in ("matched", "capped", "block", "review", "none")]
    return (case.name, case.wanted, str(len(footage)), *shares)


def _outcome(found: Answer) -> str:
    if Reason.PUBLIC_INTEREST_CAP in found.verdict.reasons:
        return "capped"
    return found.verdict.suggested_action.value


def _share(count: int, of: int) -> str:
    return f"{count / of:.1%}"


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((1280, 1280))
    return picture


if __name__ == "__main__":
    main()
