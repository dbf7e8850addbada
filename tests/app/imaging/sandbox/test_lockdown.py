"""What a decoder can still do once it is locked down: decode, and nothing else."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.errors import InvalidImage
from app.imaging import decode, model_inputs
from app.imaging.limits import Limits
from app.imaging.model_inputs import Fitted, Wanted
from app.imaging.sandbox.lockdown import Lockdown
from app.imaging.sandbox.pool import Decoders
from models import fidelity
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.app.door.making import files
from tests.app.files import encoded
from tests.app.imaging.sandbox import probes
from tests.app.imaging.sandbox.probes import Targets
from tests.photographs import named

pytestmark = pytest.mark.process

LIMITS = Limits()
CAT = named()["chelsea"]
WANTED = Wanted({"model": Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=256)}, 2**21)
BOTH, SECCOMP, LANDLOCK = "landlock seccomp", "seccomp", "landlock"
_DENIED = {"EPERM", "EACCES", "ENOSYS"}


@contextmanager
def _opened(command: Sequence[str]) -> Iterator[Decoders]:
    decoders = Decoders(1, LIMITS, 60.0, command=command)
    decoders.open()
    try:
        yield decoders
    finally:
        decoders.close()


def _decoding(layers: str) -> AbstractContextManager[Decoders]:
    """Decoders that decode, on a kernel with these mechanisms."""
    return _opened(probes.command(Targets(0, "", "", 0, "", ""), f"{layers} decode"))


@pytest.fixture(scope="module")
def kernel() -> Lockdown:
    """What the kernel of this machine offers."""
    with _decoding(BOTH) as decoders:
        asyncio.run(decoders.decode(encoded(CAT), WANTED, time.monotonic() + 60))
        assert decoders.lockdown is not None
        return decoders.lockdown


def _missing(kernel: Lockdown, layers: str) -> tuple[str, ...]:
    """What is not in force where only these mechanisms are used, as far as the kernel has them."""
    return Lockdown(
        kernel.landlock if LANDLOCK in layers else 0, kernel.seccomp and SECCOMP in layers
    ).missing


def _said(layers: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged of missing mechanisms while decoders are started three times."""
    caplog.clear()
    with _decoding(layers) as decoders:
        for _ in range(2):
            asyncio.run(decoders.decode(encoded(CAT), WANTED, time.monotonic() + 60))
            for decoder in list(decoders._running):
                decoder.terminate()
    return [record.getMessage() for record in caplog.records if "decoders run without" in record.msg]


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[Targets]:
    """Things worth having, and listeners that would answer."""
    secret = tmp_path / "keys"
    secret.write_text("a key")
    folder = tmp_path / "folder"
    folder.mkdir()
    abstract = f"iqa-probed-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as nameless,
    ):
        unix.bind(str(tmp_path / "socket"))
        unix.listen()
        nameless.bind("\0" + abstract)
        nameless.listen()
        yield Targets(
            os.getpid(), str(secret), str(folder), tcp.getsockname()[1], str(tmp_path / "socket"), abstract
        )


def _attack(targets: Targets, layers: str) -> dict[str, str]:
    """What became of the attempts."""
    with _opened(probes.command(targets, layers)) as decoders, pytest.raises(InvalidImage) as caught:
        asyncio.run(decoders.decode(encoded(CAT), WANTED, time.monotonic() + 60))
    found: dict[str, str] = json.loads(caught.value.detail)
    return found


@pytest.mark.parametrize("layers", [BOTH, SECCOMP])
def test_code_in_a_decoder_reaches_nothing(
    kernel: Lockdown,
    targets: Targets,
    layers: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not kernel.seccomp:
        (sentence,) = _said(layers, caplog)
        assert "seccomp" in sentence
        return
    monkeypatch.setenv(probes.SECRET, "a password")
    found = _attack(targets, layers)
    environment = found.pop("environment")
    assert len(found) > 70
    assert {name: outcome for name, outcome in found.items() if outcome not in _DENIED} == {}
    assert probes.SECRET not in environment
    assert not [name for name in environment if name.startswith("IQA_")]
    assert Path(targets.secret).read_text() == "a key"


def test_landlock_alone_keeps_files_and_networks_away(
    kernel: Lockdown, targets: Targets, caplog: pytest.LogCaptureFixture
) -> None:
    """Where seccomp does not know the machine."""
    (sentence,) = _said(LANDLOCK, caplog)
    assert ("Landlock" in sentence) == (kernel.landlock == 0)
    found = _attack(targets, LANDLOCK)
    for name, since in probes.BY_LANDLOCK.items():
        assert found[name] in _DENIED or kernel.landlock < since, name


@pytest.mark.parametrize("layers", [BOTH, SECCOMP, "none"])
def test_a_decoder_says_what_does_not_hold_it(
    kernel: Lockdown, layers: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in the log, however often one is started."""
    expected = _missing(kernel, layers)
    with _decoding(layers) as decoders:
        asyncio.run(decoders.decode(encoded(CAT), WANTED, time.monotonic() + 60))
        assert decoders.lockdown is not None
        assert decoders.lockdown.missing == expected
    assert [" and ".join(expected) in message for message in _said(layers, caplog)] == [True] * bool(expected)


def test_what_is_missing_has_names() -> None:
    assert Lockdown(landlock=7, seccomp=True).missing == ()
    assert Lockdown(landlock=0, seccomp=False).missing == ("Landlock", "seccomp")


@cache
def _images() -> dict[str, bytes]:
    """A file of each format and variant; those of codecs with threads are large enough for several."""
    large = np.tile(CAT, (4, 4, 1))
    return {
        **files(),
        "AVIF of 2 Mpx": encoded(large, "AVIF", speed=10),
        "JPEG XL of 2 Mpx": encoded(large, "JXL", effort=1),
        "HEIC of 2 Mpx": encoded(large, "HEIF"),
        "JPEG with a profile": _with_profile(),
        "PNG of 16 bits": encoded(Image.fromarray(CAT[..., 0].astype(np.uint16) * 257), "PNG"),
        "TIFF of floats": encoded(Image.fromarray(CAT[..., 0].astype(np.float32) / 255), "TIFF"),
        "JPEG of CMYK": encoded(Image.fromarray(CAT).convert("CMYK"), "JPEG"),
    }


def _with_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded(CAT, "JPEG", icc_profile=profile)


@cache
def _seen_here(name: str) -> tuple[Fitted, fidelity.Signal]:
    """What this process makes of one of those files, and of the file against itself."""
    here = decode.decode(_images()[name], LIMITS)
    return model_inputs.fit(here, WANTED), fidelity.measure(here.pixels, here.pixels)


@pytest.mark.parametrize("layers", [BOTH, SECCOMP])
def test_every_format_decodes(kernel: Lockdown, layers: str) -> None:
    """And is compared; also where no file can be opened at all, as without Landlock."""

    async def story(decoders: Decoders) -> None:
        for name, data in _images().items():
            timed = await decoders.decode(data, WANTED, time.monotonic() + 60, keep=True)
            fitted, signal = _seen_here(name)
            assert timed.result.fitted.provenance == fitted.provenance, name
            assert np.array_equal(timed.result.fitted.pixels["model"], fitted.pixels["model"]), name
            assert timed.result.original is not None
            compared = await decoders.compare(
                data, WANTED, timed.result.original, WANTED, time.monotonic() + 60
            )
            assert compared.result.comparison is not None
            assert compared.result.comparison.signal == signal, name

    with _decoding(layers) as decoders:
        asyncio.run(story(decoders))
        assert decoders.lockdown is not None
        assert decoders.lockdown.missing == _missing(kernel, layers)


_SIDE = 4000  # 48 MB of pixels, more than the 32 MB from which on every allocator asks the kernel for them


@pytest.fixture(scope="module")
def large_images() -> list[bytes]:
    large = Image.fromarray(CAT).resize((_SIDE, _SIDE))
    ways: tuple[tuple[str, dict[str, int]], ...]
    ways = ("JPEG", {}), ("PNG", {"compress_level": 1}), ("AVIF", {"speed": 10})
    return [encoded(large, format, **options) for format, options in ways]


@pytest.mark.slow
@pytest.mark.parametrize("layers", [BOTH, SECCOMP])
def test_large_images_decode(large_images: list[bytes], layers: str) -> None:
    """Their memory comes by mmap and grows by mremap, and goes by madvise."""
    with _decoding(layers) as decoders:
        for data in large_images:
            timed = asyncio.run(decoders.decode(data, WANTED, time.monotonic() + 60, keep=True))
            assert timed.result.original is not None
            assert timed.result.original.nbytes == 3 * _SIDE * _SIDE
            timed.result.original.close()
