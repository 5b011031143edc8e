"""
The pictures at hand: a ring of generated ones that grows and renews itself, and photographs beside them.

What batch number i holds depends only on the seed, the options and i, so that a run can be taken up again anywhere.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from models.training.canvas import over, smooth
from models.training.dice import Dice
from models.training.edits.pairs import Pairs, paired
from models.training.errors import PoolFailed
from models.training.generator import generate
from models.training.options import TrainingOptions

PHOTOGRAPH_IDS = 1 << 40
"""Origins from here on are photographs."""
EXTRAS = 32
"""Other pictures that a batch lends from, for backgrounds and stickers."""
BASE_SCALE = 1.5
"""Pictures are brought to this many times the views' side before they are edited."""
GENERATOR_VERSION = 1
"""Raise it with every change of what the generator draws: pictures kept by an earlier one are then made anew."""
ZEROS = bytes(1 << 20)


class Ring:
    """
    The newest generated pictures, uint8, on the device or (on a CPU) in a file that outlives the run.

    For one thread. Chunk c is always the same pictures, whoever makes it.
    """

    def __init__(self, options: TrainingOptions, stream: int, device: torch.device) -> None:
        self._options, self._stream, self._device = options, stream, device
        self._chunk = options.chunk
        self._slots = max(1, options.pool // self._chunk)
        self._marks: np.ndarray | None = None
        if device.type == "cpu":
            self._pictures, self._marks = _kept(options, stream)
        else:
            self._pictures = torch.empty(_shape(options), dtype=torch.uint8, device=device)
        self._made = 0

    def up_to(self, batch: int) -> None:
        """Make what is missing before batch number `batch` of this stream can be drawn."""
        options = self._options
        wanted = min(options.pool_start + batch * options.fresh, max(options.pool_pictures, self._chunk))
        chunks = max(1, wanted // self._chunk)
        for chunk in range(max(self._made, chunks - self._slots), chunks):
            slot = chunk % self._slots
            if self._marks is None or self._marks[slot] != chunk + 1:
                dice = Dice.of(options.seed, "chunk", self._stream, chunk, device=self._device)
                made = (generate(dice, self._chunk, options.pool_size) * 255).round().to(torch.uint8)
                self._pictures[slot * self._chunk : (slot + 1) * self._chunk] = made
                if self._marks is not None:
                    self._marks[slot] = chunk + 1
        self._made = max(self._made, chunks)

    def draw(self, dice: Dice, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Distinct pictures as uint8 and their ids; the same one twice only where there are too few."""
        held = min(self._made, self._slots) * self._chunk
        slots = dice.order(held)[:count] if held >= count else dice.integers(0, held - 1, count)
        lap = (self._made - 1) // self._slots * self._slots * self._chunk
        ids = slots + lap
        ids = torch.where(ids >= self._made * self._chunk, ids - self._slots * self._chunk, ids)
        return self._pictures[slots], ids


class Batches:
    """
    Batches of pairs of views, from a ring of its own and the photographs; for one thread.

    Args:
        options: of the run.
        photographs: uint8, shape (n, 3, side, side), none to train on generated pictures only.
        stream: which of several sources this is; each has its own pictures.
        device: to make and edit pictures on.
    """

    def __init__(self, options: TrainingOptions, photographs: torch.Tensor, stream: int, device: torch.device) -> None:
        self._options, self._stream, self._device = options, stream, device
        self._ring = Ring(options, stream, device)
        self._photographs = photographs.to(device)

    def batch(self, step: int) -> Pairs:
        """The pairs of this step."""
        options = self._options
        size = options.size_at(step)
        dice = Dice.of(options.seed, "batch", step, device=self._device)
        self._ring.up_to(step // max(1, options.workers))
        base = min(options.pool_size, int(size * BASE_SCALE))
        pictures, ids = self._drawn(dice, options.pairs + EXTRAS, base)
        own, extras = pictures[: options.pairs], pictures[options.pairs :]
        extras = functional.interpolate(extras, size=(size, size), mode="bilinear", antialias=True)
        mixed, origins = remixed(dice, own, ids[: options.pairs])
        return paired(dice, mixed, origins, extras, ids[options.pairs :], size=size)

    def _drawn(self, dice: Dice, count: int, base: int) -> tuple[torch.Tensor, torch.Tensor]:
        photos = round(count * self._options.photo_share) if len(self._photographs) else 0
        parts, ids = [], []
        if count > photos:
            drawn, names = self._ring.draw(dice, count - photos)
            parts.append(_resized(drawn.float() / 255, base))
            ids.append(names)
        if photos:
            chosen = dice.integers(0, len(self._photographs) - 1, photos)
            parts.append(_part(dice, self._photographs[chosen].float() / 255, base))
            ids.append(chosen + PHOTOGRAPH_IDS)
        order = dice.order(count)
        return torch.cat(parts)[order], torch.cat(ids)[order]


def remixed(dice: Dice, pictures: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    New identities cheaply: channels mixed into each other, and parts of two pictures joined along a soft edge.

    Returns:
        the pictures, and what each is made of, shape (n, 2), -1 for nothing more.
    """
    count, _, size, _ = pictures.shape
    origins = torch.stack([ids, torch.full_like(ids, -1)], 1)
    chosen = dice.some(count, 0.45)
    if len(chosen):
        matrix = torch.eye(3, device=dice.device) + dice.normal(len(chosen), 3, 3) * 0.35
        middle = pictures[chosen].mean((2, 3), keepdim=True)
        pictures[chosen] = (torch.einsum("bij,bjhw->bihw", matrix, pictures[chosen] - middle) + middle).clamp(0, 1)
    chosen = dice.some(count, 0.3)
    if len(chosen) > 1:
        edge = smooth(dice, len(chosen), 1, dice.whole(2, 6), size) + dice.normal(len(chosen), 1, 1, 1) * 0.3
        partner = chosen.roll(1)
        joined = over(pictures[partner], pictures[chosen], (edge * 8 + 0.5).clamp(0, 1))
        origins[chosen, 1] = ids[partner]
        pictures[chosen] = joined
    return pictures, origins


def _resized(pictures: torch.Tensor, side: int) -> torch.Tensor:
    if pictures.shape[-1] == side:
        return pictures
    return functional.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)


def _part(dice: Dice, pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Half of them whole, half a part of them: photographs are few, their parts are many."""
    count = len(pictures)
    share = torch.where(
        dice.chance(0.5, count), dice.uniform(count, low=0.45, high=1.0), torch.ones(count, device=dice.device)
    )
    shift = (1 - share)[:, None] * dice.uniform(count, 2, low=-1)
    matrix = torch.zeros(count, 2, 3, device=dice.device)
    matrix[:, 0, 0] = share * torch.where(dice.chance(0.5, count), -1.0, 1.0)
    matrix[:, 1, 1] = share
    matrix[:, :, 2] = shift
    grid = functional.affine_grid(matrix, [count, 3, side, side], align_corners=False)
    return functional.grid_sample(_resized(pictures, int(side * 1.2)), grid, align_corners=False)


def reserve(options: TrainingOptions) -> None:
    """
    Take the room on disk for the rings of every worker, before any of them starts.

    Raises:
        PoolFailed: there is not enough, or the folder cannot be written.
    """
    for stream in range(max(1, options.workers)):
        _kept(options, stream)


def _shape(options: TrainingOptions) -> tuple[int, ...]:
    slots = max(1, options.pool // options.chunk)
    return slots * options.chunk, 3, options.pool_size, options.pool_size


def _kept(options: TrainingOptions, stream: int) -> tuple[torch.Tensor, np.ndarray]:
    """The ring's file and the file of which chunk is in which slot; both are remade when the options differ."""
    shape = _shape(options)
    slots = shape[0] // options.chunk
    stem = f"pool-{options.seed}-{options.pool_size}-{shape[0]}-{options.chunk}-{stream}-v{GENERATOR_VERSION}"
    pictures_at, marks_at = options.folder / f"{stem}.bin", options.folder / f"{stem}.marks.bin"
    sizes = {pictures_at: int(np.prod(shape)), marks_at: slots * np.dtype(np.int64).itemsize}
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        if not all(path.exists() and path.stat().st_size == size for path, size in sizes.items()):
            marks_at.unlink(missing_ok=True)  # marks must never speak of pictures that are not there
            for path, size in sizes.items():
                _reserved(path, size)
        pictures = np.memmap(pictures_at, dtype=np.uint8, mode="r+", shape=shape)
        marks = np.memmap(marks_at, dtype=np.int64, mode="r+", shape=(slots,))
    except OSError as error:
        needed = sum(sizes.values()) / 1e6
        raise PoolFailed(
            f"the pool of pictures needs {needed:.0f} MB in the run's folder: {error.strerror or error}"
        ) from error
    return torch.from_numpy(pictures), marks


def _reserved(path: Path, size: int) -> None:
    """
    A file of zeros whose room is taken: where a file has holes, a full disk kills whoever writes to its mapping.

    Raises:
        OSError: it does not fit, and is gone again.
    """
    try:
        with path.open("wb") as opened:
            try:
                os.posix_fallocate(opened.fileno(), 0, size)
            except (AttributeError, OSError) as error:
                # Not every system or file system can.
                if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
                for start in range(0, size, len(ZEROS)):
                    opened.write(ZEROS[: size - start])
    except OSError:
        path.unlink(missing_ok=True)
        raise
