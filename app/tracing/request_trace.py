"""What the service tells of its work as it does it, and the objects that pass it on to nobody.

Those are in use unless requests are traced (:mod:`app.tracing.switch`). Nothing here needs OpenTelemetry.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Final

Value = str | int | float | bool
"""Of an attribute."""


class RequestTrace:
    """The trace of one request; this one is of a request that is not traced.

    Attributes:
        trace_id: 32 hexadecimal digits, for the log; None where requests are not traced.
        header: names the request's span to other processes, in the form of a ``traceparent`` header; None
            where the trace is not recorded.
        exemplar: labels of an exemplar, for the metrics; None where the trace is not recorded.
    """

    trace_id: str | None = None
    header: str | None = None
    exemplar: dict[str, str] | None = None

    def step(
        self,
        name: str,
        began: float,
        ended: float,
        *,
        error: str | None = None,
        link: str | None = None,
        **attributes: Value,
    ) -> None:
        """Tells of a part of the work, once it is over.

        Args:
            name: of the part.
            began: on the clock of ``time.monotonic()``.
            ended: on the same clock.
            error: slug of the problem that ended it; None where it went well.
            link: the span that it belongs to beside the request's, as a :attr:`header`.
            attributes: further facts.
        """

    def end(self, name: str, status: int, error: str | None, attributes: Mapping[str, Value]) -> None:
        """Tells of the request as a whole, once it is answered.

        Args:
            name: method and route.
            status: of the answer; 0 where there was none.
            error: slug of the problem that it was answered with; None for none.
            attributes: further facts.
        """


class Tracing:
    """What a process tells of all its work; this one tells of nothing.

    Attributes:
        on: whether requests are traced.
    """

    on: bool = False

    def request(self, headers: Mapping[str, str], method: str, path: str) -> RequestTrace:
        """The trace of a request that begins now; it goes on that of the caller, if the headers name one."""
        return NOT_TRACED

    def batch(
        self, requests: Sequence[str], began: float, ended: float, attributes: Mapping[str, Value]
    ) -> str | None:
        """Tells of a batch that was on the device.

        Args:
            requests: :attr:`RequestTrace.header` of those in it that are recorded.
            began: on the clock of ``time.monotonic()``.
            ended: on the same clock.
            attributes: further facts.

        Returns:
            The name of its span, in the same form; None where it is not recorded.
        """
        return None

    def close(self) -> None:
        """Sends what was told and is not sent yet, within a limit of time."""


NOT_TRACED: Final = RequestTrace()
NO_TRACING: Final = Tracing()

current_trace: Final = ContextVar("trace", default=NOT_TRACED)
"""The trace of the request that is being processed."""


def trace_id_of(header: str | None) -> str | None:
    """The trace's id in a :attr:`RequestTrace.header`."""
    return None if header is None else header.split("-")[1]
