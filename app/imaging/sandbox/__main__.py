"""``python -m app.imaging.sandbox DESCRIPTOR MEMORY``: a process that decodes, as an HTTP process starts it.

It reads what strangers send with libraries written in C. So it holds nothing of value, has little memory to
ask for, talks only to its parent, and ends with it.
"""

import os
import resource
import signal
import socket
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Final

import numpy as np

from app.errors import InternalError, InvalidImage, ServiceError
from app.imaging import decode, model_inputs
from app.imaging.decode import Header, Size
from app.imaging.formats.registry import supported_formats
from app.imaging.model_inputs import Comparison, Fitted
from app.imaging.sandbox import protocol
from app.imaging.sandbox.protocol import (
    Channel,
    DecoderAnswer,
    DecoderWireError,
    DecodingFailed,
    Ready,
    SeenImage,
    WireSignal,
)
from app.imaging.sandbox.shared_pixels import Original, keep
from app.processes.parent_link import die_with_parent

_MOST_FILES: Final = 64
_LONGEST_TRACE: Final = 8000  # characters


def main(arguments: list[str] | None = None) -> int:
    """Decodes by the orders that come through the descriptor until its parent closes it."""
    descriptor, memory_bytes = map(int, arguments or sys.argv[1:])
    die_with_parent()
    # Some send their signals to all processes of a service (systemd does); the parent says when to end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    supported_formats()  # loads the decoders, before there is less memory
    _confine(memory_bytes)
    channel = Channel(socket.socket(fileno=descriptor))
    with suppress(DecoderWireError):
        channel.send(protocol.REPLY, Ready())
        while True:
            _obey(channel)
    return 0


def _confine(memory_bytes: int) -> None:
    """Bounds what a damaged file can take; nothing it makes a library say gets into the log."""
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MOST_FILES),
    ):
        with suppress(OSError, ValueError):  # not every system lets all be set, nor set higher than before
            resource.setrlimit(limit, (most, most))
    warnings.filterwarnings("ignore", module="PIL")
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nothing.fileno(), stream.fileno())


def _obey(channel: Channel) -> None:
    """Takes an order and answers it.

    Raises:
        DecoderWireError: the parent is gone.
    """
    order, descriptor = channel.receive(protocol.ORDER)
    reference = None
    if order.against is not None and descriptor is not None:
        reference = Original(order.against.size, descriptor)
    data = channel.receive_bytes(order.bytes)
    try:
        with decode.opened(data, order.limits) as image:
            if order.against is not None and not order.against.resize:
                _check_header(image.header, order.against.size)
            channel.send(protocol.REPLY, SeenImage(image.header))
            verdict, _ = channel.receive(protocol.VERDICT)
            if not verdict.go:
                return
            # PSNR and SSIM, and what is compared with, take the pixels that the file has.
            whole = order.keep or order.against is not None
            picture = image.decode(None if whole else order.wanted.least)
        result = model_inputs.fit(picture, order.wanted)
        comparison = None
        if order.against is not None and reference is not None:
            comparison = model_inputs.compare_pair(
                reference.pixels(), picture, result, order.against.resize, order.against.wanted
            )
        original = keep(picture.pixels) if order.keep else None
    except DecoderWireError:
        raise
    except Exception as error:
        # If the parent went in the meantime, this is where it is noticed.
        channel.send(protocol.REPLY, _failure(error))
        return
    finally:
        if reference is not None:
            reference.close()
    _answer(channel, result, comparison, original)


def _answer(
    channel: Channel, result: Fitted, comparison: Comparison | None, original: Original | None
) -> None:
    measures = None
    if comparison is not None:
        measures = WireSignal(comparison.signal.psnr_db, comparison.signal.ssim)
    answer = DecoderAnswer(result.provenance, result.warnings, result.exposure, measures)
    arrays = map(np.ascontiguousarray, protocol.arrays_of(result, comparison))
    if original is None:
        channel.send(protocol.REPLY, answer, *arrays)
        return
    with original:
        channel.send(protocol.REPLY, answer, *arrays, descriptors=[original.descriptor])


def _check_header(header: Header, reference: Size) -> None:
    """Rejects a size that no turning can make the reference's, before the image is decoded."""
    if {header.width, header.height} != set(reference):
        raise model_inputs.mismatch(reference, (header.width, header.height))


def _failure(error: Exception) -> DecodingFailed:
    if isinstance(error, MemoryError):
        error = InvalidImage("The image takes more memory to prepare than an image may.")
    if isinstance(error, ServiceError):
        return DecodingFailed(error.slug, error.detail, error.fields)
    trace = "".join(traceback.format_exception(error))
    return DecodingFailed(InternalError.slug, InternalError.title, {}, trace[-_LONGEST_TRACE:])


if __name__ == "__main__":
    sys.exit(main())
