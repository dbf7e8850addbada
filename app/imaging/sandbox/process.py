"""A decoder process as the thread that owns it sees it: started, asked, killed. Every call may block."""

import contextlib
import math
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app import errors
from app.cpu import cores
from app.errors import InternalError, ServiceError
from app.imaging.decode import Header, Size
from app.imaging.detail_tiles import Tile, TileBox
from app.imaging.limits import Limits
from app.imaging.model_inputs import Comparison, Fitted, Wanted
from app.imaging.sandbox import processor_time, protocol
from app.imaging.sandbox.protocol import (
    Against,
    Channel,
    DecoderAnswer,
    DecoderOrder,
    DecoderVerdict,
    DecoderWireError,
    DecodingFailed,
    Ready,
    SeenImage,
)
from app.imaging.sandbox.shared_pixels import Original, reserve
from app.processes.linux import address_space_bytes

COMMAND: Final = (sys.executable, "-P", "-m", "app.imaging.sandbox")

_START_S: Final = 30.0  # on a machine that is busy with loading models
_END_S: Final = 5.0  # that a killed process takes to be gone
_DYING_S: Final = 0.5  # from closing its socket to being gone by itself

# Address space in bytes; memory is taken only where an image needs it. An interpreter with its libraries
# takes 0.3 GB, and comparing 0.1. A fifth more than the pixels may take is for what libraries reserve.
_BASE_BYTES: Final = 3 << 28
_COPIES_OF_FILE: Final = 4

_CLOCK_OF_PROCESS: Final = 0
"""Of the time that a process used; the other bits are its number, inverted (clock_getcpuclockid(3)).

Of the three clocks it is the one whose time the kernel limits. The precise one (2) is some percent behind on
busy machines: limits by it ended decoders after a thousand seconds of work.
"""

_INHERITED: Final = (
    *("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TMPDIR"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONPLATLIBDIR", "PYTHONUTF8"),
)
"""Variables that a decoder gets from this process: where libraries lie, and how text is encoded."""

_OF_IMAGES: Final = {
    problem.slug: problem
    for problem in (
        errors.MalformedRequest,
        errors.BodyTooLarge,
        errors.UnsupportedMediaType,
        errors.InvalidImage,
        errors.ImageTooLarge,
        errors.ImageTooSmall,
        errors.SizeMismatch,
    )
}
"""What a decoder may blame on an image."""


class DecoderLost(Exception):
    """The process ended or cannot be understood; the message says how."""


class DecoderStarved(Exception):
    """The process wanted to compute and got too little time of a processor."""


@dataclass(frozen=True)
class Request:
    """What is wanted of a file; see :class:`app.imaging.sandbox.protocol.DecoderOrder`."""

    data: bytes
    limits: Limits
    wanted: Wanted
    keep: bool = False
    against: Against | None = None
    reference: Original | None = None


@dataclass(frozen=True)
class Decoded:
    """What the process made of a file.

    Attributes:
        fitted: the image as the models see it.
        original: its pixels at full size, where they were to be kept.
        comparison: with the reference, where there is one.
    """

    fitted: Fitted
    original: Original | None = None
    comparison: Comparison | None = None


def _ignore(_: "Decoder") -> None:
    pass


class Decoder:
    """A running decoder process.

    The kernel ends it when the *thread* ends that has started it, so only that thread may use it.

    Args:
        command: that starts it; three arguments are added: the descriptor of a socket, the address space that
            it may take, and the size of the files that it may write, in bytes.
        limits: of the images that it will be given.
        on_start: called with it once the process runs, before it is ready: it may be ended from then on.

    Attributes:
        lockdown: what the kernel enforces on it.
        halted: whether it was ended because something had stopped it.

    Raises:
        DecoderLost: it does not start.
    """

    def __init__(
        self, command: Sequence[str], limits: Limits, on_start: Callable[["Decoder"], None] = _ignore
    ) -> None:
        self.halted = False
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(_memory_bytes(limits)), str(_file_bytes(limits))],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                    start_new_session=True,  # the terminal's Ctrl-C is the parent's to handle
                )
        except OSError as error:
            ours.close()
            raise DecoderLost(f"it cannot be started ({error.strerror})") from error
        on_start(self)
        self._channel.deadline = time.monotonic() + _START_S
        try:
            reply, _ = self._channel.receive(protocol.REPLY)
            if not isinstance(reply, Ready):
                raise DecoderWireError("It is not ready.")
            self.lockdown = reply.lockdown
        except (DecoderWireError, TimeoutError) as error:
            raise DecoderLost(self.kill()) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as can be told without asking it."""
        return self._process.poll() is None

    @property
    def worn(self) -> bool:
        """Whether images that it is done with have left so much behind that others may find no memory."""
        return address_space_bytes(self.pid) > _BASE_BYTES

    def decode(
        self,
        request: Request,
        on_header: Callable[[Header], None],
        timeout_s: float,
        latest: float = 0.0,
    ) -> Decoded:
        """Has a file decoded.

        Args:
            request: what is wanted.
            on_header: told the header before any pixel is decoded; what it raises breaks off.
            timeout_s: longest that it may take: of a processor's time, and of the clock's while the process
                does not want to compute.
            latest: until when it may take longer by the clock, on that of ``time.monotonic()``.

        Raises:
            ServiceError: the file is at fault, or `on_header` raised it.
            TimeoutError: it takes longer. The caller must kill the process.
            DecoderStarved: the same, where that is not the file's fault.
            DecoderLost: the process ended, and was buried.
        """
        usage = processor_time.Usage(self.pid)

        def extended() -> float | None:
            now = time.monotonic()
            left_s = timeout_s - usage.spent_s()
            return min(latest, now + left_s) if usage.starved(timeout_s) and now < latest else None

        self._channel.deadline = time.monotonic() + timeout_s
        self._limit_processor_time(timeout_s * cores())
        self._channel.extended = extended
        try:
            return self._converse(request, on_header)
        except DecoderWireError as error:
            raise DecoderLost(self.kill()) from error
        except TimeoutError as error:
            if usage.starved(timeout_s):
                raise DecoderStarved from error
            raise

    def terminate(self) -> None:
        """Ends the process from another thread; the one that owns it finds it dead."""
        self._process.kill()

    def kill(self) -> str:
        """Ends the process, if it still runs; how it ended, in words."""
        code = self._process.poll()
        if code is None:
            # Whose socket is closed by the kernel may not be a zombie yet.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_DYING_S)
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._channel.close()
        if code is None:
            return "it was killed"
        return f"it ended with code {code}" if code >= 0 else f"signal {-code} ended it"

    def _limit_processor_time(self, seconds: float) -> None:
        """Has the kernel end the process after so much more time on processors, should this thread hang."""
        if sys.platform == "linux":
            clock = ~self.pid << 3 | _CLOCK_OF_PROCESS
            with contextlib.suppress(OSError):  # it ended just now
                _, most = resource.prlimit(self.pid, resource.RLIMIT_CPU)
                end = math.ceil(time.clock_gettime(clock) + seconds)
                soft = end if most == resource.RLIM_INFINITY else min(end, most)
                resource.prlimit(self.pid, resource.RLIMIT_CPU, (soft, most))

    def _converse(self, request: Request, on_header: Callable[[Header], None]) -> Decoded:
        if not request.keep:
            return self._exchange(request, on_header, None)
        # The decoder fills it: so it needs no memory of its own kind, of which it could make any amount.
        memory = reserve()
        try:
            return self._exchange(request, on_header, memory)
        finally:
            os.close(memory)

    def _exchange(self, request: Request, on_header: Callable[[Header], None], memory: int | None) -> Decoded:
        order = DecoderOrder(len(request.data), request.limits, request.wanted, request.keep, request.against)
        reference = None if request.reference is None else request.reference.descriptor
        descriptors = [each for each in (reference, memory) if each is not None]
        channel = self._channel
        channel.send(protocol.ORDER, order, request.data, descriptors=descriptors)
        seen, _ = channel.receive(protocol.REPLY)
        if isinstance(seen, DecodingFailed):
            raise _problem(seen)
        if not isinstance(seen, SeenImage):
            raise DecoderWireError("The header is missing.")
        width, height = seen.header.width, seen.header.height
        if min(width, height) < 1 or width * height > request.limits.max_pixels:
            raise DecoderWireError("The header is beyond the limits.")
        try:
            on_header(seen.header)
        except BaseException:
            channel.send(protocol.VERDICT, DecoderVerdict(go=False))
            raise
        channel.send(protocol.VERDICT, DecoderVerdict(go=True))
        answer, _ = channel.receive(protocol.REPLY)
        if isinstance(answer, DecodingFailed):
            raise _problem(answer)
        if not isinstance(answer, DecoderAnswer):
            raise DecoderWireError("The answer is another one.")
        original = None
        if memory is not None:
            try:
                original = Original((answer.provenance.width, answer.provenance.height), os.dup(memory))
            except ValueError as error:
                raise DecoderWireError("The pixels to be kept are others.") from error
        return self._take(order, seen.header, answer, original)

    def _take(
        self, order: DecoderOrder, header: Header, answer: DecoderAnswer, original: Original | None
    ) -> Decoded:
        """The arrays after an answer, by slot."""
        size = answer.provenance.width, answer.provenance.height
        if size not in ((header.width, header.height), (header.height, header.width)):
            raise DecoderWireError("The image is of another size than its header says.")
        against = order.against
        if (against is None) != (answer.signal is None):
            raise DecoderWireError("The comparison is missing.")
        asked = () if against is None else against.measures
        if answer.signal is not None and set(answer.signal.measures) != set(asked):
            raise DecoderWireError("The measures are others.")
        same = against is not None and against.size == size
        if against is not None and not same and not against.resize:
            raise DecoderWireError("Images of two sizes were compared.")
        sizes, tile_sizes = order.wanted.sizes(size), order.wanted.tile_sizes(size)
        if not _lie_within(answer.tiles, tile_sizes, size):
            raise DecoderWireError("The tiles are others.")
        received = [(each, self._channel.receive_array(each)) for each in protocol.sizes_of(order, size)]
        own_count = len(set(sizes.values()))
        own, received = dict(received[:own_count]), received[own_count:]
        pixels = {slot: own[each] for slot, each in sizes.items()}
        tiles = tuple(
            Tile(place, array)
            for place, (_, array) in zip(answer.tiles, received[: len(tile_sizes)], strict=True)
        )
        fitted = Fitted(
            answer.provenance, answer.warnings, answer.exposure, pixels, tiles, answer.regions, answer.facts
        )
        if against is None or answer.signal is None:
            return Decoded(fitted, original)
        from models.alignment import Displacement
        from models.fidelity import Signal

        compared = dict(received[len(tiles) :]) | (own if same else {})
        comparison = Comparison(
            Signal(
                answer.signal.psnr_db,
                answer.signal.ssim,
                None if (moved := answer.signal.displacement) is None else Displacement(*moved),
            ),
            None if same else size,
            {slot: compared[each] for slot, each in against.wanted.sizes(against.size).items()},
            answer.signal.measures,
        )
        return Decoded(fitted, original, comparison)


def _lie_within(tiles: Sequence[TileBox], sizes: Sequence[Size], image: Size) -> bool:
    """Whether tiles have the sizes that they must have, and lie in the image."""
    return [(tile.width, tile.height) for tile in tiles] == list(sizes) and all(
        0 <= tile.left <= image[0] - tile.width and 0 <= tile.top <= image[1] - tile.height for tile in tiles
    )


def _problem(failed: DecodingFailed) -> ServiceError:
    """The problem that the decoder found; it knows of those of images, and of its own bugs."""
    if failed.slug in _OF_IMAGES:
        return _OF_IMAGES[failed.slug](failed.detail, **failed.fields)
    if failed.slug == InternalError.slug:
        problem = InternalError()
        problem.add_note(failed.trace)
        return problem
    raise DecoderWireError("The problem is not one of an image.")


def _memory_bytes(limits: Limits) -> int:
    return _BASE_BYTES + limits.decoding_bytes * 6 // 5 + _COPIES_OF_FILE * limits.max_bytes


def _file_bytes(limits: Limits) -> int:
    """Of the only file that a decoder writes: an image's pixels, in memory that it is handed."""
    return 3 * limits.max_pixels


def _environment() -> dict[str, str]:
    # No secrets. The child finds what this process finds, and nothing that happens to lie in the current
    # folder. One thread and one arena: each more would reserve address space that it has no use for.
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),  # noqa: PTH100
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        # Pillow's pieces of an image, of at most 16 MiB, are kept for the next one. To get them from the
        # system each time, zeroed, took a third of the time of a small image.
        "MALLOC_MMAP_THRESHOLD_": str(17 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    }
