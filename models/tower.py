"""A picture model on the device that was asked for, which goes on on the CPU when that device fails."""

import copy

import torch
from torch import nn

from models.embedder import Device
from models.errors import ModelUnavailable


class Tower:
    """
    Runs a network where it is fastest, and keeps it in main memory for when that place fails.

    For one thread at a time. A CUDA context that has failed gives nothing back, not even the weights, so they are
    held twice while an accelerator is used.

    Args:
        host: the network on the CPU, in evaluation mode.
        fast: the same on an accelerator, None where there is none.
        device: where `fast` is.
    """

    def __init__(self, host: nn.Module, fast: nn.Module | None = None, device: torch.device | None = None) -> None:
        # Convolutions are 6 to 25 % faster with the channels innermost (our networks, one core, batches of 1 and 8).
        self._host = host.to(memory_format=torch.channels_last)
        self._fast = fast
        self._device = device if fast is not None and device is not None else torch.device("cpu")
        self._degraded = False

    @classmethod
    def on(cls, device: Device, host: nn.Module) -> "Tower":
        """
        Place a network.

        Raises:
            ModelUnavailable: a device was asked for by name and is not there.
        """
        place = _place(device)
        if place.type == "cpu":
            return cls(host)
        try:
            return cls(host, copy.deepcopy(host).to(place).to(memory_format=torch.channels_last), place)
        except RuntimeError:
            tower = cls(host)
            tower._degraded = True
            return tower

    @property
    def device(self) -> str:
        return str(self._device)

    @property
    def degraded(self) -> bool:
        """Whether it was meant to run elsewhere and runs on the CPU."""
        return self._degraded

    def rows(self, pixels: torch.Tensor) -> torch.Tensor:
        """
        What the network makes of a batch, on the CPU in float32.

        Args:
            pixels: shape (n, 3, height, width), on the CPU.

        Raises:
            RuntimeError: the network fails on this batch on the CPU too.
        """
        if self._fast is None:
            return _forward(self._host, pixels)
        try:
            return self._in_parts(self._fast, pixels)
        except RuntimeError:
            rows = _forward(self._host, pixels)  # raises where the batch is at fault and the device is not
            self._retire()
            return rows

    def _in_parts(self, fast: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        """On the accelerator; in halves, and halves of those, when its memory is short."""
        try:
            return _forward(fast, pixels.to(self._device))
        except torch.OutOfMemoryError:
            if len(pixels) == 1:
                raise
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        half = len(pixels) // 2
        return torch.cat([self._in_parts(fast, pixels[:half]), self._in_parts(fast, pixels[half:])])

    def _retire(self) -> None:
        self._fast = None
        self._device = torch.device("cpu")
        self._degraded = True


def _place(device: Device) -> torch.device:
    present = {Device.CUDA: torch.cuda.is_available(), Device.MPS: torch.backends.mps.is_available(), Device.CPU: True}
    if device is Device.AUTO:
        return next(torch.device(kind.value) for kind, there in present.items() if there)
    if not present[device]:
        raise ModelUnavailable(f"There is no {device} device here: choose auto or cpu.")
    return torch.device("cuda:0" if device is Device.CUDA else device.value)


@torch.inference_mode()
def _forward(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    answer: torch.Tensor | tuple[torch.Tensor, ...] = network(pixels.contiguous(memory_format=torch.channels_last))
    if isinstance(answer, tuple):
        answer = answer[0]  # a CoCa tower answers its tokens too
    return answer.float().cpu()
