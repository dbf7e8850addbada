"""``python -m app.imaging.sandbox DESCRIPTOR MEMORY FILE``: a process that decodes for an HTTP process.

It reads what strangers send with libraries written in C. So it holds nothing of value, has little memory to
ask for, reaches only its parent (:mod:`app.imaging.sandbox.lockdown`), and ends with it.
"""

import codecs
import errno
import gc
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import Final

import numpy as np
from PIL import Image

from app.errors import InternalError, InvalidImage, ServiceError
from app.imaging import decode, model_inputs
from app.imaging.decode import Header, Size
from app.imaging.formats.registry import supported_formats
from app.imaging.model_inputs import Comparison, Fitted
from app.imaging.sandbox import lockdown, protocol
from app.imaging.sandbox.protocol import (
    Channel,
    DecoderAnswer,
    DecoderOrder,
    DecoderWireError,
    DecodingFailed,
    Ready,
    SeenImage,
    WireSignal,
)
from app.imaging.sandbox.shared_pixels import Original, fill
from app.processes.linux import die_with_parent

_LONGEST_TRACE: Final = 8000  # characters


def main(arguments: list[str] | None = None) -> int:
    """Decodes by the orders that come through the descriptor until its parent closes it."""
    descriptor, memory_bytes, file_bytes = map(int, arguments or sys.argv[1:])
    die_with_parent()
    # Some send their signals to all processes of a service (systemd does); the parent says when to end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _load_libraries()
    lockdown.limit_resources(memory_bytes, file_bytes)
    channel = Channel(socket.socket(fileno=descriptor))
    locked = lockdown.lock_down()
    with suppress(DecoderWireError):
        channel.send(protocol.REPLY, Ready(locked))
        while True:
            _obey(channel)
    return 0


def _load_libraries() -> None:
    """Loads what decoding and comparing need, while there is memory and files can be opened."""
    gc.disable()  # nothing of it becomes garbage, and looking for some takes a tenth of the time
    supported_formats()
    Image.init()  # otherwise Pillow loads its plugins with the first file of some formats
    codecs.lookup("utf-16")  # of texts in color profiles
    # models.fidelity imports these two only when it measures.
    import scipy.fft
    import scipy.ndimage  # noqa: F401

    import models.fidelity
    import models.measures.published  # noqa: F401

    gc.freeze()
    gc.enable()


def _obey(channel: Channel) -> None:
    """Takes an order and answers it; by then, nothing of the image is held but what the answer has.

    Raises:
        DecoderWireError: the parent is gone.
    """
    order, descriptors = channel.receive(protocol.ORDER, descriptors=2)
    reference = None if order.against is None else Original(order.against.size, descriptors.pop(0))
    memory = descriptors.pop() if order.keep else None
    try:
        made = _carry_out(channel, order, reference, memory)
    finally:
        if reference is not None:
            reference.close()
        if memory is not None:
            os.close(memory)
    # If the parent went in the meantime, this is where it is noticed.
    if isinstance(made, DecodingFailed):
        channel.send(protocol.REPLY, made)
    elif made is not None:
        _answer(channel, *made)


def _carry_out(
    channel: Channel, order: DecoderOrder, reference: Original | None, memory: int | None
) -> tuple[Fitted, Comparison | None] | DecodingFailed | None:
    """What an order asks for, or why it fails; None where the parent has rejected the header.

    Raises:
        DecoderWireError: the parent is gone.
    """
    data = channel.receive_bytes(order.bytes)
    against = order.against
    try:
        with decode.opened(data, order.limits) as image:
            if against is not None and not against.resize:
                _check_header(image.header, against.size)
            channel.send(protocol.REPLY, SeenImage(image.header))
            verdict, _ = channel.receive(protocol.VERDICT)
            if not verdict.go:
                return None
            # PSNR and SSIM, and what is compared with, take the pixels that the file has.
            whole = order.keep or against is not None
            picture = image.decode(None if whole else order.wanted.least)
        result = model_inputs.fit(picture, order.wanted)
        comparison = None
        if against is not None and reference is not None:
            comparison = model_inputs.compare_pair(
                reference.pixels(), picture, result, against.resize, against.wanted, against.measures
            )
        if memory is not None:
            fill(memory, picture.pixels)
    except DecoderWireError:
        raise
    except Exception as error:
        return _failure(error)
    return result, comparison


def _answer(channel: Channel, result: Fitted, comparison: Comparison | None) -> None:
    measures = None
    if comparison is not None:
        found = comparison.signal
        moved = found.displacement
        measures = WireSignal(
            found.psnr_db,
            found.ssim,
            None if moved is None else (moved.x, moved.y, moved.scale),
            dict(comparison.measures),
        )
    places = tuple(tile.place for tile in result.tiles)
    answer = DecoderAnswer(
        result.provenance, result.warnings, result.exposure, measures, places, result.regions, result.facts
    )
    channel.send(protocol.REPLY, answer, *map(np.ascontiguousarray, protocol.arrays_of(result, comparison)))


def _check_header(header: Header, reference: Size) -> None:
    """Rejects a size that no turning can make the reference's, before the image is decoded."""
    if {header.width, header.height} != set(reference):
        raise model_inputs.mismatch(reference, (header.width, header.height))


def _failure(error: Exception) -> DecodingFailed:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        error = InvalidImage("The image takes more memory to prepare than an image may.")
    if isinstance(error, ServiceError):
        return DecodingFailed(error.slug, error.detail, error.fields)
    trace = "".join(traceback.format_exception(error))
    return DecodingFailed(InternalError.slug, InternalError.title, {}, trace[-_LONGEST_TRACE:])


if __name__ == "__main__":
    sys.exit(main())
