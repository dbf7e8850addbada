"""What came of a request's work, and the time that it took."""

from dataclasses import dataclass

from app.inference.protocol import Done
from app.scoring.admission import Room
from app.scoring.decoded_references import Reference
from app.scoring.requests import Prepared, PreparedPair


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
