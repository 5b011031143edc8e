"""The loss: a copy must be nearer than everything else, and everything else must keep its distance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Loss:
    """
    Args:
        total: what is minimised.
        contrast: the contrastive part.
        spread: mean distance of a row to its nearest negative.
    """

    total: torch.Tensor
    contrast: torch.Tensor
    spread: torch.Tensor


class Memory:
    """
    The rows of the last steps, as further negatives. Source: Wang et al. 2020, "Cross-batch memory".

    Args:
        rows: how many it holds; 0 for none.
        dim: their length.
        device: where.
    """

    def __init__(self, rows: int, dim: int, device: torch.device) -> None:
        self.embeddings = torch.zeros(rows, dim, device=device)
        self.origins = torch.full((rows, 3), -1, dtype=torch.long, device=device)
        self.filled = 0
        self.next = 0

    def add(self, embeddings: torch.Tensor, origins: torch.Tensor) -> None:
        """Forget the oldest rows for these, shapes (n, dim) and (n, 3)."""
        if not len(self.embeddings):
            return
        place = (torch.arange(len(embeddings), device=embeddings.device) + self.next) % len(self.embeddings)
        self.embeddings[place] = embeddings.detach()
        self.origins[place] = origins
        self.next = (self.next + len(embeddings)) % len(self.embeddings)
        self.filled = min(len(self.embeddings), self.filled + len(embeddings))


def copy_loss(
    embeddings: torch.Tensor, origins: torch.Tensor, memory: Memory, temperature: float, entropy: float
) -> Loss:
    """
    InfoNCE over a batch and a memory, plus the Kozachenko-Leonenko entropy term.

    contrast = -log exp(s_ij / t) / (exp(s_ij / t) + sum over negatives k of exp(s_ik / t)), for each row i and the
    other view j of its picture; entropy term = -mean over i of log min over k of |x_i - x_k|.
    Rows that show a part of a common picture are neither positives nor negatives of each other.
    Source: SSCD (Pizzi et al. 2022), sections 3.2 and 3.3.

    Args:
        embeddings: shape (2 n, dim), unit rows; row i and row n + i are views of one picture.
        origins: int64, shape (2 n, 3), what each shows a part of, -1 for nothing.
        memory: earlier rows; it is not changed.
        temperature: t.
        entropy: weight of the entropy term.
    """
    count = len(embeddings)
    others = torch.cat([embeddings, memory.embeddings[: memory.filled]])
    theirs = torch.cat([origins, memory.origins[: memory.filled]])
    scores = embeddings @ others.T
    related = torch.zeros_like(scores, dtype=torch.bool)
    for own in origins.unbind(1):
        for their in theirs.unbind(1):
            related |= (own[:, None] == their[None]) & (own[:, None] >= 0)
    place = torch.arange(count, device=embeddings.device)
    partner = place.roll(count // 2)
    related[place, place] = True
    related[place, partner] = True
    nearest = scores.masked_fill(related, -1).amax(1)
    distance = (2 - 2 * nearest).clamp(min=1e-6).sqrt()
    ignored = related.clone()
    ignored[place, partner] = False
    contrast = functional.cross_entropy((scores / temperature).masked_fill(ignored, -1e4), partner)
    return Loss(contrast - entropy * distance.log().mean(), contrast.detach(), distance.detach().mean())
