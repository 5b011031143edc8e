"""The photographs that come inside scikit-image, so that the demo needs no download."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

KNOWN = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
"""What goes into the bank."""

UNRELATED = (
    "brick.png",
    "cell.png",
    "clock_motion.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "page.png",
    "retina.jpg",
    "text.png",
)
"""What must not match anything in it."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture file, as its owner would upload it."""

    name: str
    data: bytes


class PhotographsMissing(Exception):
    """scikit-image, which brings the photographs, is not installed."""


def known_photographs() -> list[Photograph]:
    return [_read(name) for name in KNOWN]


def unrelated_photographs() -> list[Photograph]:
    return [_read(name) for name in UNRELATED]


def _read(name: str) -> Photograph:
    # Found, not imported: importing scikit-image takes a second and only its files are wanted.
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise PhotographsMissing(
            "The demo edits photographs that come with scikit-image. Install it with: pip install 'afterimage[demo]'"
        )
    path = Path(package.origin).parent / "data" / name
    return Photograph(name=path.stem.removesuffix("_left"), data=path.read_bytes())
