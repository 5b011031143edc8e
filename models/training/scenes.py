"""
Scenes: textures put together as photographs are, with depth, light, shadow, repetition and writing.

Each takes `(dice, stuff)`, textures of shape (n, 3, s, s), and answers n pictures of that shape in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from models.training.canvas import coordinates, moved, over, palettes, smooth, softened
from models.training.dice import Dice
from models.training.shapes import inside, pasted, placed, stroked, writing
from models.training.textures import leaves, spectral

Scene = Callable[[Dice, torch.Tensor], torch.Tensor]


def heap(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    """Shapes cut from textures, fallen on each other."""
    return leaves(dice, len(stuff), stuff.shape[-1], moved(dice, stuff, 0.5, 2.0))


def still_life(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    """A background, often blurred, often divided by a horizon, and lit objects with shadows before it."""
    count, _, size, _ = stuff.shape
    y, x = coordinates(size, dice.device)
    picture = moved(dice, _shuffled(dice, stuff), 0.15, 1.2)
    picture = torch.where(dice.chance(0.35, count, 1, 1, 1), softened(picture, 7), picture)
    if dice.number() < 0.5:  # noqa: PLR2004
        angle = dice.normal(count, 1, 1) * 0.35
        ragged = smooth(dice, count, 1, 9, size)[:, 0, :1] * 0.08 * dice.chance(0.5, count, 1, 1)
        edge = y * angle.cos() + x * angle.sin() - dice.uniform(count, 1, 1, low=-0.5, high=0.6) + ragged
        ground = moved(dice, _shuffled(dice, stuff), 0.2, 1.5, 0.5)
        picture = over(picture, ground, (edge * size / 3).clamp(0, 1)[:, None])
    for _ in range(dice.whole(3, 9)):
        picture = _with_object(dice, picture, stuff)
    return picture


def _with_object(dice: Dice, picture: torch.Tensor, stuff: torch.Tensor) -> torch.Tensor:
    count, _, size, _ = stuff.shape
    across, down, scale = placed(dice, count, size, 0.12, 0.75, power=1.6)
    if dice.number() < 0.3:  # noqa: PLR2004
        depth = 1 - (across**2 + down**2) + smooth(dice, count, 1, 6, size)[:, 0] * 0.5
    else:
        depth = inside(dice, across, down)
    mask = (depth * scale * size * 0.4 + 0.5).clamp(0, 1)[:, None] * dice.chance(0.85, count, 1, 1, 1)
    skin = moved(dice, _shuffled(dice, stuff), 0.4, 2.2, 0.3)
    plain = dice.uniform(count, 1, 1, 1) ** 1.5
    skin = over(skin, skin.mean(1, keepdim=True) - 0.5 + dice.uniform(count, 3, 1, 1), plain)
    lit = (dice.normal(count, 1, 1) * across + dice.normal(count, 1, 1) * down).clamp(-1.2, 1.2)
    shade = 1 + dice.uniform(count, 1, 1, high=0.5) * lit
    shade = shade - dice.uniform(count, 1, 1, high=0.6) * (1 - depth.clamp(0, 1)) ** 3
    shadow = softened(mask, 9).roll((dice.whole(-4, 4), dice.whole(0, 5)), (3, 2))
    picture = picture * (1 - 0.5 * dice.uniform(count, 1, 1, 1) * shadow)
    return over(picture, (skin * shade[:, None]).clamp(0, 1), mask)


def studio(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    """One to three objects on a plain backdrop: what tells such pictures apart is small."""
    count, _, size, _ = stuff.shape
    light = dice.uniform(count, 1, 1, 1, low=0.75)
    grey = torch.where(dice.chance(0.5, count, 1, 1, 1), light, dice.uniform(count, 1, 1, 1)).expand(-1, 3, -1, -1)
    tinted = palettes(dice, count, 1).reshape(count, 3, 1, 1)
    wall = torch.where(dice.chance(0.6, count, 1, 1, 1), grey, tinted).expand(-1, -1, size, size)
    wall = wall + smooth(dice, count, 1, 2, size) * dice.uniform(count, 1, 1, 1, high=0.15)
    cloth = spectral(dice, count, 1, size) * dice.uniform(count, 1, 1, 1, high=0.06)
    picture = wall + cloth * dice.chance(0.5, count, 1, 1, 1)
    number = dice.whole(1, 3)
    wander = 0.12 + (0.25 if number > 1 else 0)
    for turn in range(number):
        centre = (dice.normal(count, 1, 1) * wander, dice.normal(count, 1, 1) * wander)
        scale = dice.uniform(count, 1, 1, low=0.35, high=0.95) / number**0.6
        picture = _figure(dice, picture.clamp(0, 1), stuff.roll(7 * turn + 1, 0), centre, scale)
    return picture


def _figure(
    dice: Dice,
    picture: torch.Tensor,
    stuff: torch.Tensor,
    centre: tuple[torch.Tensor, torch.Tensor],
    scale: torch.Tensor,
) -> torch.Tensor:
    """A body of several parts, mirror-symmetric for most, with shading, a highlight and a shadow on the ground."""
    count, _, size, _ = picture.shape
    y, x = coordinates(size, dice.device)
    parts = dice.whole(1, 7)
    lean = dice.normal(count, 1, 1) * 0.4
    east, south = (x - centre[0]) / scale, (y - centre[1]) / scale
    east, south = east * lean.cos() - south * lean.sin(), east * lean.sin() + south * lean.cos()
    east = torch.where(dice.chance(0.6, count, 1, 1), east.abs(), east)
    pool = ((x - centre[0] - scale * 0.2) / (scale * 0.9)) ** 2 + ((y - centre[1] - scale * 0.8) / (scale * 0.25)) ** 2
    picture = picture * (1 - (-pool).exp()[:, None] * dice.uniform(count, 1, 1, 1, high=0.6))
    colours = palettes(dice, count, parts)
    for part in range(parts):
        smaller = dice.uniform(count, 1, 1, low=0.2, high=0.8) / (1 + 0.2 * part)
        off = (dice.uniform(count, 1, 1, low=-0.1, high=0.7), dice.uniform(count, 1, 1, low=-0.8, high=0.8))
        across = (east - off[0] * (part > 0)) / smaller / (dice.normal(count, 1, 1) * 0.3).exp()
        down = (south - off[1] * (part > 0)) / smaller / (dice.normal(count, 1, 1) * 0.4).exp()
        depth = inside(dice, across, down)
        mask = (depth * smaller * scale * size / 2 + 0.5).clamp(0, 1)[:, None]
        skin = moved(dice, stuff.roll(part + 1, 0), 0.4, 2.0, 0.2)
        skin = (skin - skin.mean((2, 3), keepdim=True)) * dice.uniform(count, 1, 1, 1) ** 1.5
        lit = (dice.normal(count, 1, 1) * across + dice.normal(count, 1, 1) * down).clamp(-1.2, 1.2)
        shade = 1 + dice.uniform(count, 1, 1, high=0.5) * lit
        shade = shade - dice.uniform(count, 1, 1, high=0.7) * (1 - depth.clamp(0, 1)) ** 3
        glint = (across - dice.normal(count, 1, 1) * 0.4) ** 2 + (down - dice.normal(count, 1, 1) * 0.4) ** 2
        shine = (-glint * 12).exp() * dice.uniform(count, 1, 1, high=0.5)
        paint = (skin + colours[:, part, :, None, None]) * shade[:, None] + shine[:, None]
        picture = over(picture, paint.clamp(0, 1), mask)
    return picture


def landscape(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    """Sky and clouds, ridges in haze, water or ground towards the horizon, small figures."""
    count, _, size, _ = stuff.shape
    y, x = coordinates(size, dice.device)
    blue = torch.tensor([0.45, 0.6, 0.8], device=dice.device)
    sky = (palettes(dice, count, 2) + blue) / 2 * dice.uniform(count, 1, 1, low=0.5, high=1.2)
    above, haze = sky[:, 0, :, None, None], sky[:, 1, :, None, None]
    picture = over(above.expand(-1, -1, size, size), haze, (y + 1) / 2)
    cover = spectral(dice, count, 1, size, (1.3, 2.0)) * 0.5 + dice.normal(count, 1, 1, 1) * 0.5
    cover = cover.clamp(0, 1) * dice.uniform(count, 1, 1, 1)
    picture = over(picture, dice.uniform(count, 1, 1, 1, low=0.6).expand_as(picture), cover)
    horizon = dice.uniform(count, 1, 1, low=-0.5, high=0.6)
    ridges = dice.whole(1, 4)
    for layer in range(ridges):
        line = spectral(dice, count, 1, size, (1.1, 1.9))[:, 0, size // 2][:, None, :]
        top = horizon - 0.3 * (1 - layer / ridges) * dice.uniform(count, 1, 1)
        top = top + line * dice.uniform(count, 1, 1, high=0.18)
        rock = moved(dice, stuff.roll(layer, 0), 0.3, 1.2, 0.4)
        rock = (rock - rock.mean((2, 3), keepdim=True)) * dice.uniform(count, 1, 1, 1)
        rock = (rock + palettes(dice, count, 1).reshape(count, 3, 1, 1) * 0.7).clamp(0, 1)
        rock = over(haze.expand_as(rock), rock, torch.tensor((layer + 1) / ridges, device=dice.device))
        picture = over(picture, rock, ((y - top) * size / 3).clamp(0, 1)[:, None])
    away = 1 / (y - horizon).clamp(min=0.02)
    grid = torch.stack([torch.remainder(x * away * 0.15 + 10, 2) - 1, torch.remainder(away * 0.8, 2) - 1], -1)
    ripples = spectral(dice, count, 1, size)
    ripples = functional.grid_sample(ripples, grid, padding_mode="reflection", align_corners=False) * 0.08
    water = (above * dice.uniform(count, 1, 1, 1, low=0.5) + ripples).clamp(0, 1)
    shore = ((y - horizon) * size / 3).clamp(0, 1)[:, None] * dice.chance(0.4, count, 1, 1, 1)
    picture = over(picture, water, shore)
    for turn in range(dice.whole(1, 4)):
        centre = (
            dice.uniform(count, 1, 1, low=-0.9, high=0.9),
            horizon + dice.uniform(count, 1, 1, low=-0.1, high=0.5),
        )
        scale = dice.log_uniform(count, 1, 1, low=0.067, high=0.55)
        picture = _figure(dice, picture.clamp(0, 1), stuff.roll(3 * turn + 1, 0), centre, scale)
    return picture


def interior(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    """A room seen from inside: floor, ceiling, walls in perspective, box-like furniture; rooms resemble each other."""
    count, _, size, _ = stuff.shape
    y, x = coordinates(size, dice.device)
    across = x - dice.uniform(count, 1, 1, low=-0.5, high=0.5)
    down = y - dice.uniform(count, 1, 1, low=-0.4, high=0.3)
    wide, high = dice.uniform(count, 1, 1, low=0.2, high=0.8), dice.uniform(count, 1, 1, low=0.2, high=0.6)
    side, level = across.abs() / wide, down.abs() / high
    depth = 1 / torch.maximum(torch.maximum(side, level), torch.ones_like(side))
    tones = palettes(dice, count, 4)
    tones = 1 - (1 - tones) * dice.uniform(count, 4, 1, low=0.3, high=1.0)
    which = torch.where(depth >= 1, 0, torch.where(side > level, 1, torch.where(down > 0, 2, 3)))
    picture = tones.gather(1, which.reshape(count, -1, 1).expand(-1, -1, 3)).reshape(count, size, size, 3)
    picture = picture.permute(0, 3, 1, 2) * (0.55 + 0.45 * (1 / depth)[:, None]).clamp(max=1.1)
    flat = torch.where(side > level, down * depth * 2, across * depth * 2)
    grid = torch.stack([torch.remainder(flat + 9, 2) - 1, torch.remainder(depth * 3, 2) - 1], -1)
    grain = functional.grid_sample(_shuffled(dice, stuff), grid, padding_mode="reflection", align_corners=False)
    grain = (grain - grain.mean((2, 3), keepdim=True)) * dice.uniform(count, 1, 1, 1, high=0.6)
    picture = (picture + grain * (which[:, None] > 1)).clamp(0, 1)
    for turn in range(dice.whole(3, 9)):
        picture = _box(dice, picture, stuff.roll(turn + 2, 0))
    return picture


def _box(dice: Dice, picture: torch.Tensor, stuff: torch.Tensor) -> torch.Tensor:
    """An upright box (a cupboard, a window, a frame on the wall) with an edge and perhaps something in it."""
    count, _, size, _ = picture.shape
    y, x = coordinates(size, dice.device)
    east, south = x - dice.uniform(count, 1, 1, low=-0.9, high=0.9), y - dice.uniform(count, 1, 1, low=-0.8, high=0.9)
    wide, high = dice.log_uniform(count, 1, 1, low=0.06, high=0.5), dice.log_uniform(count, 1, 1, low=0.06, high=0.5)
    south = south + east * dice.normal(count, 1, 1) * 0.12
    depth = torch.minimum(wide - east.abs(), high - south.abs())
    colour = palettes(dice, count, 2)
    filled = moved(dice, stuff, 0.5, 2.0)
    filled = over(filled, colour[:, 0, :, None, None], dice.uniform(count, 1, 1, 1) ** 0.5)
    filled = filled * (1 + dice.normal(count, 1, 1, 1) * 0.2 * (south / high)[:, None].clamp(-1, 1))
    rim = dice.uniform(count, 1, 1, high=0.05)
    edge = ((rim - depth) * size / 2 + 0.5).clamp(0, 1)[:, None]
    filled = over(filled, colour[:, 1, :, None, None], edge)
    shadow = ((0.06 + torch.minimum(depth, south + high)) * size / 12).clamp(0, 1)[:, None]
    picture = picture * (1 - shadow * dice.uniform(count, 1, 1, 1, high=0.35))
    return over(picture, filled.clamp(0, 1), (depth * size / 2 + 0.5).clamp(0, 1)[:, None])


def crowd(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    """The same things again and again: bricks, shelves, seats, windows, faces in rows, each a little different."""
    count, _, size, _ = stuff.shape
    y, x = coordinates(size, dice.device)
    angle = dice.normal(count, 1, 1) * 0.3
    depth = 1 + dice.uniform(count, 1, 1, low=-0.4, high=0.4) * x + dice.uniform(count, 1, 1, low=-0.4, high=0.4) * y
    east, south = (x * angle.cos() - y * angle.sin()) / depth, (x * angle.sin() + y * angle.cos()) / depth
    rows = dice.uniform(count, 1, 1, low=2, high=7)
    down = south * rows + dice.uniform(count, 1, 1)
    across = east * rows * (dice.normal(count, 1, 1) * 0.4).exp() + 0.5 * down.floor() * dice.chance(0.5, count, 1, 1)
    cell = (across.floor() * 127.1 + down.floor() * 311.7 + dice.uniform(count, 1, 1, high=99)).sin() * 43758.5
    lot = cell - cell.floor()
    inner = torch.stack([torch.remainder(across, 1) * 2 - 1, torch.remainder(down, 1) * 2 - 1], -1)
    jitter = (lot[..., None] - 0.5) * dice.uniform(count, 1, 1, 1, high=0.6)
    body = inside(dice, inner[..., 0] * 1.15 + jitter[..., 0], inner[..., 1] * 1.15 - jitter[..., 0])
    skin = functional.grid_sample(stuff, inner * 0.7 + jitter, padding_mode="reflection", align_corners=False)
    tint = (lot[:, None] - 0.5) * dice.normal(count, 3, 1, 1) * 0.6 + palettes(dice, count, 1).reshape(count, 3, 1, 1)
    skin = over(skin, tint.clamp(0, 1), dice.uniform(count, 1, 1, 1))
    back = moved(dice, _shuffled(dice, stuff), 0.3, 1.2) * dice.uniform(count, 1, 1, 1, low=0.2)
    mask = (body * size / rows * 0.5 + 0.5).clamp(0, 1)[:, None]
    picture = over(back, skin, mask * (lot < dice.uniform(count, 1, 1, low=0.7, high=1.3))[:, None])
    return _with_object(dice, picture, stuff) if dice.number() < 0.5 else picture  # noqa: PLR2004


def page(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    """A document, a poster or a screen: blocks of writing and pictures in a layout."""
    count, _, size, _ = stuff.shape
    paper = torch.where(
        dice.chance(0.6, count, 1, 1, 1), dice.uniform(count, 3, 1, 1, low=0.85), dice.uniform(count, 3, 1, 1)
    )
    ink = torch.where(paper.mean(1, keepdim=True) > 0.5, paper * 0.15, 1 - (1 - paper) * 0.15)  # noqa: PLR2004
    picture = paper.expand(-1, -1, size, size)
    for turn in range(dice.whole(2, 5)):
        picture = _box(dice, picture, stuff.roll(turn, 0))
    for _ in range(dice.whole(1, 4)):
        lines = pasted(dice, writing(dice, count, size, dice.whole(2, 7)), 0.2, 0.8, turn=0.02, aspect=0.7)
        colour = torch.where(dice.chance(0.7, count, 1, 1, 1), ink, dice.uniform(count, 3, 1, 1))
        picture = over(picture, colour.expand_as(picture), lines)
    return picture


def drawn(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    """Still lifes with lines drawn over them."""
    return stroked(dice, still_life(dice, stuff))


SCENES: tuple[tuple[Scene, float], ...] = (
    (heap, 1.0),
    (still_life, 2.0),
    (drawn, 0.7),
    (studio, 1.6),
    (landscape, 1.4),
    (interior, 1.2),
    (crowd, 1.1),
    (page, 0.7),
)
"""Each scene with its share."""


def _shuffled(dice: Dice, stuff: torch.Tensor) -> torch.Tensor:
    return stuff[dice.order(len(stuff))]
