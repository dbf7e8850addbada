"""An image on its way through the decoders: what is asked of it, by whom, and what came of it."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Literal

from app.imaging.decode import Header
from app.imaging.sandbox.line import Turn
from app.imaging.sandbox.process import Decoded, Request

WorkKind = Literal["score", "keep", "compare"]


@dataclass(frozen=True)
class Asker:
    """Who asks for an image to be decoded.

    Attributes:
        caller: the client, as far as shares are concerned; None for one that has no share of its own.
        bulk: whether the image is part of a batch, which can wait.
    """

    caller: str | None = None
    bulk: bool = False


@dataclass(frozen=True)
class Timed:
    """What came of an image, the seconds that it took, and those that it waited for a free process."""

    result: Decoded
    seconds: float
    waited_s: float


@dataclass(eq=False)
class Work:
    """An image that waits or is decoded.

    Attributes:
        request: what is wanted of it.
        deadline: on the clock of ``time.monotonic()``, by which it must have begun.
        on_header: told the header, once.
        asker: who asks.
        asked: when.
        answer: what came of it.
        abandoned: whether no request waits for it any more.
        header: once it is known.
        turn: its place in line.
        expected: seconds for which a large image is expected to wait from a moment on, and that moment.
        working_bytes: taken for it while it is decoded.
        context: of the request, for the log.
    """

    request: Request
    deadline: float
    on_header: Callable[[Header], None]
    asker: Asker
    asked: float = field(default_factory=time.monotonic)
    answer: "Future[Timed]" = field(default_factory=Future)
    abandoned: bool = False
    header: Header | None = None
    turn: "Turn[Work] | None" = None
    expected: tuple[float, float] | None = None
    working_bytes: int = 0
    context: Context = field(default_factory=copy_context)

    @property
    def kind(self) -> WorkKind:
        if self.request.against is not None:
            return "compare"
        return "keep" if self.request.keep else "score"
