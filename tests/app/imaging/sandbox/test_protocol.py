"""The messages: what is not one is noticed, and nothing is left open by it."""

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.imaging import model_inputs
from app.imaging.decode import Picture, Provenance, Size
from app.imaging.limits import Limits
from app.imaging.model_inputs import Wanted
from app.imaging.sandbox import protocol
from app.imaging.sandbox.lockdown import Lockdown
from app.imaging.sandbox.protocol import (
    Against,
    Channel,
    DecoderOrder,
    DecoderVerdict,
    DecoderWireError,
    Ready,
)
from app.imaging.sandbox.shared_pixels import Original, fill, reserve
from app.schemas.measured.exposure import MeasuredExposure
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing


@contextmanager
def _ends() -> Iterator[tuple[socket.socket, Channel]]:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    channel.deadline = time.monotonic() + 20
    with ours, closing(channel):
        yield ours, channel


def _message(header: bytes) -> bytes:
    return len(header).to_bytes(4, "big") + header


def _answer(**measures: float | None) -> bytes:
    """The JSON of an answer about a gray picture, but for some measures of its exposure."""
    provenance = vars(Provenance(40, 40, "PNG", 1, "", 1, False, False))
    exposure = vars(MeasuredExposure(0.2, 0.2, 0.0, 0.0)) | measures
    return json.dumps(
        {"kind": "answer", "provenance": provenance, "warnings": [], "exposure": exposure}
    ).encode()


def test_an_answer_brings_the_exposure() -> None:
    with _ends() as (ours, channel):
        ours.sendall(_message(_answer(clipped_shadows=0.25)))
        found, _ = channel.receive(protocol.REPLY)
    assert isinstance(found, protocol.DecoderAnswer)
    assert found.exposure == MeasuredExposure(0.2, 0.2, 0.25, 0.0)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0\0",
        b"\xff\xff\xff\xff",
        (2**20 + 1).to_bytes(4, "big"),
        _message(b"{"),
        _message(b"{}"),
        _message(b'{"kind":"ready"')[:-1],
        _message(b'{"kind":"seen","header":{"format":"JPEG","width":"wide","height":1}}'),
        _message(b'{"kind":"failed","slug":1,"detail":"","fields":{}}'),
        _message(_answer(mean_luminance=1.5)),
        _message(_answer(clipped_shadows=-1)),
        _message(_answer(p99_luminance=None)),
    ],
)
def test_what_is_no_message_is_noticed(sent: bytes) -> None:
    with _ends() as (ours, channel):
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(DecoderWireError):
            channel.receive(protocol.REPLY)


def test_what_never_comes_is_not_waited_for_too_long() -> None:
    with _ends() as (ours, channel):
        channel.deadline = time.monotonic() + 0.05
        with pytest.raises(TimeoutError):
            channel.receive(protocol.REPLY)
        channel.deadline = time.monotonic() + 0.05
        ours.sendall(b"\0\0")
        with pytest.raises(TimeoutError):
            channel.receive(protocol.REPLY)
        channel.deadline = time.monotonic() + 0.05
        with pytest.raises(TimeoutError):
            channel.send(protocol.VERDICT, DecoderVerdict(go=True), bytes(64 << 20))
        with pytest.raises(TimeoutError):
            channel.receive_array((10, 10))


def test_who_is_gone_is_noticed() -> None:
    with _ends() as (ours, channel):
        ours.close()
        with pytest.raises(DecoderWireError):
            channel.receive_array((10, 10))
        with pytest.raises(DecoderWireError):
            channel.send(protocol.VERDICT, DecoderVerdict(go=True), bytes(1 << 20))


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_that_come_with_nonsense_are_closed() -> None:
    with _ends() as (ours, channel), tempfile.TemporaryFile() as file:
        before = _files()
        ready = b'{"kind":"ready","lockdown":{"landlock":0,"seccomp":false}}'
        for sent in (_message(b"{}"), _message(b"nonsense"), (2**20 + 1).to_bytes(4, "big")):
            for descriptors in (0, 1):
                socket.send_fds(ours, [sent], [file.fileno()])
                with pytest.raises(DecoderWireError):
                    channel.receive(protocol.REPLY, descriptors=descriptors)
                assert _files() == before
        socket.send_fds(ours, [_message(ready)], [file.fileno(), file.fileno()])
        reply, received = channel.receive(protocol.REPLY, descriptors=1)
        assert reply == Ready(Lockdown(landlock=0, seccomp=False))
        (descriptor,) = received
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
        assert _files() == before


def test_no_descriptor_is_accepted_unasked() -> None:
    """A decoder that was taken over could fill the parent with them."""
    with _ends() as (ours, channel), tempfile.TemporaryFile() as file:
        before = _files()
        ready = b'{"kind":"ready","lockdown":{"landlock":0,"seccomp":false}}'
        socket.send_fds(ours, [_message(ready)], [file.fileno()] * 3)
        _, received = channel.receive(protocol.REPLY)
        assert received == []
        assert _files() == before


def _kept(pixels: NDArray[np.uint8]) -> Original:
    descriptor = reserve()
    fill(descriptor, pixels)
    return Original((pixels.shape[1], pixels.shape[0]), descriptor)


def test_only_sealed_memory_of_the_right_size_is_an_original() -> None:
    pixels = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    with _kept(pixels[:, ::2]) as original:  # not contiguous
        assert original.size == (5, 10)
        assert (original.pixels() == pixels[:, ::2]).all()
        with pytest.raises(ValueError, match="not one of an image"):
            Original((6, 10), os.dup(original.descriptor))
    reading, writing = os.pipe()
    os.close(writing)
    unsealed = os.memfd_create("unsealed")
    os.ftruncate(unsealed, 300)
    with tempfile.TemporaryFile() as file:
        file.truncate(300)
        for descriptor in (reading, unsealed, os.dup(file.fileno())):
            with pytest.raises(ValueError, match="not one of an image"):
                Original((10, 10), descriptor)
            with pytest.raises(OSError, match="Bad file"):
                os.fstat(descriptor)


def _picture(size: Size) -> Picture:
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Picture(pixels, Provenance(width, height, "PNG", 1, "", 1, False, False))


_SIZES = st.tuples(st.integers(32, 200), st.integers(32, 200))
_WANTED = st.builds(
    lambda sides, most, detail: Wanted(
        {
            f"slot-{number}": Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=side)
            for number, side in enumerate(sides)
        },
        most,
        detail,
    ),
    st.lists(st.sampled_from([None, 32, 64, 150]), max_size=4),
    st.integers(1024, 40_000),
    st.booleans(),
)


@given(_SIZES, _SIZES, st.booleans(), st.booleans(), _WANTED, _WANTED)
def test_both_ends_agree_on_what_follows_an_answer(
    size: Size, other: Size, same: bool, compared: bool, wanted: Wanted, of_pair: Wanted
) -> None:
    picture = _picture(size)
    result = model_inputs.fit(picture, wanted)
    order, comparison = DecoderOrder(1, Limits(), wanted), None
    if compared:
        reference = _picture(size if same else other)
        reference_size = reference.provenance.width, reference.provenance.height
        order = DecoderOrder(1, Limits(), wanted, against=Against(reference_size, True, of_pair))
        comparison = model_inputs.compare_pair(reference.pixels, picture, result, True, of_pair)
    sent = [(array.shape[1], array.shape[0]) for array in protocol.arrays_of(result, comparison)]
    assert sent == protocol.sizes_of(order, size)
