"""
The decoding child: `python -m models.media.worker SETTINGS`, with its parent on standard input, a socket.

Answers one upload after another until the parent is gone. It holds no secret, opens no file, and may be killed at any
instant.
"""

import json
import signal
import socket
import sys
import warnings
from pathlib import Path

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from models.errors import DecodingTooCostly, MediaError
from models.media.image import decode_image, readable_formats
from models.media.types import MediaLimits
from models.media.wire import BrokenMessage, error_to_message, fault_to_message, media_to_message, receive, send

PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Imported here because once confined the process may not be able to."""
OPEN_FILES = 16
WATCHDOG_GRACE_S = 2.0
"""The parent kills a child that takes too long; if the parent is gone, the child's own alarm does, this much later."""
MEMORY_PAGES = Path("/proc/self/statm")


def main() -> None:
    """Serve the parent until it is gone."""
    settings = json.loads(sys.argv[1])
    limits = MediaLimits(**settings["limits"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    channel = socket.socket(fileno=sys.stdin.fileno())
    _confine_pillow(limits)
    _confine_process(settings["memory_bytes"])
    send(channel, {"ready": True})
    while True:
        try:
            _, data = receive(channel, limits.max_bytes)
            signal.setitimer(signal.ITIMER_REAL, settings["timeout_s"] + WATCHDOG_GRACE_S)
            _answer(channel, bytes(data), limits)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except (BrokenMessage, OSError):
            return


def _answer(channel: socket.socket, data: bytes, limits: MediaLimits) -> None:
    try:
        header, payloads = media_to_message(decode_image(data, limits, digest=""))  # the parent trusts its own alone
    except MediaError as error:
        send(channel, error_to_message(error))
    except MemoryError:
        send(channel, error_to_message(DecodingTooCostly("Decoding this picture takes more memory than it may.")))
    except Exception as error:  # noqa: BLE001 our own mistake must be told to the parent as such
        send(channel, fault_to_message(error))
    else:
        send(channel, header, *payloads)


def _confine_pillow(limits: MediaLimits) -> None:
    readable_formats()
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def _confine_process(memory_bytes: int) -> None:
    """Bound what this process may take, where the platform can: Linux, and most of it elsewhere."""
    try:
        import resource  # noqa: PLC0415 POSIX only
    except ImportError:
        return
    wanted = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: OPEN_FILES}
    if MEMORY_PAGES.exists():
        at_rest = int(MEMORY_PAGES.read_text().split()[0]) * resource.getpagesize()
        wanted[resource.RLIMIT_AS] = at_rest + memory_bytes
    for limit, value in wanted.items():
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):
            continue  # the platform does not know it, or a stricter one holds already


if __name__ == "__main__":
    main()
