"""What came of a request's work, and the time that it took; its steps are told to its trace as they end."""

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from app.errors import ServiceError
from app.imaging.sandbox.work import Timed
from app.inference.protocol import Done
from app.scoring.admission import Room
from app.scoring.decoded_references import Reference
from app.scoring.requests import Prepared, PreparedPair
from app.tracing.request_trace import current_trace

_SHORTEST_WAIT_S: Final = 0.001
"""A shorter wait for a decoder has no span: each costs as much as a hundredth of a small image."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds: decoding and scaling, waiting for a decoder and for the device, and on the device."""

    decode: float
    queue: float
    inference: float


@dataclass(frozen=True)
class ScoredUpload:
    """An image, the workers' results for it, and the time that they took."""

    prepared: Prepared
    done: Done
    timing: Timing


@dataclass(frozen=True)
class Rendered:
    """An answer as it is remembered.

    Attributes:
        body: JSON object, without the timing of the request; or a picture.
        width: of the image (the reference), in pixels.
        height: of the image (the reference), in pixels.
        batch: requests in the batch that it was computed in.
        timing: of the work.
    """

    body: bytes
    width: int
    height: int
    batch: int
    timing: Timing


@dataclass(frozen=True)
class PairedUploads:
    """A pair that is decoded, before the workers have seen it.

    Attributes:
        pair: the images.
        known: what is known of the reference.
        room: what the pair holds of the queue.
        decode_s: seconds that decoding took.
        waited_s: seconds of waiting for a decoder.
    """

    pair: PreparedPair
    known: Reference
    room: Room
    decode_s: float
    waited_s: float

    @property
    def timing(self) -> Timing:
        """Of the decoding alone."""
        return Timing(self.decode_s * 1000, self.waited_s * 1000, 0.0)


async def told_of_decoding(work: Awaitable[Timed]) -> Timed:
    """What comes of decoding an image: the spans ``queue``, where it had to wait, and ``decode``."""
    trace, asked = current_trace.get(), time.monotonic()
    try:
        decoded = await work
    except ServiceError as error:
        trace.step("decode", asked, time.monotonic(), error=error.slug)
        raise
    began = asked + decoded.waited_s
    if decoded.waited_s >= _SHORTEST_WAIT_S:
        trace.step("queue", asked, began, waits_for="decoder")
    trace.step("decode", began, began + decoded.seconds)
    return decoded


async def told_of_inference(work: Awaitable[Done]) -> Done:
    """What comes of a job: the spans ``queue`` and ``inference``; the latter is linked to its batch."""
    trace, asked = current_trace.get(), time.monotonic()
    try:
        done = await work
    except ServiceError as error:
        trace.step("queue", asked, time.monotonic(), error=error.slug, waits_for="device")
        raise
    began = max(asked, done.began)
    trace.step("queue", asked, began, waits_for="device")
    trace.step("inference", began, done.began + done.inference_s, link=done.trace, batch=done.batch_images)
    return done
