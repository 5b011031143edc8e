"""
What people do to a picture before they upload it again.

Each edit takes the picture and a seeded generator and returns the file that would be uploaded. They are drawn from
what re-uploads look like in the wild, and are meant to be read: to try one of your own, add a function and name it in
`EDITS`.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Picture = Image.Image
Drawer = Callable[[Picture, np.random.Generator], Picture]

_BICUBIC = Image.Resampling.BICUBIC
_INK = (22, 22, 26)
_PAPER = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Edit:
    """One thing done to a picture."""

    name: str
    draw: Drawer
    quality: int = 82
    """Of the JPEG it ends up as."""

    def apply(self, data: bytes, seed: int) -> bytes:
        """The edited upload, as a JPEG file. The same seed gives the same file."""
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB")
        edited = self.draw(picture, np.random.default_rng(seed))
        buffer = io.BytesIO()
        edited.save(buffer, "JPEG", quality=self.quality)
        return buffer.getvalue()


def recompressed(picture: Picture, _: np.random.Generator) -> Picture:
    """Saved small and with a low quality, as messengers do."""
    return picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.BILINEAR)


def cropped(picture: Picture, rng: np.random.Generator) -> Picture:
    """Six tenths of each side kept, from anywhere near the middle."""
    width, height = round(picture.width * 0.62), round(picture.height * 0.62)
    left = round((picture.width - width) * rng.uniform(0.3, 0.7))
    top = round((picture.height - height) * rng.uniform(0.2, 0.6))
    return picture.crop((left, top, left + width, top + height))


def captioned(picture: Picture, _: np.random.Generator) -> Picture:
    """A meme: a sentence above and one below."""
    bar = picture.width // 5
    canvas = Image.new("RGB", (picture.width, picture.height + 2 * bar), _PAPER)
    canvas.paste(picture, (0, bar))
    draw = ImageDraw.Draw(canvas)
    font = _font(picture.width // 15)
    for text, middle in (("NOBODY EXPECTED THIS", bar // 2), ("share before it is gone", canvas.height - bar // 2)):
        draw.text((canvas.width // 2, middle), text, font=font, fill=_INK, anchor="mm", stroke_width=1)
    return canvas


def story(picture: Picture, _: np.random.Generator) -> Picture:
    """Re-framed for a vertical screen, over a blurred copy of itself."""
    width, height = 540, 960
    background = ImageOps.fit(picture, (width, height)).filter(ImageFilter.GaussianBlur(24))
    background = ImageEnhance.Brightness(background).enhance(0.7)
    front = ImageOps.contain(picture, (width, height))
    background.paste(front, ((width - front.width) // 2, (height - front.height) // 2))
    return background


def letterboxed(picture: Picture, _: np.random.Generator) -> Picture:
    """Squeezed a little and put between black bars, as on television."""
    squeezed = picture.resize((round(picture.width * 1.12), picture.height), Image.Resampling.BICUBIC)
    bar = round(picture.height * 0.22)
    return ImageOps.expand(squeezed, border=(0, bar), fill="black")


def screenshot(picture: Picture, _: np.random.Generator) -> Picture:
    """Seen in somebody's feed, photographed by their phone."""
    width, margin = 540, 18
    shown = ImageOps.contain(picture, (width, 720))
    canvas = Image.new("RGB", (width, shown.height + 310), (250, 250, 252))
    draw = ImageDraw.Draw(canvas)
    draw.text((margin, 14), "9:41", font=_font(20), fill=_INK)
    draw.rounded_rectangle((width - 58, 17, width - margin, 35), 5, outline=_INK, width=2)
    draw.rectangle((width - 54, 21, width - 30, 31), fill=_INK)
    draw.ellipse((margin, 64, margin + 56, 120), fill=(196, 92, 72))
    draw.text((margin + 70, 68), "a.friend.of.a.friend", font=_font(22), fill=_INK)
    draw.text((margin + 70, 97), "2 hours ago", font=_font(17), fill=(130, 130, 138))
    top = 140
    canvas.paste(shown, ((width - shown.width) // 2, top))
    below = top + shown.height + 22
    for place in range(3):
        left = margin + place * 58
        draw.rounded_rectangle((left, below, left + 36, below + 32), 12, outline=_INK, width=3)
    draw.text((margin, below + 52), "12,408 likes", font=_font(20), fill=_INK, stroke_width=1)
    draw.text((margin, below + 84), "look at this before they delete it", font=_font(20), fill=_INK)
    draw.line((0, canvas.height - 24, width, canvas.height - 24), fill=(225, 225, 230), width=2)
    return canvas


def mirrored(picture: Picture, _: np.random.Generator) -> Picture:
    """Left and right exchanged."""
    return ImageOps.mirror(picture)


def tilted(picture: Picture, rng: np.random.Generator) -> Picture:
    """Turned by a few degrees and zoomed until no corner is empty."""
    degrees = float(rng.choice((-1, 1)) * rng.uniform(7, 10))
    turned = picture.rotate(degrees, Image.Resampling.BICUBIC)
    inset_x, inset_y = round(picture.width * 0.11), round(picture.height * 0.11)
    return turned.crop((inset_x, inset_y, picture.width - inset_x, picture.height - inset_y))


def filtered(picture: Picture, _: np.random.Generator) -> Picture:
    """A warm, faded look with dark corners, as the apps offer it."""
    warm = np.asarray(picture, dtype=np.float32) * np.array([1.12, 1.0, 0.78], dtype=np.float32) + 14.0
    y, x = np.mgrid[-1 : 1 : picture.height * 1j, -1 : 1 : picture.width * 1j]
    vignette = 1.0 - 0.42 * np.clip(x**2 + y**2 - 0.25, 0.0, None)
    look = _picture(warm * vignette[..., None].astype(np.float32))
    return ImageEnhance.Contrast(look).enhance(1.25)


def decorated(picture: Picture, rng: np.random.Generator) -> Picture:
    """Stickers over it, and the name of a page across it."""
    canvas = picture.copy()
    draw = ImageDraw.Draw(canvas, "RGBA")
    side = min(picture.size)
    for colour in ((255, 205, 60, 255), (80, 190, 255, 255), (255, 95, 130, 255)):
        radius = side * rng.uniform(0.08, 0.12)
        x, y = picture.width * rng.uniform(0.12, 0.88), picture.height * rng.uniform(0.15, 0.85)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=_PAPER, width=4)
        draw.arc((x - radius * 0.5, y - radius * 0.4, x + radius * 0.5, y + radius * 0.5), 20, 160, fill=_INK, width=4)
        for eye in (-0.35, 0.35):
            draw.circle((x + eye * radius, y - 0.25 * radius), radius * 0.1, fill=_INK)
    draw.rectangle((0, picture.height * 0.86, picture.width, picture.height * 0.97), fill=(0, 0, 0, 150))
    text = "@viral.moments.daily"
    draw.text((picture.width / 2, picture.height * 0.915), text, font=_font(side // 15), fill=_PAPER, anchor="mm")
    return canvas


def broadcast(picture: Picture, _: np.random.Generator) -> Picture:
    """Shown on the news, in a window beside the anchor's desk."""
    width, height = 960, 540
    shade = np.linspace(70, 25, height, dtype=np.float32)[:, None, None]
    studio = _picture(np.broadcast_to(shade * np.array([0.5, 0.8, 1.6], dtype=np.float32), (height, width, 3)))
    draw = ImageDraw.Draw(studio)
    for beam in range(-2, 7):
        draw.line((beam * 190, 0, beam * 190 - 260, height), fill=(34, 62, 118), width=26)
    draw.rounded_rectangle((50, 330, 330, 560), 30, fill=(24, 28, 44))
    draw.ellipse((130, 150, 250, 290), fill=(214, 172, 146))
    draw.rounded_rectangle((85, 285, 295, 520), 60, fill=(30, 36, 62))
    window = ImageOps.fit(picture, (540, 360))
    studio.paste(ImageOps.expand(window, border=5, fill="white"), (376, 42))
    draw.rectangle((0, 438, width, 508), fill=(188, 28, 38))
    draw.text((28, 473), "BREAKING  What the pictures show", font=_font(34), fill=_PAPER, anchor="lm", stroke_width=1)
    return studio


def refilmed(picture: Picture, rng: np.random.Generator) -> Picture:
    """A screen, photographed by hand in a dim room: askew, uneven, striped and noisy."""
    width, height = 720, 540
    shown = ImageOps.contain(picture, (640, 480))
    left, top = (width - shown.width) / 2, (height - shown.height) / 2
    right, bottom = left + shown.width, top + shown.height
    jitter = rng.uniform(0.02, 0.07, size=8) * shown.width
    corners = (
        (left + jitter[0], top + jitter[1]),
        (left - jitter[2] / 2, bottom - jitter[3] / 2),
        (right - jitter[4] / 2, bottom + jitter[5] / 2),
        (right - jitter[6], top - jitter[7] / 3),
    )
    room = Image.new("RGB", (width, height), (26, 24, 23))
    screen = shown.transform(room.size, Image.Transform.PERSPECTIVE, _perspective(corners, shown.size), _BICUBIC)
    mask = Image.new("L", shown.size, 255).transform(
        room.size, Image.Transform.PERSPECTIVE, _perspective(corners, shown.size), _BICUBIC
    )
    room.paste(screen, mask=mask)
    pixels = np.asarray(room.filter(ImageFilter.GaussianBlur(0.9)), dtype=np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    stripes = 1.0 + 0.06 * np.sin(0.9 * y + 0.11 * x)
    light = 0.72 + 0.42 * x / width
    noise = rng.normal(0.0, 7.0, pixels.shape).astype(np.float32)
    tint = np.array([0.95, 1.0, 1.1], dtype=np.float32)
    return _picture(pixels * (stripes * light)[..., None] * tint + 10.0 + noise)


EDITS = (
    Edit("re-encoded", recompressed, quality=25),
    Edit("cropped", cropped),
    Edit("captioned", captioned),
    Edit("story", story),
    Edit("letterbox", letterboxed),
    Edit("screenshot", screenshot),
    Edit("mirrored", mirrored),
    Edit("tilted", tilted),
    Edit("filter", filtered, quality=70),
    Edit("stickers", decorated),
    Edit("on the news", broadcast),
    Edit("re-filmed", refilmed, quality=60),
)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _picture(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Picture:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _perspective(corners: tuple[tuple[float, float], ...], size: tuple[int, int]) -> tuple[float, ...]:
    """The eight numbers with which Pillow maps the output's `corners` to those of a picture of `size`."""
    sources = ((0, 0), (0, size[1]), (size[0], size[1]), (size[0], 0))
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(corners, sources, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solution = np.linalg.solve(np.array(rows), np.array(sources, dtype=np.float64).reshape(8))
    return tuple(float(value) for value in solution)
