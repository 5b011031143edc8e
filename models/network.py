"""
The descriptor's own network, registered with timm so that open_clip builds it from a local-dir.

A plain residual network: 3x3 convolutions only (no depthwise ones: they fold, quantise and run well everywhere),
a stem that divides the resolution by four, four stages, generalised-mean pooling, one linear layer to a unit row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, cast

import timm.models
import torch
from torch import nn
from torch.nn import functional

STAGE_BLOCKS = (1, 2, 2, 2)
STAGE_STRIDES = (1, 2, 2, 1)
STAGE_WIDTHS = (1, 2, 4, 8)
GEM_START = 3.0
"""Source: SSCD (Pizzi et al. 2022), section 4.1: GeM with p = 3."""
GEM_FLOOR = 1e-5

NAME_PREFIX = "afterimage_copy"


@dataclass(frozen=True, slots=True)
class Shape:
    """
    The size of a network.

    Args:
        width: channels of the stem; the stages have 1, 2, 4 and 8 times as many.
        dim: length of the row it answers.
        norm: with batch normalisation after each convolution (to train), or folded into it (to ship).
    """

    width: int = 32
    dim: int = 256
    norm: bool = False

    @property
    def name(self) -> str:
        """What timm calls it; only folded networks have a name."""
        return f"{NAME_PREFIX}_w{self.width}"


NAMED_SHAPES = (Shape(width=24), Shape(width=32), Shape(width=48))
"""What a local-dir may ask for by name."""


class Convolution(nn.Module):
    """A convolution, and its batch normalisation unless that is folded into weight and bias."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, *, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=not norm)
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(channels_out) if norm else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, channels_in, h, w) to (n, channels_out, h / stride, w / stride), rounded up."""
        x = self.conv(x)
        return x if self.norm is None else self.norm(x)


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; the shortcut averages where the block strides."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, *, norm: bool) -> None:
        super().__init__()
        self.first = Convolution(channels_in, channels_out, 3, stride, norm=norm)
        self.second = Convolution(channels_out, channels_out, 3, 1, norm=norm)
        self.shortcut: nn.Sequential | None = None
        if channels_in != channels_out or stride != 1:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, Convolution(channels_in, channels_out, 1, 1, norm=norm))
        elif self.second.norm is not None:
            nn.init.zeros_(self.second.norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, channels_in, h, w) to (n, channels_out, h / stride, w / stride), rounded up."""
        kept = x if self.shortcut is None else self.shortcut(x)
        return functional.relu(self.second(functional.relu(self.first(x))) + kept)


class GeneralisedMean(nn.Module):
    """Pooling between mean (p = 1) and maximum (p large), with a learned p; always in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(GEM_START))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, channels, h, w) to (n, channels)."""
        return x.float().clamp(min=GEM_FLOOR).pow(self.power).mean((2, 3)).pow(1 / self.power)


class CopyNetwork(nn.Module):
    """
    Pictures to unit rows in which copies are near and everything else is far.

    Takes any resolution from 32 pixels up: training uses a smaller one than matching does.
    """

    default_cfg: ClassVar[dict[str, object]] = {}
    """timm's; open_clip looks into it where a folder puts a projection of its own behind the network."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.num_features = shape.dim
        width = shape.width
        self.stem = nn.Sequential(
            Convolution(3, width, 3, 2, norm=shape.norm),
            nn.ReLU(),
            Convolution(width, width, 3, 2, norm=shape.norm),
            nn.ReLU(),
        )
        blocks: list[Block] = []
        channels = width
        for count, stride, times in zip(STAGE_BLOCKS, STAGE_STRIDES, STAGE_WIDTHS, strict=True):
            for position in range(count):
                blocks.append(Block(channels, width * times, 1 if position else stride, norm=shape.norm))
                channels = width * times
        self.stages = nn.Sequential(*blocks)
        self.pool = GeneralisedMean()
        self.head = nn.Linear(channels, shape.dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, 3, h, w), each value (v / 255 - 0.5) / 0.25, to (n, dim) float32 rows of norm 1."""
        pooled = self.pool(self.stages(self.stem(x)))
        with torch.autocast(x.device.type, enabled=False):
            return functional.normalize(self.head(pooled.to(self.head.weight.dtype)).float(), dim=1)

    def reset_classifier(self, num_classes: int = 0, global_pool: str = "") -> None:
        """open_clip calls this on every timm network; the row is the answer, so there is nothing to reset."""


def register() -> None:
    """Make timm know the named shapes, so that open_clip can build them. Calling it again does nothing."""
    for shape in NAMED_SHAPES:
        if not timm.models.is_model(shape.name):
            timm.models.register_model(_builder(shape))


def folded(network: CopyNetwork) -> CopyNetwork:
    """
    The same function without batch normalisation: faster, and what is shipped.

    Returns:
        a new network in evaluation mode, on the CPU, in float32.
    """
    source = network.eval().float().cpu()
    target = CopyNetwork(Shape(source.shape.width, source.shape.dim, norm=False))
    rows = target.state_dict()
    convolutions = {name: part for name, part in source.named_modules() if isinstance(part, Convolution)}
    for key, value in source.state_dict().items():
        if key in rows and ".conv." not in key:
            rows[key] = value
    for name, part in convolutions.items():
        rows[f"{name}.conv.weight"], rows[f"{name}.conv.bias"] = _folded_weights(part)
    target.load_state_dict(rows)
    return target.eval()


def unfolded(network: CopyNetwork, pictures: torch.Tensor) -> CopyNetwork:
    """
    A network to train further that starts as the same function: batch normalisation is measured and put back.

    Args:
        network: folded, for instance the shipped one.
        pictures: shape (n, 3, h, w), prepared as for `forward`; a few hundred, so that the statistics hold.
    """
    measured: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    hooks = [
        part.register_forward_hook(_measure(name, measured))
        for name, part in network.named_modules()
        if isinstance(part, Convolution)
    ]
    with torch.inference_mode():
        network.eval()(pictures)
    for hook in hooks:
        hook.remove()
    target = CopyNetwork(Shape(network.shape.width, network.shape.dim, norm=True))
    rows = target.state_dict()
    source = network.state_dict()
    rows.update({key: value for key, value in source.items() if key in rows})
    for name, (mean, variance) in measured.items():
        scale = (variance + nn.BatchNorm2d(1).eps).sqrt()
        rows[f"{name}.norm.weight"] = scale
        rows[f"{name}.norm.bias"] = mean
        rows[f"{name}.norm.running_mean"] = mean - source[f"{name}.conv.bias"]
        rows[f"{name}.norm.running_var"] = variance
    target.load_state_dict({key: value.clone() for key, value in rows.items()})
    return target


def _builder(shape: Shape) -> Callable[..., CopyNetwork]:
    def build(pretrained: bool = False, **_: object) -> CopyNetwork:  # noqa: FBT001, FBT002 timm's signature
        if pretrained:
            message = f"{shape.name} has no weights of its own: load a local-dir that holds them"
            raise ValueError(message)
        return CopyNetwork(shape)

    build.__name__ = shape.name
    build.__module__ = __name__
    return build


def _folded_weights(part: Convolution) -> tuple[torch.Tensor, torch.Tensor]:
    weight = part.conv.weight.detach().double()
    norm = part.norm
    if norm is None:
        return weight.float(), cast("torch.Tensor", part.conv.bias).detach()
    mean, variance = cast("torch.Tensor", norm.running_mean), cast("torch.Tensor", norm.running_var)
    scale = norm.weight.detach().double() / (variance.double() + norm.eps).sqrt()
    bias = norm.bias.detach().double() - mean.double() * scale
    return (weight * scale[:, None, None, None]).float(), bias.float()


def _measure(
    name: str, into: dict[str, tuple[torch.Tensor, torch.Tensor]]
) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
    def hook(_part: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        into[name] = output.mean((0, 2, 3)), output.var((0, 2, 3), unbiased=False)

    return hook
