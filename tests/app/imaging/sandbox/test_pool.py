"""Decoding in processes: what one image can do to them, and what becomes of the others."""

import asyncio
import gc
import hashlib
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from app.errors import (
    DeadlineExceeded,
    ImageTooLarge,
    InternalError,
    InvalidImage,
    Overloaded,
    ServiceError,
    SizeMismatch,
    UnsupportedMediaType,
    WorkerUnavailable,
)
from app.imaging import decode, model_inputs
from app.imaging.decode import Header
from app.imaging.detail_tiles import TileBox, tile_sizes
from app.imaging.limits import Limits
from app.imaging.model_inputs import Wanted
from app.imaging.sandbox.pool import Decoders
from app.imaging.sandbox.process import COMMAND, _lie_within
from app.imaging.sandbox.shared_pixels import Original
from app.imaging.sandbox.work import Timed
from app.processes.linux import address_space_bytes
from models import fidelity as signals
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.app.door.watch import files_of
from tests.app.files import encoded, inspect, png_header, turned
from tests.app.imaging.sandbox.programs import ON_MARK, held_until, marked, misbehaving
from tests.app.running import eventually
from tests.photographs import named

pytestmark = pytest.mark.process

_FROM_ELSEWHERE = 8
_T = TypeVar("_T")

LIMITS = Limits()
CAT = named()["chelsea"]
FULL = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD)
SMALL = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=128)
WANTED = Wanted({"full": FULL, "small": SMALL, "also-small": SMALL}, 2**21)
PAIR = Wanted({"pair": SMALL}, 2**21)


@contextmanager
def _opened(
    count: int = 1,
    *,
    limits: Limits = LIMITS,
    timeout_s: float = 60.0,
    command: Sequence[str] = COMMAND,
    on_restart: Callable[[], None] = lambda: None,
) -> Iterator[Decoders]:
    decoders = Decoders(count, limits, timeout_s, command=command, on_restart=on_restart)
    decoders.open()
    try:
        yield decoders
    finally:
        decoders.close()


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with _opened() as decoders:
        yield decoders


def _soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def _decode(decoders: Decoders, data: bytes, keep: bool = False) -> Timed:
    return asyncio.run(decoders.decode(data, WANTED, _soon(), keep=keep))


def _pids(decoders: Decoders) -> list[int]:
    return [decoder.pid for decoder in decoders._running]


def _same_as_here(timed: Timed, data: bytes) -> None:
    here = model_inputs.fit(decode.decode(data, LIMITS), WANTED)
    there = timed.result.fitted
    assert (there.provenance, there.warnings) == (here.provenance, here.warnings)
    assert there.exposure == here.exposure
    assert list(there.pixels) == list(here.pixels)
    for slot, pixels in here.pixels.items():
        assert np.array_equal(there.pixels[slot], pixels)
    assert there.pixels["small"] is there.pixels["also-small"]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF"])
def test_it_gives_what_decoding_here_gives(decoders: Decoders, format: str) -> None:
    data = encoded(CAT, format)
    heard: list[Header] = []
    timed = asyncio.run(decoders.decode(data, WANTED, _soon(), heard.append))
    assert heard == [inspect(data, LIMITS)]
    _same_as_here(timed, data)
    assert timed.result.original is None
    assert timed.result.comparison is None


def test_tiles_come_with_their_places(decoders: Decoders) -> None:
    """Of a JPEG file as well, which would be decoded at a smaller scale without them."""
    large = np.tile(CAT, (3, 3, 1))
    data = turned(np.ascontiguousarray(np.rot90(large)), 6)
    wanted = Wanted({"small": SMALL}, 2**21, detail=True)
    fitted = asyncio.run(decoders.decode(data, wanted, _soon())).result.fitted
    here = model_inputs.fit(decode.decode(data, LIMITS), wanted)
    assert [tile.place for tile in fitted.tiles] == [tile.place for tile in here.tiles]
    assert len(fitted.tiles) == 3
    for there, tile in zip(fitted.tiles, here.tiles, strict=True):
        assert np.array_equal(there.pixels, tile.pixels)
    assert np.array_equal(fitted.pixels["small"], here.pixels["small"])
    assert _decode(decoders, data).result.fitted.tiles == ()


@pytest.mark.parametrize(
    "tiles",
    [(), ((0, 0, 64, 64),), ((-1, 0, 384, 300),), ((68, 0, 384, 300),), ((0, 1, 384, 300),)],
)
def test_tiles_that_cannot_be_are_not_believed(tiles: tuple[tuple[int, int, int, int], ...]) -> None:
    """Of an image of 451 x 300 pixels there is one of 384 x 300."""
    sizes = tile_sizes((451, 300))
    places = [TileBox(*each) for each in tiles]
    assert not _lie_within(places, sizes, (451, 300))
    assert _lie_within([TileBox(67, 0, 384, 300)], sizes, (451, 300))


def test_a_turned_image_is_fitted_upright(decoders: Decoders) -> None:
    data = turned(np.ascontiguousarray(np.rot90(CAT)), 6)
    _same_as_here(_decode(decoders, data), data)
    assert _decode(decoders, data).result.fitted.size == (451, 300)


def test_problems_are_the_same_too(decoders: Decoders) -> None:
    for data, problem in (
        (b"%PDF-1.7", UnsupportedMediaType),
        (png_header(65_000, 65_000), ImageTooLarge),
        (encoded(CAT)[:5000], InvalidImage),
    ):
        with pytest.raises(problem) as there:
            _decode(decoders, data)
        with pytest.raises(problem) as here:
            decode.decode(data, LIMITS)
        assert (there.value.detail, there.value.fields) == (here.value.detail, here.value.fields)
    before = _pids(decoders)
    _same_as_here(_decode(decoders, encoded(CAT)), encoded(CAT))
    assert _pids(decoders) == before


def test_what_the_header_decides_comes_before_the_pixels(decoders: Decoders) -> None:
    before = _pids(decoders)

    def refuse(header: Header) -> None:
        raise Overloaded(f"{header.width}")

    # Its pixels are damaged, but it does not come to that.
    with pytest.raises(Overloaded, match="7000"):
        asyncio.run(decoders.decode(png_header(7000, 7000), WANTED, _soon(), refuse))
    _decode(decoders, encoded(CAT))
    assert _pids(decoders) == before


def _compare(decoders: Decoders, original: Original, data: bytes, resize: bool = False) -> Timed:
    return asyncio.run(decoders.compare(data, WANTED, original, PAIR, _soon(), resize=resize))


def test_a_kept_reference_serves_many_comparisons(decoders: Decoders) -> None:
    first = _decode(decoders, encoded(CAT, "PNG"), keep=True)
    original = first.result.original
    assert original is not None
    assert (original.size, original.nbytes) == ((451, 300), CAT.nbytes)
    assert (original.pixels() == CAT).all()
    with pytest.raises(ValueError, match="read-only"):
        original.pixels()[0] = 0
    with pytest.raises(OSError, match="not permitted"):
        os.pwrite(original.descriptor, b"!", 0)
    distorted = encoded(CAT, quality=20)
    for _ in range(2):
        timed = _compare(decoders, original, distorted)
        _same_as_here(timed, distorted)
        comparison = timed.result.comparison
        assert comparison is not None
        assert comparison.signal == signals.measure(CAT, decode.decode(distorted, LIMITS).pixels)
        assert comparison.resized_from is None
        assert comparison.pixels["pair"] is timed.result.fitted.pixels["small"]
    same = _compare(decoders, original, encoded(CAT, "PNG")).result.comparison
    assert same is not None
    assert same.signal.psnr_db is None
    pixels = original.pixels()
    original.close()
    original.close()
    assert (pixels == CAT).all()


def test_a_reference_may_be_closed_while_it_is_compared_with(tmp_path: Path) -> None:
    """Its user left, or a cache threw it out; its descriptor's number may be another file's by then."""
    gate = tmp_path / "gate"
    gate.touch()

    async def story(decoders: Decoders) -> None:
        original = (await decoders.decode(encoded(CAT, "PNG"), WANTED, _soon(), keep=True)).result.original
        assert original is not None
        gate.unlink()
        first = asyncio.create_task(decoders.decode(encoded(CAT), WANTED, _soon()))
        comparing = asyncio.create_task(
            decoders.compare(encoded(CAT, "PNG"), WANTED, original, PAIR, _soon())
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        original.close()
        gate.touch()
        await first
        comparison = (await comparing).result.comparison
        assert comparison is not None
        assert comparison.signal.psnr_db is None

    with _opened(command=misbehaving(held_until(gate))) as decoders:
        asyncio.run(story(decoders))


def test_sizes_that_differ(decoders: Decoders) -> None:
    original = _decode(decoders, encoded(CAT, "PNG"), keep=True).result.original
    assert original is not None
    small = encoded(np.ascontiguousarray(CAT[:200, :300]), "PNG")
    with pytest.raises(SizeMismatch) as caught:
        _compare(decoders, original, small)
    assert caught.value.fields["distorted"] == {"width": 300, "height": 200}
    with pytest.raises(SizeMismatch):  # told by its header: there are no pixels behind it
        _compare(decoders, original, png_header(300, 200))
    # As its header says, this one may agree when it is turned, and does not.
    with pytest.raises(SizeMismatch):
        _compare(decoders, original, encoded(np.ascontiguousarray(CAT.transpose(1, 0, 2)), "PNG"))
    timed = _compare(decoders, original, small, resize=True)
    comparison = timed.result.comparison
    assert comparison is not None
    assert comparison.resized_from == (300, 200)
    assert comparison.pixels["pair"].shape == (85, 128, 3)
    assert timed.result.fitted.pixels["full"].shape == (200, 300, 3)
    expected = model_inputs.compare_pair(
        CAT, decode.decode(small, LIMITS), model_inputs.fit(decode.decode(small, LIMITS), WANTED), True, PAIR
    )
    assert np.array_equal(comparison.pixels["pair"], expected.pixels["pair"])
    assert comparison.signal == expected.signal
    original.close()


def test_nothing_is_left_open(decoders: Decoders) -> None:
    _decode(decoders, encoded(CAT), keep=True)  # and forgotten
    gc.collect()
    before = files_of(os.getpid())
    (pid,) = _pids(decoders)
    there = files_of(pid)
    for _ in range(20):
        original = _decode(decoders, encoded(CAT), keep=True).result.original
        assert original is not None
        _compare(decoders, original, encoded(CAT))
        with pytest.raises(InvalidImage):
            _compare(decoders, original, encoded(CAT)[:3000])
        del original
    gc.collect()
    # Twenty rounds, each of which could leave one or more. A few may come from elsewhere: what a library
    # keeps open once it is loaded, or what other tests have left to be collected.
    eventually(
        lambda: files_of(os.getpid()) <= before + _FROM_ELSEWHERE and files_of(pid) <= there + _FROM_ELSEWHERE
    )


def test_a_process_that_is_killed_costs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = tmp_path / "first"
    first.touch()
    body = f"{ON_MARK}\nif marked and Path({str(first)!r}).exists():\n    os.unlink({str(first)!r})\n" + (
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    restarts = threading.Semaphore(0)
    with _opened(command=misbehaving(body), on_restart=restarts.release) as decoders:
        data = marked(encoded(CAT))
        _same_as_here(_decode(decoders, data), data)
    assert not first.exists()
    assert restarts.acquire(timeout=0)
    assert not restarts.acquire(timeout=0)
    (record,) = [record for record in caplog.records if record.name == "iqa.decoding"]
    assert "signal 9 ended it" in record.getMessage()


@pytest.mark.parametrize(
    "deed",
    [
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "os.kill(os.getpid(), signal.SIGSYS)",  # how the kernel ends it for a system call
        "os._exit(0)",
        "os.write(int(sys.argv[1]), b'nonsense')",
    ],
)
def test_what_ends_two_processes_is_refused_by_its_digest(
    deed: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = marked(encoded(CAT))
    with _opened(command=misbehaving(f"{ON_MARK}\nif marked:\n    {deed}")) as decoders:
        with pytest.raises(InvalidImage) as caught:
            _decode(decoders, data)
        assert caught.value.detail == "Decoding this image ended the process that decodes."
        assert caught.value.fields == {"sha256": hashlib.sha256(data).hexdigest()}
        _same_as_here(_decode(decoders, encoded(CAT)), encoded(CAT))
    last = [record for record in caplog.records if record.name == "iqa.decoding"][-1]
    assert last.levelno == logging.ERROR
    assert last.getMessage() == "an image ended the decoding process twice"
    assert vars(last)["fields"]["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_process_that_ends_while_idle_is_replaced_without_a_word_about_an_image(
    caplog: pytest.LogCaptureFixture,
) -> None:
    restarts = threading.Semaphore(0)
    with _opened(on_restart=restarts.release) as decoders:
        _decode(decoders, encoded(CAT))
        (pid,) = _pids(decoders)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not _lives(pid))
        _same_as_here(_decode(decoders, encoded(CAT)), encoded(CAT))
    assert restarts.acquire(timeout=0)
    assert not [record for record in caplog.records if record.name == "iqa.decoding"]


def test_what_hangs_is_killed_at_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    body = f"{ON_MARK}\nif marked:\n    time.sleep(1000)"
    with _opened(2, timeout_s=2, command=misbehaving(body)) as decoders:
        eventually(lambda: len(_pids(decoders)) == 2)
        before = set(_pids(decoders))
        with pytest.raises(InvalidImage, match="longer than 2 s"):
            _decode(decoders, marked(encoded(CAT)))
        eventually(lambda: len(_pids(decoders)) == 2)
        assert len(before - set(_pids(decoders))) == 1  # it was not tried again
        _decode(decoders, encoded(CAT))
    assert [record.getMessage() for record in caplog.records if record.name == "iqa.decoding"] == [
        "decoding an image took too long"
    ]


def test_a_flood_of_memory_ends_at_the_process_own_limit() -> None:
    body = f"{ON_MARK}\nif marked:\n    flood = bytearray(4 << 30)"
    limits = Limits(max_pixels=10**6)
    with _opened(command=misbehaving(body), limits=limits) as decoders:
        _decode(decoders, encoded(CAT))
        before = _pids(decoders)
        with pytest.raises(InvalidImage, match="more memory"):
            _decode(decoders, marked(encoded(CAT)))
        assert _pids(decoders) == before


@pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes are Linux's")
def test_the_limit_of_processor_time_is_set_by_the_clock_that_the_kernel_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used_s = 5000.0
    clocks = {0: used_s, 2: 0.9 * used_s}  # all time by ticks; all time, precisely
    monkeypatch.setattr("app.imaging.sandbox.process.time.clock_gettime", lambda clock: clocks[clock & 7])
    with _opened(timeout_s=20.0) as decoders:
        _decode(decoders, encoded(CAT))
        soft, _ = resource.prlimit(_pids(decoders)[0], resource.RLIMIT_CPU)
    assert soft - used_s >= 20


def test_what_was_decoded_before_changes_nothing(decoders: Decoders) -> None:
    whole = [
        encoded(CAT[:160, :200], format) for format in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
    ]
    deep = Image.fromarray(CAT[:160, :200, 0].astype(np.uint16) * 257)
    whole += [encoded(deep, "PNG"), turned(CAT[:160, :200], 6), encoded(Image.fromarray(CAT).convert("CMYK"))]
    files = [*whole, *(data[: len(data) // 2] for data in whole), b"nothing"]

    def outcome(data: bytes) -> tuple[object, ...]:
        try:
            fitted = _decode(decoders, data).result.fitted
        except ServiceError as error:
            return error.slug, error.detail
        return fitted.provenance, fitted.warnings, fitted.facts, fitted.pixels["full"].tobytes()

    first = [outcome(data) for data in files]
    for seed in range(3):
        for number in random.Random(seed).sample(range(len(files)), len(files)):
            assert outcome(files[number]) == first[number]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_large_images_leave_no_memory_behind(decoders: Decoders, format: str) -> None:
    image = Image.new("RGB", (1600, 1200))
    data = encoded(image, format)
    _decode(decoders, data)  # by then a process runs
    before = _pids(decoders)
    reserved = []
    for _ in range(4):
        original = _decode(decoders, data, keep=True).result.original
        assert original is not None
        _compare(decoders, original, data)
        original.close()
        with pytest.raises((InvalidImage, SizeMismatch)):
            _decode(decoders, data[: len(data) // 2])
        reserved.append(address_space_bytes(before[0]))
    assert _pids(decoders) == before
    assert reserved[-1] - reserved[0] < 4 * image.width * image.height


def test_a_process_that_images_leave_without_memory_is_replaced_and_costs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = f"{ON_MARK}\nif marked:\n    child.kept = bytearray(1 << 30)"
    restarts = threading.Semaphore(0)
    with _opened(command=misbehaving(body), on_restart=restarts.release) as decoders:
        for data in (marked(encoded(CAT)), encoded(CAT)) * 2:
            _same_as_here(_decode(decoders, data), data)
    assert sum(iter(partial(restarts.acquire, timeout=0), False)) == 2
    messages = [record.getMessage() for record in caplog.records if record.name == "iqa.decoding"]
    assert messages == ["an image left a decoder with too little memory, which is replaced"] * 2


def test_a_bug_is_no_fault_of_the_image(caplog: pytest.LogCaptureFixture) -> None:
    body = "from app.imaging import model_inputs\nmodel_inputs.fit = None"
    with _opened(command=misbehaving(body)) as decoders, pytest.raises(InternalError) as caught:
        _decode(decoders, encoded(CAT))
    assert "NoneType" not in caught.value.detail
    assert "'NoneType' object is not callable" in caplog.text


def test_a_bug_on_this_side_does_not_mix_up_two_images() -> None:
    def stumble(header: Header) -> None:
        raise ZeroDivisionError

    with _opened() as decoders:
        with pytest.raises(ZeroDivisionError):
            asyncio.run(decoders.decode(encoded(CAT), WANTED, _soon(), stumble))
        _same_as_here(_decode(decoders, encoded(CAT, "PNG")), encoded(CAT, "PNG"))


def test_what_lies_about_lengths_is_not_believed() -> None:
    """A process that is ready, and then says that gigabytes follow; and one with a size beyond the limits."""
    huge = "import socket, sys, time\nsocket = socket.socket(fileno=int(sys.argv[1]))\n" + (
        'ready = b\'{"kind":"ready","lockdown":{"landlock":1,"seccomp":true}}\'\n'
        "socket.sendall(len(ready).to_bytes(4, 'big') + ready)\n"
        "socket.recv(1)\nsocket.sendall(b'\\xff' * 4)\ntime.sleep(1000)"
    )
    wide = huge.replace(
        "b'\\xff' * 4",
        'len(x := b\'{"kind":"seen","header":{"format":"JPEG","width":100000,"height":100000}}\')'
        ".to_bytes(4, 'big') + x",
    )
    for program in (huge, wide):
        command = (sys.executable, "-c", program)
        with _opened(command=command) as decoders, pytest.raises(InvalidImage, match="ended the process"):
            _decode(decoders, encoded(CAT))


def test_processes_that_do_not_start_are_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    with _opened(2, command=(sys.executable, "-c", "raise SystemExit(7)")) as decoders:
        with pytest.raises(WorkerUnavailable):
            _decode(decoders, encoded(CAT))
        eventually(lambda: not decoders.able)
        with pytest.raises(WorkerUnavailable):
            _decode(decoders, encoded(CAT))
    # With a growing pause between them, it cannot have been many.
    assert len([record for record in caplog.records if record.name == "iqa.decoding"]) < 40
    assert "it ended with code 7" in caplog.text


def test_a_process_loads_only_what_decoding_needs() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import sys, app.imaging.sandbox.__main__; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[4],
    )
    loaded = set(found.stdout.split())
    assert {"PIL.Image", "numpy"} <= loaded
    assert not {"torch", "scipy", "fastapi", "starlette", "zmq", "asyncio", "pydantic_settings"} & loaded


_PARENT = """
import sys, time
from app.imaging.sandbox.pool import Decoders
from app.imaging.limits import Limits
decoders = Decoders(2, Limits(), 60, command=(sys.executable, "-P", "-c", sys.argv[1]))
decoders.open()
while len(decoders._running) < 2:
    time.sleep(0.01)
print(*(decoder.pid for decoder in decoders._running), flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("hanging", [False, True])
def test_processes_go_with_their_parent(hanging: bool) -> None:
    program = "import sys\nfrom app.imaging.sandbox import __main__ as child\n"
    if hanging:  # in C, with the interpreter waiting for it: it reads no input any more
        program += "import ctypes\nchild._obey = lambda channel: ctypes.PyDLL(None).sleep(1000)\n"
    program += "child.main(sys.argv[1:])"
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[4],
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        os.killpg(os.getpgid(pids[0]), signal.SIGTERM)  # not theirs to heed
        assert all(map(_lives, pids))
        parent.kill()
        parent.wait(30)
    eventually(lambda: not any(map(_lives, pids)))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_who_leaves_loses_only_what_was_theirs(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    begun = tmp_path / "begun"
    body = f"open({str(begun)!r}, 'a').write('x')\n" + held_until(gate)

    async def story(decoders: Decoders) -> None:
        decoding = asyncio.create_task(decoders.decode(encoded(CAT), WANTED, _soon()))
        await asyncio.to_thread(eventually, begun.exists)
        leaving = asyncio.create_task(decoders.decode(encoded(CAT), WANTED, _soon()))
        late = asyncio.create_task(decoders.decode(encoded(CAT), WANTED, _soon(-1)))
        staying = asyncio.create_task(decoders.decode(encoded(CAT, "PNG"), WANTED, _soon()))
        await asyncio.sleep(0)
        decoding.cancel()
        leaving.cancel()
        await asyncio.wait([decoding, leaving])
        gate.touch()
        with pytest.raises(DeadlineExceeded):
            await late
        _same_as_here(await staying, encoded(CAT, "PNG"))
        assert begun.read_text() == "xx"  # those who left before their turn, and who came too late, had none

    with _opened(command=misbehaving(body)) as decoders:
        asyncio.run(story(decoders))


def test_closing_does_not_wait_for_what_hangs(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    body = f"Path({str(begun)!r}).touch()\ntime.sleep(1000)"

    async def story(decoders: Decoders) -> None:
        tasks = [asyncio.create_task(decoders.decode(encoded(CAT), WANTED, _soon())) for _ in range(3)]
        await asyncio.to_thread(eventually, begun.exists)
        (pid,) = _pids(decoders)
        await asyncio.to_thread(decoders.close)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, WorkerUnavailable)
        assert not _lives(pid)
        assert not any(thread.is_alive() for thread in decoders._threads)
        with pytest.raises(WorkerUnavailable):  # who comes afterwards does not wait for ever
            await decoders.decode(encoded(CAT), WANTED, _soon())

    with _opened(command=misbehaving(body)) as decoders:
        asyncio.run(story(decoders))
