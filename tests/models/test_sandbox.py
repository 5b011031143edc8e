"""Decoding in children: the same answers, and nothing that a child does harms anybody but its own upload."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from models.errors import (
    CorruptMedia,
    DeadlinePassed,
    DecoderClosed,
    DecodingTooCostly,
    EmptyMedia,
    MediaTooLarge,
    TooManyPixels,
    UnsupportedMedia,
)
from models.media.image import decode_image
from models.media.sandbox import Decoder, Precedence
from models.media.types import MediaLimits

Scene = Callable[..., Image.Image]
Encode = Callable[..., bytes]

LIMITS = MediaLimits()

# A child that speaks the protocol and does what the upload's first word says.
ACTOR = """
import os, signal, socket, struct, sys
from models.media.wire import receive, send
channel = socket.socket(fileno=0)
send(channel, {"ready": True})
while True:
    _, data = receive(channel, 1 << 20)
    act = bytes(data).decode()
    honest = {"format": "png", "width_px": 2, "height_px": 2, "duration_ms": None,
              "frames": [{"shape": [2, 2], "pdq": "0" * 64, "pdq_quality": 0, "low_information": True,
                          "position_ms": 0}]}
    match act:
        case "crash": os.kill(os.getpid(), signal.SIGSEGV)
        case "hang": signal.pause()
        case "environment": send(channel, {"error": "CorruptMedia", "sentence": " ".join(sorted(os.environ))})
        case "noise": channel.sendall(b"\\xff" * 64)
        case "twice":
            send(channel, {"error": "CorruptMedia", "sentence": "x"})
            send(channel, honest | {"format": "gif"}, bytes(12))
            os.kill(os.getpid(), signal.SIGSTOP)
        case _:
            if act.startswith("await "): open(act[6:]).close()
            send(channel, honest, bytes(12))
"""
LONG = 30.0
"""Seconds that a test which works never waits."""


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    pool = Decoder(LIMITS, processes=2, timeout_s=LONG)
    yield pool
    pool.close()


@pytest.fixture
def actor(tmp_path: Path) -> Iterator[Decoder]:
    pool = acting(tmp_path, processes=1)
    yield pool
    pool.close()


def acting(folder: Path, processes: int) -> Decoder:
    script = folder / "actor.py"
    script.write_text(ACTOR)
    command = (sys.executable, str(script))
    return Decoder(MediaLimits(sampled_frames=1), processes=processes, timeout_s=LONG, command=command)


def pipe(folder: Path, name: str) -> Path:
    """A child told to await it does so until somebody writes to it."""
    os.mkfifo(folder / name)
    return folder / name


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < give_up
        threading.Event().wait(0.0005)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def slow_animation(encode: Encode) -> bytes:
    """A file of a few bytes that takes seconds to decode: one frame of a GIF, many times over."""
    still = encode(Image.new("P", (600, 600)), "GIF")
    start = still.index(b",\0\0\0\0")
    return still[:start] + (b"!\xf9\x04\0\x01\0\0\0" + still[start:-1]) * 1900 + b";"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_a_child_answers_what_decoding_here_answers(decoder: Decoder, scene: Scene, encode: Encode, kind: str) -> None:
    more = {} if kind == "JPEG" else {"save_all": True, "append_images": [scene(700, 500, seed=1)]}
    data = encode(scene(700, 500), kind, **more)
    here, there = decode_image(data, LIMITS), decoder.decode(data)
    assert len(here.frames) == len(there.frames)
    for left, right in zip(here.frames, there.frames, strict=True):
        assert np.array_equal(left.pixels, right.pixels)
        assert (left.pdq, left.pdq_quality, left.low_information, left.position_ms) == (
            right.pdq,
            right.pdq_quality,
            right.low_information,
            right.position_ms,
        )
    assert (here.kind, here.format, here.width_px, here.height_px, here.duration_ms, here.sha256) == (
        there.kind,
        there.format,
        there.width_px,
        there.height_px,
        there.duration_ms,
        there.sha256,
    )


def test_errors_come_through_and_the_next_picture_is_fine(decoder: Decoder, scene: Scene, encode: Encode) -> None:
    good = encode(scene())
    for data, error in ((b"text", UnsupportedMedia), (good[: len(good) // 2], CorruptMedia), (b"", EmptyMedia)):
        with pytest.raises(error):
            decoder.decode(data)
        assert decoder.decode(good).format == "png"


def test_too_many_bytes_are_refused_without_a_child(scene: Scene, encode: Encode) -> None:
    before = children()
    pool = Decoder(MediaLimits(max_bytes=100))
    with pytest.raises(MediaTooLarge):
        pool.decode(encode(scene()))
    assert children() == before
    pool.close()


def test_limits_hold_in_the_child(scene: Scene, encode: Encode) -> None:
    pool = Decoder(MediaLimits(max_pixels=1000), processes=1, timeout_s=LONG)
    with pytest.raises(TooManyPixels):
        pool.decode(encode(scene(40, 40)))
    assert pool.decode(encode(scene(30, 30)))
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms do not bound a process's memory")
def test_a_picture_that_needs_too_much_memory_is_too_costly_and_harms_no_other(scene: Scene, encode: Encode) -> None:
    pool = Decoder(LIMITS, processes=1, timeout_s=LONG, memory_bytes=64 << 20)
    with pytest.raises(DecodingTooCostly):
        pool.decode(encode(Image.new("RGB", (6000, 6000)), "PNG", compress_level=1))
    assert pool.decode(encode(scene())).format == "png"
    pool.close()


def test_a_picture_that_takes_too_long_is_killed_while_others_are_answered(scene: Scene, encode: Encode) -> None:
    pool = Decoder(LIMITS, processes=2, timeout_s=LONG)
    good, slow = encode(scene()), slow_animation(encode)
    pool.decode(good)
    pool.start()
    pool._timeout_s = 0.7  # noqa: SLF001 the children have started by now, however slow the machine is
    with ThreadPoolExecutor(1) as beside:
        costly = beside.submit(pool.decode, slow)
        assert pool.decode(good).format == "png"
        with pytest.raises(DecodingTooCostly):
            costly.result(LONG)
    assert pool.decode(good).format == "png"
    pool.close()


@pytest.mark.parametrize("act", ["crash", "noise"])
def test_a_child_that_crashes_or_lies_is_replaced(actor: Decoder, act: str) -> None:
    with pytest.raises(CorruptMedia):
        actor.decode(act.encode())
    assert actor.decode(b"well").format == "png"


def test_what_a_child_says_unasked_is_nobodys_answer(actor: Decoder) -> None:
    before = children()
    with pytest.raises(CorruptMedia):
        actor.decode(b"twice")
    (child,) = children() - before
    give_up = time.monotonic() + LONG
    while psutil.Process(child).status() != psutil.STATUS_STOPPED:  # both have been said
        assert time.monotonic() < give_up
    assert actor.decode(b"well").format == "png"


def test_a_child_that_hangs_is_replaced(actor: Decoder) -> None:
    actor._timeout_s = 0.2  # noqa: SLF001 long enough for what never comes
    with pytest.raises(DecodingTooCostly):
        actor.decode(b"hang")
    actor._timeout_s = LONG  # noqa: SLF001
    assert actor.decode(b"well").format == "png"


def test_a_child_knows_nothing_of_the_parents_environment(actor: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_SECRET", "x")
    with pytest.raises(CorruptMedia) as caught:
        actor.decode(b"environment")
    assert "PYTHONPATH" in str(caught.value)
    assert "AFTERIMAGE_SECRET" not in str(caught.value)
    assert "HOME" not in str(caught.value)


def test_a_child_that_somebody_else_killed_is_not_the_uploads_fault(
    decoder: Decoder, scene: Scene, encode: Encode
) -> None:
    decoder.decode(encode(scene()))
    for pid in children():
        psutil.Process(pid).kill()
    assert decoder.decode(encode(scene())).format == "png"


def test_a_digest_that_the_caller_has_is_not_made_again(decoder: Decoder, scene: Scene, encode: Encode) -> None:
    data = encode(scene())
    assert decoder.decode(data).sha256 == hashlib.sha256(data).hexdigest()
    assert decoder.decode(data, digest="of the caller").sha256 == "of the caller"


def test_many_threads_share_few_children(decoder: Decoder, scene: Scene, encode: Encode) -> None:
    pictures = [encode(scene(64, 64, seed=seed)) for seed in range(24)]
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(decoder.decode, pictures))
    assert [answer.frames[0].pdq for answer in answers] == [
        decode_image(data, LIMITS).frames[0].pdq for data in pictures
    ]
    assert len([child for child in children() if "models.media.worker" in psutil.Process(child).cmdline()]) <= 2


def test_nobody_waits_for_a_free_child_past_the_deadline(scene: Scene, encode: Encode) -> None:
    pool = Decoder(LIMITS, processes=0)
    with pytest.raises(DeadlinePassed):
        pool.decode(encode(scene()), deadline=time.monotonic() + 0.01)
    pool.close()


@pytest.mark.parametrize("behind_s", [LONG, 0])
def test_an_upload_overtakes_background_work_but_not_for_ever(
    actor: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind_s: float
) -> None:
    monkeypatch.setattr("models.media.sandbox.BEHIND_S", behind_s)
    busy, first, second = (pipe(tmp_path, name) for name in ("busy", "first", "second"))
    with ThreadPoolExecutor(3) as callers:
        callers.submit(actor.decode, f"await {busy}".encode())
        until(lambda: not actor._idle)  # noqa: SLF001
        own = second if behind_s else first
        job = callers.submit(actor.decode, f"await {own}".encode(), precedence=Precedence.BACKGROUND)
        until(lambda: len(actor._waiting) == 1)  # noqa: SLF001
        upload = callers.submit(actor.decode, f"await {first if behind_s else second}".encode())
        until(lambda: len(actor._waiting) == 2)  # noqa: SLF001
        busy.write_text("")
        first.write_text("")
        (upload if behind_s else job).result(LONG)
        assert not (job if behind_s else upload).done()
        second.write_text("")


def test_background_work_leaves_one_child_to_uploads(tmp_path: Path) -> None:
    pool, busy = acting(tmp_path, processes=2), pipe(tmp_path, "busy")
    with ThreadPoolExecutor(1) as callers:
        job = callers.submit(pool.decode, f"await {busy}".encode(), precedence=Precedence.BACKGROUND)
        until(lambda: len(pool._idle) == 1)  # noqa: SLF001
        with pytest.raises(DeadlinePassed):
            pool.decode(b"well", deadline=time.monotonic() + 0.01, precedence=Precedence.BACKGROUND)
        assert pool.decode(b"well")
        busy.write_text("")
        assert job.result(LONG)
    pool.close()


def test_what_comes_too_late_is_not_decoded_even_when_a_child_is_free(
    decoder: Decoder, scene: Scene, encode: Encode
) -> None:
    data = encode(scene())
    assert decoder.decode(data, deadline=time.monotonic() + LONG)
    with pytest.raises(DeadlinePassed):
        decoder.decode(data, deadline=time.monotonic() - 1)


def test_a_child_that_cannot_be_started_leaves_nothing_open() -> None:
    pool = Decoder(LIMITS, processes=1, command=("/no/such/program",))
    before = psutil.Process().num_fds()
    for attempt in (pool.start, lambda: pool.decode(b"x")):
        with pytest.raises(FileNotFoundError):  # an unclosed socket would warn, which is an error here
            attempt()
    assert psutil.Process().num_fds() == before
    pool.close()


def test_closing_ends_the_children_and_refuses_what_comes(scene: Scene, encode: Encode) -> None:
    before = children()
    pool = Decoder(LIMITS, processes=2)
    pool.start()
    pool.decode(encode(scene()))
    assert len(children() - before) == 2
    pool.close()
    pool.close()
    assert children() == before
    with pytest.raises(DecoderClosed):
        pool.decode(encode(scene()))


def test_children_end_with_a_parent_that_is_killed() -> None:
    code = """
from models.media.sandbox import Decoder
from models.media.types import MediaLimits
import psutil
pool = Decoder(MediaLimits())
pool.start()
print(*[child.pid for child in psutil.Process().children()], flush=True)
input()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None
    assert parent.stdout is not None
    orphans = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(orphans) == 2
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    assert psutil.wait_procs(orphans, timeout=LONG)[1] == []
