"""
Families of textures: the stuff that scenes are made of.

Each takes `(dice, count, size)` and answers pictures of shape (count, 3, size, size) in 0..1. Many different programs
teach more than many samples of one. Source: Baradad et al., "Procedural Image Programs" (2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

from models.training.canvas import TURN, coloured, coordinates, over, palettes, stretched
from models.training.dice import Dice
from models.training.shapes import inside, placed

Family = Callable[[Dice, int, int], torch.Tensor]


def spectral(
    dice: Dice, count: int, channels: int, size: int, steepness: tuple[float, float] = (0.6, 2.4)
) -> torch.Tensor:
    """Noise with a power-law spectrum, stretched along a random direction; a fifth band-limited. Unit variance."""
    down = torch.fft.fftfreq(size, device=dice.device)[:, None]
    across = torch.fft.rfftfreq(size, device=dice.device)[None]
    angle = dice.uniform(count, 1, 1, 1, high=math.pi)
    stretch = (dice.normal(count, 1, 1, 1) * 0.6).exp()
    along, athwart = across * angle.cos() + down * angle.sin(), down * angle.cos() - across * angle.sin()
    radius = ((along * stretch) ** 2 + (athwart / stretch) ** 2).sqrt() + 1 / size
    falling: torch.Tensor = radius ** -dice.uniform(count, 1, 1, 1, low=steepness[0], high=steepness[1])
    centre = dice.uniform(count, 1, 1, 1, low=0.03, high=0.25)
    band = (-(((radius - centre) / (0.3 * centre)) ** 2)).exp()
    amplitude = torch.where(dice.chance(0.2, count, 1, 1, 1), band, falling)
    waves = torch.complex(
        dice.normal(count, channels, *radius.shape[-2:]), dice.normal(count, channels, *radius.shape[-2:])
    )
    field: torch.Tensor = torch.fft.irfft2(waves * amplitude, s=(size, size))
    return (field - field.mean((2, 3), keepdim=True)) / (field.std((2, 3), keepdim=True) + 1e-6)


def clouds(dice: Dice, count: int, size: int) -> torch.Tensor:
    """Three noise fields, mixed into correlated channels or read through a palette."""
    fields = spectral(dice, count, 3, size)
    mixing = dice.normal(count, 3, 3) * dice.uniform(count, 1, 1, low=0.1, high=0.8) + dice.normal(count, 3, 1)
    contrast = dice.uniform(count, 1, 1, 1, low=0.08, high=0.3)
    mixed = torch.einsum("bij,bjhw->bihw", mixing, fields) * contrast + dice.uniform(count, 3, 1, 1, low=0.2, high=0.8)
    banded = coloured(dice, stretched(fields[:, 0] + 0.3 * fields[:, 1].abs()), 8)
    return torch.where(dice.chance(0.5, count, 1, 1, 1), mixed.clamp(0, 1), banded)


def waves(dice: Dice, count: int, size: int) -> torch.Tensor:
    """Stripes, rings, saws, checks and spirals over coordinates that were bent several times."""
    y, x = coordinates(size, dice.device)
    zoom = dice.log_uniform(count, 1, 1, low=1, high=9)
    across, down = x * zoom + dice.normal(count, 1, 1) * 3, y * zoom + dice.normal(count, 1, 1) * 3
    for octave in range(dice.whole(1, 4)):
        pitch = 1.6**octave
        bend = dice.uniform(count, 1, 1, high=1.2) / pitch
        turn = [pitch * dice.uniform(count, 1, 1, low=0.5, high=2) for _ in range(2)]
        start = [dice.uniform(count, 1, 1, high=TURN) for _ in range(2)]
        across, down = (
            across + bend * (down * turn[0] + start[0]).sin(),
            down + bend * (across * turn[1] + start[1]).cos(),
        )
    radius = (across**2 + down**2 + 0.01).sqrt()

    def pitch_() -> torch.Tensor:
        return dice.uniform(count, 1, 1, low=0.3, high=2.5)

    kinds = torch.stack(
        [
            (across * pitch_()).sin() * (down * pitch_()).cos(),
            (radius * pitch_() * 2).sin(),
            torch.remainder(across * pitch_() * 0.7 + down * pitch_() * 0.3, 1.0) * 2 - 1,
            ((across * pitch_() * 2).floor() + (down * pitch_() * 2).floor()).remainder(2) * 2 - 1,
            (torch.atan2(down, across) * dice.integers(1, 6, count, 1, 1) + radius * pitch_()).sin(),
        ],
        1,
    )
    share = dice.normal(count, 5) * dice.chance(0.5, count, 5)
    share[torch.arange(count, device=dice.device), dice.integers(0, 4, count)] += 1
    return coloured(dice, stretched(torch.einsum("bk,bkhw->bhw", share, kinds)), dice.whole(3, 8))


def painters(dice: Dice, count: int, size: int) -> torch.Tensor:
    """Random small networks from coordinates to colour. Source: CPPNs, Stanley 2007."""
    y, x = coordinates(size, dice.device)
    inputs = torch.stack([x, y, (x * x + y * y).sqrt()], -1).reshape(1, -1, 3)
    state = inputs * dice.log_uniform(count, 1, 1, low=1, high=7.4)
    hidden = 14
    bends: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        torch.sin,
        torch.tanh,
        torch.abs,
        lambda t: (-t * t).exp() * 2 - 1,
        lambda t: (2 * t).sin(),
    )
    for _ in range(dice.whole(3, 5)):
        weights = dice.normal(count, state.shape[-1], hidden) * (1.7 / math.sqrt(state.shape[-1]))
        state = bends[dice.whole(0, len(bends) - 1)](torch.baddbmm(dice.normal(count, 1, hidden), state, weights))
    colour = torch.bmm(state, dice.normal(count, hidden, 3) * (1.2 / math.sqrt(hidden)))
    colour = colour * dice.uniform(count, 1, 3, low=0.3, high=1) + dice.uniform(count, 1, 3, low=-0.6, high=0.6)
    return (colour.reshape(count, size, size, 3).permute(0, 3, 1, 2) * 0.5 + 0.5).clamp(0, 1)


def pyramids(dice: Dice, count: int, size: int) -> torch.Tensor:
    """An untrained convolutional generator with weights of its own for each picture, fed noise at every scale."""
    channels, side = 10, 4
    state = dice.normal(1, count * channels, side, side)
    colour = torch.zeros(count, 3, side, side, device=dice.device)
    while True:
        kernels = dice.normal(count * channels, channels, 3, 3) / math.sqrt(channels * 9)
        state = functional.conv2d(state, kernels, padding=1, groups=count).reshape(count, channels, side, side)
        state = state + dice.normal(count, 1, side, side) * dice.uniform(count, channels, 1, 1, high=0.6)
        state = functional.leaky_relu(state, 0.2).reshape(1, count * channels, side, side)
        state = state / (state.std((2, 3), keepdim=True) + 1e-3) * (dice.normal(1, count * channels, 1, 1) * 0.5).exp()
        mixing = dice.normal(count * 3, channels, 1, 1) / math.sqrt(channels)
        layer = functional.conv2d(state, mixing, groups=count).reshape(count, 3, side, side)
        below = functional.interpolate(colour, size=(side, side), mode="bilinear")
        colour = below + layer * dice.uniform(count, 1, 1, 1, low=0.2, high=1.3)
        if side >= size:
            break
        side = min(size, side * 2)
        state = functional.interpolate(state, size=(side, side), mode="bilinear")
    colour = colour - colour.mean((2, 3), keepdim=True)
    contrast = dice.uniform(count, 1, 1, 1, low=0.12, high=0.3) / (colour.std((1, 2, 3), keepdim=True) + 1e-4)
    return (colour * contrast + dice.uniform(count, 3, 1, 1, low=0.2, high=0.8)).clamp(0, 1)


def flames(dice: Dice, count: int, size: int, points: int = 1500, rounds: int = 26) -> torch.Tensor:
    """Iterated random maps, drawn as log density. Source: Draves, "The fractal flame algorithm" (2003)."""
    maps = dice.normal(count, 4, 2, 3)
    turn, shift = maps[..., :2] * 0.55, maps[..., 2] * 0.6
    colours, bends = palettes(dice, count, 4), dice.integers(0, 4, count, 4)
    spot = dice.uniform(count, points, 2, low=-1, high=1)
    tint = torch.full((count, points, 3), 0.5, device=dice.device)
    picture = torch.zeros(count, size * size, 4, device=dice.device)
    row = torch.arange(count, device=dice.device)[:, None]
    for step in range(rounds):
        choice = dice.integers(0, 3, count, points)
        spot = (turn[row, choice] @ spot[..., None])[..., 0] + shift[row, choice]
        bend, square = bends[row, choice][..., None], (spot**2).sum(-1, keepdim=True) + 1e-3
        swirl = torch.cat(
            [
                spot[..., :1] * square.sin() - spot[..., 1:] * square.cos(),
                spot[..., :1] * square.cos() + spot[..., 1:] * square.sin(),
            ],
            -1,
        )
        spot = torch.where(bend == 1, spot.sin(), torch.where(bend == 2, spot / square.clamp(min=0.15), spot))  # noqa: PLR2004
        spot = torch.where(bend == 3, swirl, spot).clamp(-4, 4)  # noqa: PLR2004
        tint = (tint + colours[row, choice]) / 2
        if step > 4:  # noqa: PLR2004 the first rounds have not reached the attractor
            cell = ((spot * 0.5 + 0.5) * size).long()
            seen = ((cell >= 0) & (cell < size)).all(-1, keepdim=True)
            cell = cell.clamp(0, size - 1)
            place = (cell[..., 1] * size + cell[..., 0])[..., None].expand(-1, -1, 4)
            picture.scatter_add_(1, place, torch.cat([tint, torch.ones_like(tint[..., :1])], -1) * seen)
    layers = picture.reshape(count, size, size, 4).permute(0, 3, 1, 2)
    layers = (layers * 2 + functional.avg_pool2d(layers, 3, 1, 1)) / 3
    density = (layers[:, 3:] * 2).log1p()
    light = (density / (density.amax((2, 3), keepdim=True) * 0.7 + 1e-6)).clamp(0, 1) ** 0.7
    return over(dice.uniform(count, 3, 1, 1), layers[:, :3] / (layers[:, 3:] + 1e-4), light).clamp(0, 1)


def gradients(dice: Dice, count: int, size: int) -> torch.Tensor:
    """A few colours, blended across the whole picture."""
    cells = dice.whole(2, 5)
    knots = palettes(dice, count, cells * cells).permute(0, 2, 1).reshape(count, 3, cells, cells)
    return functional.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True).clamp(0, 1)


def cells(dice: Dice, count: int, size: int) -> torch.Tensor:
    """Voronoi cells: stones, skin, crowds seen from far; flat, domed or rimmed."""
    seeds = dice.whole(12, 60)
    y, x = coordinates(size, dice.device)
    centre = dice.uniform(count, seeds, 2, low=-1.1, high=1.1)
    aspect = (dice.normal(count, 1, 1, 1) * 0.4).exp()
    far = ((x - centre[..., 0, None, None]) * aspect) ** 2 + ((y - centre[..., 1, None, None]) / aspect) ** 2
    two, which = far.topk(2, dim=1, largest=False)
    near, second = two.sqrt().unbind(1)
    shade = palettes(dice, count, seeds).gather(1, which[:, 0].reshape(count, -1, 1).expand(-1, -1, 3))
    picture = shade.reshape(count, size, size, 3).permute(0, 3, 1, 2)
    rim = ((second - near) * size / dice.uniform(count, 1, 1, low=1, high=6)).clamp(0, 1)[:, None]
    dome = 1 - near[:, None] * dice.uniform(count, 1, 1, 1, high=2.5)
    picture = picture * torch.where(dice.chance(0.6, count, 1, 1, 1), dome.clamp(min=0.1), torch.ones_like(dome))
    rimmed = over(dice.uniform(count, 3, 1, 1).expand_as(picture), picture, rim)
    return torch.where(dice.chance(0.6, count, 1, 1, 1), rimmed, picture).clamp(0, 1)


def leaves(dice: Dice, count: int, size: int, stuff: torch.Tensor | None = None) -> torch.Tensor:
    """
    Shapes of all sizes dropped on each other. Source: the dead-leaves model, Lee, Mumford and Huang 2001.

    Args:
        dice: the randomness.
        count: how many pictures.
        size: their side in pixels.
        stuff: textures to cut every other shape from, shape (count, 3, size, size); flat colours without.
    """
    number = dice.whole(15, 50)
    palette = palettes(dice, count, number)
    picture = palette[:, 0, :, None, None].expand(-1, -1, size, size) if stuff is None else stuff.roll(1, 0)
    for turn in range(number):
        large = turn < number // 4
        across, down, scale = placed(dice, count, size, 0.25 if large else 0.05, 0.9 if large else 0.5)
        mask = (inside(dice, across, down) * scale * size * 0.35 + 0.5).clamp(0, 1)[:, None]
        slope = dice.uniform(count, 1, 1, low=-0.35, high=0.35) * across.clamp(-1, 1)
        slope = slope + dice.uniform(count, 1, 1, low=-0.25, high=0.25) * down.clamp(-1, 1)
        paint = palette[:, turn, :, None, None] + slope[:, None]
        if stuff is not None and turn % 2:
            paint = (stuff.roll(turn, 0) - 0.5) * dice.uniform(count, 1, 1, 1, low=0.3, high=1.2) + paint
        picture = over(picture, paint, mask)
    return picture.clamp(0, 1)


FAMILIES: tuple[tuple[Family, float], ...] = (
    (clouds, 1.2),
    (waves, 1.1),
    (painters, 1.0),
    (pyramids, 1.4),
    (flames, 0.4),
    (gradients, 0.5),
    (cells, 0.7),
    (leaves, 1.2),
)
"""Each family with its share."""


def textures(dice: Dice, count: int, size: int) -> torch.Tensor:
    """Textures of all families, in random order."""
    shares = [share for _, share in FAMILIES]
    ends = [sum(shares[: place + 1]) / sum(shares) for place in range(len(shares))]
    draws = [dice.number() for _ in range(count)]
    parts: list[torch.Tensor] = []
    for place, (family, _) in enumerate(FAMILIES):
        low = ends[place - 1] if place else 0.0
        wanted = sum(low <= draw < ends[place] or (place == len(ends) - 1 and draw >= ends[place]) for draw in draws)
        if wanted:
            parts.append(family(dice, wanted, size))
    return torch.cat(parts)[dice.order(count)]
