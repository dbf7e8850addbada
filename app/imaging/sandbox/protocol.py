"""The messages between an HTTP process and a process that decodes for it, over one stream socket.

    to the decoder      order     a file and what to decode; perhaps with descriptors: of a reference, and of
                                  memory for the pixels that are kept
                        verdict   whether to continue, now that the header is known
    from the decoder    ready     it has loaded what it needs, and is locked down
                        seen      the header of the file is within the limits
                        answer    the decoded image, and its pixels
                        failed    why there is none

A message is its length in four bytes and a JSON object; files and pixels follow as they are, in lengths that
both ends know by then. Nothing is pickled. The decoder has read what strangers sent, and may be out of its
mind: no length that it names is taken on trust, and no descriptor is accepted from it.
"""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from app.imaging.decode import Header, Provenance, Size
from app.imaging.detail_tiles import TileBox
from app.imaging.limits import Limits
from app.imaging.model_inputs import Comparison, Fitted, Wanted
from app.imaging.sandbox.lockdown import Lockdown
from app.schemas.measured.exposure import MeasuredExposure
from app.schemas.measured.facts import NO_FACTS, PictureFacts
from app.schemas.measured.regions import NO_REGIONS, FaultRegions

_T = TypeVar("_T")
_Finite = Annotated[float, Field(allow_inf_nan=False)]

_LENGTH: Final = struct.Struct(">I")
_MOST_HEADER_BYTES: Final = 2**20
_CHUNK_BYTES: Final = 2**20
_GONE: Final = "The other end is gone."


class DecoderWireError(Exception):
    """The peer does not follow this module, or is gone."""


@dataclass(frozen=True)
class Against:
    """What a distorted image is compared with.

    Attributes:
        size: of the reference, whose pixels are behind the descriptor that comes along.
        resize: whether an image of another size is brought to it.
        wanted: whose input is wanted of the image as it is compared.
        measures: names of the published measures that are wanted too.
    """

    size: Size
    resize: bool
    wanted: Wanted
    measures: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecoderOrder:
    """A file to decode; its bytes follow.

    Attributes:
        bytes: how many.
        limits: of the file.
        wanted: whose input is wanted of the image.
        keep: whether its pixels at full size are put into the memory whose descriptor comes along.
        against: what it is compared with.
    """

    bytes: int
    limits: Limits
    wanted: Wanted
    keep: bool = False
    against: Against | None = None


@dataclass(frozen=True)
class DecoderVerdict:
    """Whether the HTTP process accepts the header."""

    go: bool


@dataclass(frozen=True)
class Ready:
    """The decoder takes orders; it has given up what it does not need."""

    lockdown: Lockdown
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True)
class SeenImage:
    header: Header
    kind: Literal["seen"] = "seen"


@dataclass(frozen=True)
class WireSignal:
    """As :class:`models.fidelity.Signal`, which cannot be named here without scipy; and further measures."""

    psnr_db: float | None
    ssim: float
    displacement: tuple[_Finite, _Finite, _Finite] | None = None
    measures: dict[str, _Finite | None] = field(default_factory=dict)


@dataclass(frozen=True)
class DecoderAnswer:
    """A decoded image. The arrays of :func:`arrays_of` follow, as :func:`sizes_of` says."""

    provenance: Provenance
    warnings: tuple[str, ...]
    exposure: MeasuredExposure
    signal: WireSignal | None = None
    tiles: tuple[TileBox, ...] = ()
    regions: FaultRegions = NO_REGIONS
    facts: PictureFacts = NO_FACTS
    kind: Literal["answer"] = "answer"


@dataclass(frozen=True)
class DecodingFailed:
    """A problem, by its slug; `trace` is for the log, where it is a bug."""

    slug: str
    detail: str
    fields: dict[str, Any]
    trace: str = ""
    kind: Literal["failed"] = "failed"


DecoderReply = Ready | SeenImage | DecoderAnswer | DecodingFailed

ORDER: Final[TypeAdapter[DecoderOrder]] = TypeAdapter(DecoderOrder)
VERDICT: Final[TypeAdapter[DecoderVerdict]] = TypeAdapter(DecoderVerdict)
REPLY: Final[TypeAdapter[DecoderReply]] = TypeAdapter(Annotated[DecoderReply, Field(discriminator="kind")])


def sizes_of(order: DecoderOrder, size: Size) -> list[Size]:
    """The sizes of the arrays that follow an answer about an image of that size."""
    sizes = list(dict.fromkeys(order.wanted.sizes(size).values()))
    own = len(sizes)
    sizes += order.wanted.tile_sizes(size)
    if order.against is not None:
        compared = dict.fromkeys(order.against.wanted.sizes(order.against.size).values())
        # An image that is compared as it is shares its arrays with itself.
        same = order.against.size == size
        sizes.extend(each for each in compared if not (same and each in sizes[:own]))
    return sizes


def arrays_of(fitted: Fitted, comparison: Comparison | None) -> list[NDArray[np.uint8]]:
    """The arrays that follow an answer."""
    own = {id(array): array for array in fitted.pixels.values()}
    compared = {id(array): array for array in (comparison.pixels.values() if comparison else ())}
    tiles = [tile.pixels for tile in fitted.tiles]
    return [*own.values(), *tiles, *(array for key, array in compared.items() if key not in own)]


class Channel:
    """One end of the socket.

    Attributes:
        deadline: on the clock of ``time.monotonic()``, by which whatever is done must have ended; None for
            none. A wait beyond it raises :class:`TimeoutError`.
        extended: asked for a later deadline when that has passed while the channel was receiving; None for
            none.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.deadline: float | None = None
        self.extended: Callable[[], float | None] = lambda: None
        self._connection = connection

    def close(self) -> None:
        self._connection.close()

    def send(
        self, adapter: TypeAdapter[_T], message: _T, *buffers: Any, descriptors: Sequence[int] = ()
    ) -> None:
        """Sends a message and what follows it.

        Raises:
            DecoderWireError: the peer is gone.
        """
        header = adapter.dump_json(message)
        with _unless_gone():
            self._arm()
            socket.send_fds(self._connection, [_LENGTH.pack(len(header))], descriptors)
            for part in (header, *buffers):
                self._arm()
                self._connection.sendall(part)

    def receive(self, adapter: TypeAdapter[_T], *, descriptors: int = 0) -> tuple[_T, list[int]]:
        """A message, and the descriptors that came with it; the caller must close them.

        Args:
            adapter: of the message.
            descriptors: maximum number that is accepted; the kernel closes others.

        Raises:
            DecoderWireError: the peer is gone, or sent another message.
        """
        length, received = self._receive_length(descriptors)
        try:
            if length > _MOST_HEADER_BYTES:
                raise DecoderWireError("The message is too long.")
            return adapter.validate_json(self.receive_bytes(length)), received
        except BaseException as error:
            _close(received)
            if isinstance(error, ValidationError):
                raise DecoderWireError("The message is another one.") from error
            raise

    def receive_bytes(self, length: int) -> bytes:
        """So many bytes.

        Raises:
            DecoderWireError: the peer is gone.
        """
        parts = []
        while length:
            part = self._patiently(partial(self._connection.recv, min(length, _CHUNK_BYTES)))
            if not part:
                raise DecoderWireError(_GONE)
            length -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def receive_array(self, size: Size) -> NDArray[np.uint8]:
        """Pixels ``(H, W, 3)`` of that size.

        Raises:
            DecoderWireError: the peer is gone.
        """
        array = np.empty((size[1], size[0], 3), np.uint8)
        rest = array.data.cast("B")
        while rest:
            received = self._patiently(partial(self._connection.recv_into, rest))
            if not received:
                raise DecoderWireError(_GONE)
            rest = rest[received:]
        return array

    def _receive_length(self, most: int) -> tuple[int, list[int]]:
        receive = partial(socket.recv_fds, self._connection, _LENGTH.size, most)
        head, descriptors, _, _ = self._patiently(receive)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        try:
            if not head:
                raise DecoderWireError(_GONE)
            (length,) = _LENGTH.unpack(head + self.receive_bytes(_LENGTH.size - len(head)))
        except BaseException:
            _close(descriptors)
            raise
        return length, descriptors

    def _patiently(self, receive: Callable[[], _T]) -> _T:
        """What `receive` gives, as long as the deadline is extended."""
        while True:
            try:
                self._arm()
                with _unless_gone():
                    return receive()
            except TimeoutError:
                if (later := self.extended()) is None:
                    raise
                self.deadline = later

    def _arm(self) -> None:
        if self.deadline is None:
            self._connection.settimeout(None)
            return
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Turns the errors of a socket into "the peer is gone", except for a timeout."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise DecoderWireError(_GONE) from error
