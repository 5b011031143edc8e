"""The parent believes nothing that a child says before it has checked it."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from models.errors import MediaError, TooManyPixels
from models.media.types import DecodedFrame, Media, MediaLimits
from models.media.wire import (
    MOST_HEADER_BYTES,
    BrokenMessage,
    DecoderFault,
    error_to_message,
    fault_to_message,
    media_from_message,
    media_to_message,
    most_answer_bytes,
    receive,
    send,
)

LIMITS = MediaLimits(side_px=8, sampled_frames=2, max_pixels=10_000)
DIGEST = "ab" * 32


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def media() -> Media:
    pixels = np.arange(8 * 4 * 3, dtype=np.uint8).reshape(8, 4, 3)
    frames = tuple(DecodedFrame(pixels + n, bytes([n]) * 32, 70 + n, n == 0, 40 * n) for n in range(2))
    return Media("image", "gif", 80, 40, frames, 80, DIGEST)


def test_media_goes_there_and_back(ends: tuple[socket.socket, socket.socket]) -> None:
    header, payloads = media_to_message(media())
    send(ends[0], header, *payloads)
    back = media_from_message(*receive(ends[1], most_answer_bytes(LIMITS)), LIMITS, DIGEST)
    assert (back.format, back.width_px, back.height_px, back.duration_ms, back.sha256) == ("gif", 80, 40, 80, DIGEST)
    for came, went in zip(back.frames, media().frames, strict=True):
        assert np.array_equal(came.pixels, went.pixels)
        assert (came.pdq, came.pdq_quality, came.low_information, came.position_ms) == (
            went.pdq,
            went.pdq_quality,
            went.low_information,
            went.position_ms,
        )


def test_errors_go_there_and_back() -> None:
    with pytest.raises(TooManyPixels, match="so many"):
        media_from_message(error_to_message(TooManyPixels("so many")), memoryview(b""), LIMITS, DIGEST)


@pytest.mark.parametrize("error", ["SystemExit", "ModelsError", "", None, ["CorruptMedia"]])
def test_an_error_that_no_decoder_raises_is_not_raised(error: Any) -> None:
    with pytest.raises(BrokenMessage):
        media_from_message({"error": error, "sentence": "x"}, memoryview(b""), LIMITS, DIGEST)


def test_a_mistake_of_the_decoders_own_is_not_blamed_on_the_upload() -> None:
    with pytest.raises(DecoderFault, match="NameError"):
        media_from_message(fault_to_message(NameError("secret")), memoryview(b""), LIMITS, DIGEST)


def test_a_long_sentence_is_cut() -> None:
    with pytest.raises(MediaError) as caught:
        media_from_message({"error": "CorruptMedia", "sentence": "x" * 10_000}, memoryview(b""), LIMITS, DIGEST)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(
    ("part", "lie"),
    [
        ("shape", [99_999, 99_999]),
        ("shape", [8, 8]),
        ("shape", [-8, -4]),
        ("shape", [8]),
        ("shape", "84"),
        ("shape", None),
        ("pdq", "nothing"),
        ("pdq", None),
        ("pdq_quality", 101),
        ("pdq_quality", "70"),
        ("position_ms", -1),
    ],
)
def test_a_lie_about_a_frame_is_found_out(part: str, lie: Any) -> None:
    header, payloads = media_to_message(media())
    header["frames"][1][part] = lie
    with pytest.raises(BrokenMessage):
        media_from_message(header, memoryview(b"".join(payloads)), LIMITS, DIGEST)


@pytest.mark.parametrize(
    ("part", "lie"),
    [
        ("width_px", 0),
        ("height_px", 10_001),
        ("duration_ms", -5),
        ("duration_ms", "long"),
        ("frames", []),
        ("frames", 3),
    ],
)
def test_a_lie_about_the_whole_is_found_out(part: str, lie: Any) -> None:
    header, payloads = media_to_message(media())
    payload = b"" if part == "frames" else b"".join(payloads)
    with pytest.raises(BrokenMessage):
        media_from_message({**header, part: lie}, memoryview(payload), LIMITS, DIGEST)


def test_more_frames_than_were_asked_for_are_found_out() -> None:
    header, payloads = media_to_message(media())
    header["frames"] *= 2
    with pytest.raises(BrokenMessage):
        media_from_message(header, memoryview(b"".join(payloads) * 2), LIMITS, DIGEST)


@pytest.mark.parametrize(
    "message",
    [
        struct.pack(">I", MOST_HEADER_BYTES + 1),
        struct.pack(">I", 5) + b"hello",
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 2) + b"{}",
        struct.pack(">I", 14) + b'{"bytes": 9e9}',
        struct.pack(">I", 13) + b'{"bytes": 11}' + b"x" * 11,
        struct.pack(">I", 13) + b'{"bytes": -1}',
        struct.pack(">I", 13) + b'{"bytes": 10}' + b"x" * 9,
        b"\0\0",
    ],
)
def test_a_message_that_is_not_as_agreed_is_refused(ends: tuple[socket.socket, socket.socket], message: bytes) -> None:
    ends[0].sendall(message)
    ends[0].close()
    with pytest.raises(BrokenMessage):
        receive(ends[1], 10)


def test_a_message_that_trickles_in_is_not_waited_for_past_the_deadline(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ends[0].sendall(struct.pack(">I", 50) + json.dumps({"by": 1}).encode())
    with pytest.raises(TimeoutError):
        receive(ends[1], 10, time.monotonic() + 0.01)
