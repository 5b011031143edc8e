"""Seeded randomness for one stream of pictures: the same seed gives the same pictures on the same device."""

from __future__ import annotations

import hashlib
import random

import torch


class Dice:
    """
    Random tensors and random numbers from one seed; for one thread at a time.

    Tensors come from a generator of the device, plain numbers from the host, so that a decision about a whole batch
    never waits for an accelerator.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._tensors = torch.Generator(self.device).manual_seed(seed)
        self._numbers = random.Random(seed)

    @classmethod
    def of(cls, *names: int | str, device: torch.device | str = "cpu") -> Dice:
        """A stream of its own for each combination of names: `Dice.of(seed, "batch", 7)`."""
        digest = hashlib.sha256(repr(names).encode()).digest()
        return cls(int.from_bytes(digest[:7], "big"), device)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return torch.rand(shape, generator=self._tensors, device=self.device) * (high - low) + low

    def log_uniform(self, *shape: int, low: float, high: float) -> torch.Tensor:
        return self.uniform(*shape).mul(torch.tensor(high / low).log().item()).exp() * low

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self._tensors, device=self.device)

    def chance(self, probability: float, *shape: int) -> torch.Tensor:
        """Booleans, each true with this probability."""
        return torch.rand(shape, generator=self._tensors, device=self.device) < probability

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """From low to high, both included."""
        return torch.randint(low, high + 1, shape, generator=self._tensors, device=self.device)

    def order(self, count: int) -> torch.Tensor:
        """A permutation of 0 .. count - 1."""
        return torch.randperm(count, generator=self._tensors, device=self.device)

    def number(self, low: float = 0.0, high: float = 1.0) -> float:
        return self._numbers.uniform(low, high)

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self._numbers.randint(low, high)

    def some(self, count: int, probability: float) -> torch.Tensor:
        """
        The positions of a random subset: each of 0 .. count - 1 with this probability.

        Its size is drawn on the host, so that the accelerator is not waited for.
        """
        size = sum(self._numbers.random() < probability for _ in range(count))
        return self.order(count)[:size]
