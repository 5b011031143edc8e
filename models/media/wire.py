"""
What a decoding child and its parent say to each other.

A message is a length (4 bytes, big-endian), a JSON header of that length, and raw bytes whose number the header
gives as `bytes`. Nothing is ever unpickled, and the parent believes nothing a child says before it has checked it:
a child that hostile bytes have taken over may answer anything.
"""

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.errors import (
    BadHash,
    CorruptMedia,
    DecodingTooCostly,
    EmptyMedia,
    MediaError,
    MediaTooLarge,
    TooManyFrames,
    TooManyPixels,
    UnsupportedMedia,
)
from models.media.types import DecodedFrame, Media, MediaLimits
from models.perceptual import pdq_from_hex

LENGTH = struct.Struct(">I")
MOST_HEADER_BYTES = 1 << 20
LONGEST_SENTENCE = 200
LONGEST_FORMAT = 16
SHORTEST_WAIT_S = 0.001

ERRORS: Mapping[str, type[MediaError]] = {
    kind.__name__: kind
    for kind in (
        EmptyMedia,
        UnsupportedMedia,
        CorruptMedia,
        MediaTooLarge,
        TooManyPixels,
        TooManyFrames,
        DecodingTooCostly,
    )
}


class BrokenMessage(Exception):
    """The other side does not speak as agreed, or is gone."""


class DecoderFault(RuntimeError):
    """The decoder is wrong, not the upload."""


def send(channel: socket.socket, header: Mapping[str, Any], *payloads: bytes | memoryview) -> None:
    """Send one message; `bytes` is added to the header."""
    text = json.dumps({**header, "bytes": sum(len(payload) for payload in payloads)}).encode()
    channel.sendall(LENGTH.pack(len(text)) + text)
    for payload in payloads:
        channel.sendall(payload)


def receive(
    channel: socket.socket, most_bytes: int, deadline: float | None = None
) -> tuple[dict[str, Any], memoryview]:
    """
    Read one message.

    Args:
        channel: where it comes from.
        most_bytes: how many raw bytes it may have.
        deadline: the `time.monotonic()` instant by which all of it must be here.

    Raises:
        BrokenMessage: the stream ended, or the message is longer than it may be.
        TimeoutError: the deadline passed.
    """
    (length,) = LENGTH.unpack(_exactly(channel, LENGTH.size, deadline))
    if length > MOST_HEADER_BYTES:
        raise BrokenMessage("header too long")
    try:
        header = json.loads(bytes(_exactly(channel, length, deadline)))
        payload_bytes = header["bytes"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise BrokenMessage("header unreadable") from error
    if not isinstance(payload_bytes, int) or not 0 <= payload_bytes <= most_bytes:
        raise BrokenMessage("payload of a forbidden length")
    return header, _exactly(channel, payload_bytes, deadline)


def media_to_message(media: Media) -> tuple[dict[str, Any], list[memoryview]]:
    """The header and payloads that `media_from_message` reads."""
    header = {
        "format": media.format,
        "width_px": media.width_px,
        "height_px": media.height_px,
        "duration_ms": media.duration_ms,
        "frames": [
            {
                "shape": frame.pixels.shape[:2],
                "pdq": frame.pdq.hex(),
                "pdq_quality": frame.pdq_quality,
                "low_information": frame.low_information,
                "position_ms": frame.position_ms,
            }
            for frame in media.frames
        ],
    }
    return header, [frame.pixels.data.cast("B") for frame in media.frames]


def error_to_message(error: MediaError) -> dict[str, Any]:
    return {"error": type(error).__name__, "sentence": str(error)}


def fault_to_message(error: Exception) -> dict[str, Any]:
    """A mistake of the decoder's own, by its kind alone: what it says may quote the upload."""
    return {"fault": type(error).__name__}


def media_from_message(header: Mapping[str, Any], payload: memoryview, limits: MediaLimits, sha256: str) -> Media:
    """
    Read a child's answer; the digest of the upload is the parent's own.

    Raises:
        MediaError: what the child says is wrong with the upload.
        DecoderFault: the decoder has a mistake of its own.
        BrokenMessage: the answer is not one that an honest child gives.
    """
    if "fault" in header:
        raise DecoderFault(f"The decoder made a mistake: {str(header['fault'])[:LONGEST_FORMAT]}.")
    if "error" in header:
        kind = ERRORS.get(str(header["error"]))
        if kind is None:
            raise BrokenMessage("unknown error")
        raise kind(str(header.get("sentence", ""))[:LONGEST_SENTENCE])
    try:
        return _media(header, payload, limits, sha256)
    except (KeyError, TypeError, ValueError, OverflowError, BadHash) as error:
        raise BrokenMessage("answer unreadable") from error


def most_answer_bytes(limits: MediaLimits) -> int:
    return 3 * limits.side_px**2 * max(1, limits.sampled_frames)


def _media(header: Mapping[str, Any], payload: memoryview, limits: MediaLimits, sha256: str) -> Media:
    frames = []
    offset = 0
    for said in header["frames"]:
        height, width = (_whole(extent, 1, limits.side_px) for extent in said["shape"])
        size = 3 * height * width
        pixels = np.frombuffer(payload[offset : offset + size], dtype=np.uint8).reshape(height, width, 3)
        offset += size
        frames.append(
            DecodedFrame(
                pixels=pixels,
                pdq=pdq_from_hex(said["pdq"]),
                pdq_quality=_whole(said["pdq_quality"], 0, 100),
                low_information=bool(said["low_information"]),
                position_ms=_whole(said["position_ms"], 0, 1 << 53),
            )
        )
    if offset != len(payload) or not 1 <= len(frames) <= max(1, limits.sampled_frames):
        raise ValueError("frames and payload disagree")
    duration_ms = header["duration_ms"]
    return Media(
        kind="image",
        format=str(header["format"])[:LONGEST_FORMAT],
        width_px=_whole(header["width_px"], 1, limits.max_pixels),
        height_px=_whole(header["height_px"], 1, limits.max_pixels),
        frames=tuple(frames),
        duration_ms=None if duration_ms is None else _whole(duration_ms, 0, 1 << 53),
        sha256=sha256,
    )


def _whole(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError("a number out of range")
    return value


def _exactly(channel: socket.socket, count: int, deadline: float | None) -> memoryview:
    buffer = bytearray(count)
    rest = memoryview(buffer)
    while rest:
        channel.settimeout(None if deadline is None else max(deadline - time.monotonic(), SHORTEST_WAIT_S))
        read = channel.recv_into(rest)
        if read == 0:
            raise BrokenMessage("the stream ended")
        rest = rest[read:]
    return memoryview(buffer)
