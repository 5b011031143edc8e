"""
The event, written before it is played: who uploads what, where and when.

Each picture of the footage surfaces once, spreads from then on, and is edited as it spreads: a new upload takes an
earlier one, sends it on as it is or edits it, and so lineages of edits of edits come about. Most of it comes within the
first hours. Beside it goes everyday traffic, which has its own picture that everyone shares.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from PIL import Image

from service.rehearsal.pictures import Cast
from service.rehearsal.versions import (
    Grade,
    Version,
    any_edit,
    broadcast,
    edited_version,
    live_picture,
    uploaded,
    with_fake_logo,
)

PLATFORMS = ("agora", "beacon", "courier", "dovecote")
"""Where people upload; the first is where footage surfaces."""
_REACH = (0.4, 0.28, 0.2, 0.12)
TRUSTED_CHANNEL, OTHER_CHANNEL, FAKE_CHANNEL = "NEWS 9", "CANAL 4", "TV-24"
_NEWS_UPLOADS, _TROLL_UPLOADS = 4, 4
_IN_THE_NEWS = (0, 2)
"""Which pictures of the footage broadcasters and the troll show: two that are reported."""
_PROGRAMME = (live_picture, broadcast)
"""How a channel shows it: at first as it comes in."""
_MOST_EDITS = 4
_SENT_ON_SHARE = 0.3
_SHARED_BENIGN = 0.12
"""The share of everyday traffic that is one picture, edited and sent on by everyone."""


class Kind(StrEnum):
    VERSION = "version"
    """Of the footage, uploaded to spread it."""
    BENIGN = "benign"
    NEWS = "news"
    TROLL = "troll"
    """A version, too, and a claim to be news."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload, and what is true of it; a service is told no more than a platform knows."""

    upload_id: str
    minute: float
    """Of the event."""
    platform: str
    kind: Kind
    data: bytes = field(repr=False)
    source: int | None = None
    """Which picture of the footage it is of."""
    grade: Grade = Grade.SENT_ON
    edits: tuple[str, ...] = ()
    publisher: str | None = None
    context: str | None = None

    @property
    def of_footage(self) -> bool:
        """Whether it has to be found."""
        return self.kind in {Kind.VERSION, Kind.TROLL}


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody tells the center of an upload."""

    minute: float
    upload_id: str


@dataclass(frozen=True, slots=True)
class Script:
    uploads: tuple[Upload, ...]
    """In the order they come."""
    reports: tuple[Report, ...]
    footage: int
    minutes: float
    broadcast: "Broadcast"


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What the other broadcaster sends the center as it goes on air: stills of its own programme."""

    minute: float
    stills: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """How large, how long, and how much of it anybody reports."""

    seed: int = 1
    minutes: float = 360.0
    versions: int = 72
    benign: int = 140
    publisher: str = "rehearsal-broadcaster.example"

    @property
    def footage(self) -> int:
        return min(8, max(3, self.versions // 12))

    @property
    def benign_pictures(self) -> int:
        """Some are uploaded more than once."""
        return max(4, round(self.benign * 0.6))


def write(plan: Plan, cast: Cast) -> Script:
    """The same plan and pictures make the same event."""
    return _Writer(plan, cast).write()


@dataclass(slots=True)
class _Writer:
    plan: Plan
    cast: Cast
    made: list[Upload] = field(default_factory=list)

    def write(self) -> Script:
        surfaces = self._surfaces()
        for source, surface in enumerate(surfaces):
            self._spread(source, surface, self._share(source))
        self._benign()
        sent = self._news(surfaces[0])
        self._troll(surfaces[0])
        uploads = tuple(sorted(self.made, key=lambda upload: (upload.minute, upload.upload_id)))
        return Script(uploads, self._reports(uploads), len(surfaces), self.plan.minutes, sent)

    def _dice(self, *names: object) -> random.Random:
        return random.Random(repr((self.plan.seed, *names)))

    def _lend(self, dice: random.Random) -> Image.Image:
        return dice.choice(self.cast.lent)

    def _surfaces(self) -> list[float]:
        """When each picture of the footage first surfaces: the first at once, others as recordings are cut up."""
        dice = self._dice("surfaces")
        later = sorted(dice.betavariate(1.1, 2.2) * 0.6 for _ in range(self.plan.footage - 1))
        return [self.plan.minutes * share for share in (0.01, *(0.01 + share for share in later))]

    def _share(self, source: int) -> int:
        """Some pictures spread more than others; all together as many as planned."""
        weights = [1 / (1 + 0.35 * place) for place in range(self.plan.footage)]
        until = [round(self.plan.versions * sum(weights[:place]) / sum(weights)) for place in range(len(weights) + 1)]
        return until[source + 1] - until[source]

    def _spread(self, source: int, surface: float, count: int) -> None:
        dice = self._dice("spread", source)
        left = self.plan.minutes - surface
        times = sorted(surface + left * 0.98 * dice.betavariate(1.15, 2.6) for _ in range(count - 1))
        held: list[Version] = []
        for place, minute in enumerate((surface, *times)):
            version = self._next_version(held, source, place, dice)
            held.append(version)
            self._add(
                Kind.VERSION,
                f"v{source}-{place:03}",
                minute,
                version.picture,
                platform=PLATFORMS[0] if place == 0 else None,
                source=source,
                version=version,
            )

    def _next_version(self, held: Sequence[Version], source: int, place: int, dice: random.Random) -> Version:
        original = Version(self.cast.footage[source])
        if not held:
            return original
        parent = original if dice.random() < 0.3 else dice.choice(held[-12:])  # noqa: PLR2004 - fresh rips go on
        if len(parent.edits) >= _MOST_EDITS or (parent.grade is Grade.COMPOSED and dice.random() < 0.6):  # noqa: PLR2004
            parent = original
        if dice.random() < _SENT_ON_SHARE:
            edits = [any_edit(Grade.SENT_ON, dice)]
        else:
            # The later, the more effort goes into getting past the filters.
            effort = min(1.0, place / 10)
            grade = dice.choices((Grade.LIGHT, Grade.FRAMED, Grade.HARD), (1.2 - effort, 1.0, 0.3 + effort))[0]
            edits = [any_edit(grade, dice)]
        return edited_version(parent, edits, f"{self.plan.seed} {source} {place}", self._lend)

    def _benign(self) -> None:
        """Photographs, some with the same edits as versions, and one that goes round on all platforms."""
        dice = self._dice("benign")
        shared, *others = self.cast.benign
        for place in range(self.plan.benign):
            minute = self.plan.minutes * dice.uniform(0.0, 0.995)
            picture = shared if dice.random() < _SHARED_BENIGN else dice.choice(others)
            version = Version(picture)
            if dice.random() < 0.45:  # noqa: PLR2004 - everyday pictures are edited as well
                grade = dice.choice((Grade.LIGHT, Grade.FRAMED, Grade.FRAMED, Grade.HARD))
                version = edited_version(
                    version, [any_edit(grade, dice)], f"{self.plan.seed} benign {place}", self._lend
                )
            self._add(Kind.BENIGN, f"b{place:04}", minute, version.picture, version=version)

    def _news(self, surface: float) -> Broadcast:
        """Two broadcasters: one declares itself and is trusted; the other's pictures come through its viewers."""
        dice = self._dice("news")
        stills = [shown(self.cast.footage[0], OTHER_CHANNEL, dice) for shown in _PROGRAMME]
        first = surface + self.plan.minutes * 0.25
        for place in range(_NEWS_UPLOADS):
            minute = first + (self.plan.minutes * 0.97 - first) * (place + dice.random()) / _NEWS_UPLOADS
            source = _IN_THE_NEWS[place % 2]
            shown = _PROGRAMME[place // 2](self.cast.footage[source], TRUSTED_CHANNEL, dice)
            self._add(
                Kind.NEWS,
                f"n-trusted-{place}",
                minute,
                shown,
                source=source,
                publisher=self.plan.publisher,
                context="news",
            )
            sent_on = Version(stills[place % 2])
            if place:
                edit = any_edit(Grade.SENT_ON if place < 3 else Grade.LIGHT, dice)  # noqa: PLR2004
                sent_on = edited_version(sent_on, [edit], f"{self.plan.seed} news {place}", self._lend)
            self._add(
                Kind.NEWS,
                f"n-viewer-{place}",
                minute + self.plan.minutes * 0.01,
                sent_on.picture,
                source=0,
                version=sent_on,
            )
        return Broadcast(first, tuple(uploaded(still, dice) for still in stills))

    def _troll(self, surface: float) -> None:
        """The same footage under a logo that no channel has, said to be news by a publisher whom nobody trusts."""
        dice = self._dice("troll")
        first = surface + self.plan.minutes * 0.2
        for place in range(_TROLL_UPLOADS):
            minute = first + (self.plan.minutes * 0.95 - first) * (place + dice.random()) / _TROLL_UPLOADS
            source = _IN_THE_NEWS[place % 2]
            shown = with_fake_logo(self.cast.footage[source], FAKE_CHANNEL, dice)
            self._add(
                Kind.TROLL,
                f"t-{place}",
                minute,
                shown,
                source=source,
                publisher=(f"news.{self.plan.publisher}", self.plan.publisher.upper())[place % 2],
                context="news",
                version=Version(shown, ("watermark",)),
            )

    def _add(
        self,
        kind: Kind,
        upload_id: str,
        minute: float,
        picture: Image.Image,
        *,
        platform: str | None = None,
        source: int | None = None,
        version: Version | None = None,
        publisher: str | None = None,
        context: str | None = None,
    ) -> None:
        dice = self._dice("file", upload_id)
        self.made.append(
            Upload(
                upload_id,
                minute,
                platform or dice.choices(PLATFORMS, _REACH)[0],
                kind,
                uploaded(picture, dice),
                source,
                version.grade if version is not None else Grade.SENT_ON,
                version.edits if version is not None else (),
                publisher,
                context,
            )
        )

    def _reports(self, uploads: Sequence[Upload]) -> tuple[Report, ...]:
        """Users report every other picture of the footage, the first after a while; the rest nobody reports."""
        dice = self._dice("reports")
        reports = []
        for source in range(0, self.plan.footage, 2):
            seen = [upload for upload in uploads if upload.source == source and upload.kind is Kind.VERSION]
            delay = dice.uniform(0.05, 0.08) if source == 0 else dice.uniform(0.06, 0.14)
            minute = seen[0].minute + self.plan.minutes * delay
            if minute < self.plan.minutes:
                reports.append(Report(minute, seen[0].upload_id))
        return tuple(sorted(reports, key=lambda report: report.minute))
