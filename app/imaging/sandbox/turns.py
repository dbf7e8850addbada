"""The line of the decoders as threads share it: with the clock, the measured cost of formats, and memory."""

import threading
import time
from dataclasses import replace
from statistics import median
from typing import Final

from app.cost import Cost, CostFit
from app.errors import Overloaded
from app.imaging.decode import Header
from app.imaging.formats.registry import supported_formats
from app.imaging.limits import Limits
from app.imaging.sandbox.line import SMALL_S, DecodeLine, Turn
from app.imaging.sandbox.work import Work, WorkKind
from app.memory import Memory

_LOOK_S: Final = 0.25
"""How often a thread looks again at a line in which none may go: memory is given back silently."""
_PATIENCE: Final = 0.5
"""Longest wait, as a part of the time in which an image must begin."""
_BULK_PATIENCE: Final = 0.9
"""The same for images of a batch, few of which are in line at a time."""
_SHARE: Final = 0.9
"""Part of its time in which an image must be decoded by what is expected, and by how late others were."""
_PAIR_SHARE: Final = 0.7
"""The same of a pair, which must be compared, too."""

_NEWEST: Final = 0.1  # weight of the newest image in the moving averages of what images take and wait
_SHORTEST_S: Final = 1.0  # an expected wait, below which one says nothing about others
_MOST_LATE: Final = 4.0  # times the expected wait; one very late image must not keep out all others

_OPENING: Final = Cost(0.002, 2e-9)  # of a file, by its bytes
_PRIORS: Final[dict[WorkKind, Cost]] = {
    "score": Cost(0.003, 25e-9),
    "keep": Cost(0.003, 30e-9),
    "compare": Cost(0.010, 120e-9),
}

# The most that was measured per pixel: docker/README.sizing.md.
_BYTES_PER_PIXEL: Final = 29
_JPEG_BYTES_PER_PIXEL: Final = 18
_REDUCED_JPEG_BYTES_PER_PIXEL: Final = 8
_REFERENCE_BYTES_PER_PIXEL: Final = 3
_COPIES_OF_FILE: Final = 2


def work_bytes(limits: Limits) -> int:
    """The most that an image within the limits takes while it is decoded, or compared with another."""
    reference = _REFERENCE_BYTES_PER_PIXEL * limits.max_pixels
    return limits.decoding_bytes + reference + _COPIES_OF_FILE * limits.max_bytes


class Turns:
    """The images that wait for the decoders of an HTTP process.

    Args:
        decoders: how many there are.
        memory: that images take while they are decoded.

    Attributes:
        usual_s: what images were expected to take lately.
    """

    def __init__(self, decoders: int, memory: Memory) -> None:
        self._memory = memory
        self._line: DecodeLine[Work] = DecodeLine(decoders)
        self._changed = threading.Condition()
        self._closed = False
        self.usual_s = 0.0
        self._owed_s: dict[Work, float] = {}  # for comparisons with the references that come before them
        self._foresight = _Foresight()
        self._fits: dict[tuple[str, WorkKind], CostFit] = {}

    @property
    def queued_s(self) -> float:
        """Seconds of work for one decoder in what waits or is decoded."""
        with self._changed:
            return self._line.cost_s

    def enter(self, work: Work) -> None:
        """Puts an image at its place in the line; its cost is that of opening it, for the time being."""
        cost_s = min(_OPENING.seconds(1, len(work.request.data)), SMALL_S)
        asker = work.asker
        urgent = work.kind == "compare"  # a decoded reference waits for it
        work.turn = Turn(work, asker.caller, asker.bulk, work.asked, cost_s, urgent)
        with self._changed:
            self._line.put(work.turn)
            self._changed.notify()

    def leave(self, work: Work) -> None:
        """No request waits for the image any more: it is dropped, if it is not being decoded."""
        with self._changed:
            work.abandoned = True
            self._owed_s.pop(work, None)
            if work.turn is not None and self._line.remove(work.turn):
                self._foresight.gave_up(work)
                work.turn = None  # each holds the other, and the file

    def next(self) -> Work | None:
        """Waits for the image to be decoded next; None once the line is closed.

        Call :meth:`end` when it is done, unless :meth:`settle` put it back.
        """
        with self._changed:
            while not self._closed:
                if (turn := self._line.take(time.monotonic(), self._has_room)) is not None:
                    self._foresight.began(turn.item)
                    return turn.item
                self._changed.wait(_LOOK_S if len(self._line) else None)
        return None

    def settle(self, work: Work, header: Header) -> bool:
        """The header of an image is known; whether its pixels may be decoded now.

        If not, it is back in line, as long as a request waits for it.

        Raises:
            Overloaded: it would wait for too long, or be compared too late. It is not back in line then.
        """
        assert work.turn is not None
        needed = _needed_bytes(work, header)
        if work.header is not None and needed <= work.working_bytes:
            return True
        cost_s = self._cost(header, work.kind).seconds(1, header.width * header.height)
        turn = replace(work.turn, cost_s=cost_s)
        if work.header is None:
            self._require_time(work, turn, header)
            work.on_header(header)
            work.header = header
        with self._changed:
            self.usual_s += _NEWEST * (cost_s - self.usual_s)
            self._line.done(work.turn, work.turn.cost_s)
            self._memory.end(work.working_bytes)
            if work.abandoned:
                work.turn = None
                return False
            work.turn, work.working_bytes = turn, needed
            self._line.put(turn)
            goes = self._line.take_this(turn, time.monotonic(), self._has_room)
            if goes:
                self._foresight.began(work)
            else:
                self._changed.notify()
            return goes

    def _require_time(self, work: Work, turn: Turn[Work], header: Header) -> None:
        """Returns where an image can be decoded in time, and compared, if it is one of a pair.

        Raises:
            Overloaded: it cannot.
        """
        now = time.monotonic()
        with self._changed:
            wait_s, own_s, share = self._line.wait_s(turn, now), turn.cost_s, _SHARE
            if turn.large or work.kind != "score":  # comparisons go before them
                wait_s += sum(self._owed_s.values()) / self._line.large_slots(now)
            late_s = wait_s
            if turn.large:
                work.expected = wait_s, now
                late_s *= self._foresight.factor
            if work.kind == "keep":
                compared = self._cost(header, "compare")
                self._owed_s[work] = compared.seconds(1, header.width * header.height)
                own_s, share = own_s + self._owed_s[work], _PAIR_SHARE
        # One alone is always tried: what is expected may be wrong.
        if wait_s > 0:
            _require(late_s + own_s - share * (work.deadline - now))
        if not turn.urgent:
            patience = _BULK_PATIENCE if work.asker.bulk else _PATIENCE
            _require(wait_s - patience * (work.deadline - work.asked))

    def end(self, work: Work, seconds: float, *, decoded: bool) -> None:
        """An image has been decoded, or has failed, after so many seconds."""
        assert work.turn is not None
        with self._changed:
            self._line.done(work.turn, seconds)
            work.turn = None
            if work.header is not None:
                self._memory.end(work.working_bytes)
                work.working_bytes = 0
                if decoded:
                    self._observe(work.header, work.kind, seconds)
            self._changed.notify_all()

    def close(self) -> None:
        """No image is decoded any more; those that wait stay for :meth:`clear`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> list[Work]:
        """Takes all images out that wait."""
        with self._changed:
            return [turn.item for turn in self._line.clear()]

    def _has_room(self, turn: Turn[Work]) -> bool:
        return turn.item.header is None or self._memory.begin(turn.item.working_bytes)

    def _cost(self, header: Header, kind: WorkKind) -> Cost:
        fit = self._fits.get((_name(header), kind))
        return self._prior(kind) if fit is None else fit.cost

    def _observe(self, header: Header, kind: WorkKind, seconds: float) -> None:
        key = _name(header), kind
        if key not in self._fits:
            self._fits[key] = CostFit(self._prior(kind))
        self._fits[key].observe(1, header.width * header.height, seconds)

    def _prior(self, kind: WorkKind) -> Cost:
        """What is assumed of a kind: for pairs, which take long, that they are as slow as all the rest."""
        ratios = [_PRIORS[each].pixels_per_s / fit.cost.pixels_per_s for (_, each), fit in self._fits.items()]
        slowness = max(1.0, median(ratios)) if ratios and kind != "score" else 1.0
        return _PRIORS[kind].times(slowness)


class _Foresight:
    """How much longer large images wait than the line lets expect: what comes later may go before them, and
    processors are shared with others.

    Attributes:
        factor: by which expected waits are multiplied; at least 1.
    """

    def __init__(self) -> None:
        self.factor = 1.0

    def began(self, work: Work) -> None:
        """An image is decoded from now on."""
        if work.expected is not None:
            self.factor += _NEWEST * (_lateness(work.expected) - self.factor)
            work.expected = None

    def gave_up(self, work: Work) -> None:
        """Nobody waits for an image any more. If it should have begun before, that counts."""
        if work.expected is not None and _lateness(work.expected) > self.factor:
            self.began(work)


def _lateness(expected: tuple[float, float]) -> float:
    """The wait until now over the expected one, within bounds."""
    wait_s, since = expected
    return min(max(1.0, (time.monotonic() - since) / max(wait_s, _SHORTEST_S)), _MOST_LATE)


def _name(header: Header) -> str:
    # A decoder may be out of its mind: it cannot make the number of names grow.
    return header.format if header.format in supported_formats() else ""


def _needed_bytes(work: Work, header: Header) -> int:
    """What an image takes while it is decoded."""
    pixels = header.width * header.height
    per_pixel = _BYTES_PER_PIXEL
    if header.format == "JPEG":
        per_pixel = _REDUCED_JPEG_BYTES_PER_PIXEL if _is_reduced(work, header) else _JPEG_BYTES_PER_PIXEL
    needed = per_pixel * pixels + _COPIES_OF_FILE * len(work.request.data)
    return needed if work.request.reference is None else needed + work.request.reference.nbytes


def _is_reduced(work: Work, header: Header) -> bool:
    """Whether a JPEG file is decoded at half its size or less."""
    least = work.request.wanted.least((header.width, header.height)) if work.kind == "score" else None
    return least is not None and 2 * least[0] <= header.width and 2 * least[1] <= header.height


def _require(excess_s: float) -> None:
    """Raises:
    Overloaded: it would take so many seconds too long.
    """
    if excess_s > 0:
        raise Overloaded(
            "More images are waiting to be decoded than this server can decode in time.",
            retry_after=excess_s,
        )
