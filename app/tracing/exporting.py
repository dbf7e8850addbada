"""Traces that are sent to a collector, through the SDK of OpenTelemetry.

Spans are told of when they are over, as finished records, which costs a third of spans that are begun and
ended: HTTP may have to compete with inference for two cores. A thread of the SDK's encodes and sends them
from a bounded queue; what does not fit is dropped, so no request ever waits for a collector.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import uuid4

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from app.tracing.request_trace import RequestTrace, Tracing, Value
from app.version import version

_log = logging.getLogger("iqa.tracing")

_FLUSH_S: Final = 2.0
"""A process that ends waits so long for the collector; less than the supervisor's patience."""
_SELDOM_S: Final = 60.0
_MOST_MESSAGES: Final = 64
_MOST_LINKS: Final = 128  # OpenTelemetry's own limit
_LONGEST_VALUE: Final = 200
_FAULT: Final = 500
_SCOPE: Final = InstrumentationScope("iqa-service", version())
_UNSET: Final = Status(StatusCode.UNSET)


class ExportedTracing(Tracing):
    """What a process tells a collector.

    Args:
        process: attributes of the process.

    Raises:
        Exception: a variable of OpenTelemetry has a value that its SDK does not take.
    """

    on = True

    def __init__(self, process: Mapping[str, str]) -> None:
        _speak_seldom(logging.getLogger("opentelemetry"))
        own: dict[str, Value] = {
            "service.name": "iqa-service",
            "service.version": version(),
            "service.instance.id": str(uuid4()),
            "process.pid": os.getpid(),
            **process,
        }
        # What the environment says comes last, so that it counts.
        self._resource = Resource(own).merge(OTELResourceDetector().detect())
        # Its sampler is the one that the environment names. No span is begun through it.
        provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        self._sampler, self._ids = provider.sampler, provider.id_generator
        self._processor = BatchSpanProcessor(OTLPSpanExporter())

    def request(self, headers: Mapping[str, str], method: str, path: str) -> RequestTrace:
        context = propagate.extract(headers)
        parent = trace.get_current_span(context).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else self._ids.generate_trace_id()
        attributes = {"http.request.method": method, "url.path": path[:_LONGEST_VALUE]}
        decision = self._sampler.should_sample(context, trace_id, method, SpanKind.SERVER, attributes)
        sampled = decision.decision is Decision.RECORD_AND_SAMPLE
        own = self._context(trace_id, sampled=sampled, state=decision.trace_state)
        if not sampled:
            return _Unrecorded(own)
        described = {**attributes, **(decision.attributes or {})}
        return _Recorded(self, own, parent if parent.is_valid else None, described)

    def batch(
        self, requests: Sequence[str], began: float, ended: float, attributes: Mapping[str, Value]
    ) -> str | None:
        if not requests:
            return None
        links = [_named(header) for header in dict.fromkeys(requests)][:_MOST_LINKS]
        # A trace of its own, recorded as soon as one of its requests is.
        own = self._context(self._ids.generate_trace_id(), sampled=True)
        self.tell("batch", own, None, began, ended, _clock_offset_ns(), attributes, links=links)
        return _header(own)

    def tell(
        self,
        name: str,
        own: SpanContext,
        parent: SpanContext | None,
        began: float,
        ended: float,
        offset_ns: int,
        attributes: Mapping[str, Value],
        *,
        links: Sequence[SpanContext] = (),
        kind: SpanKind = SpanKind.INTERNAL,
        failed: bool = False,
    ) -> None:
        """Hands on a span that is over; `offset_ns` leads from the monotonic clock to the time of day."""
        span = ReadableSpan(
            name,
            own,
            parent,
            self._resource,
            attributes,
            links=[Link(each) for each in links],
            kind=kind,
            status=Status(StatusCode.ERROR) if failed else _UNSET,
            start_time=int(began * 1e9) + offset_ns,
            end_time=int(ended * 1e9) + offset_ns,
            instrumentation_scope=_SCOPE,
        )
        self._processor.on_end(span)

    def child_of(self, parent: SpanContext) -> SpanContext:
        """A new span of the same trace."""
        return self._context(parent.trace_id, sampled=True, state=parent.trace_state)

    def close(self) -> None:
        # It has a limit of its own, which is longer than a process that ends may take.
        ending = threading.Thread(target=self._processor.shutdown, name="flush", daemon=True)
        ending.start()
        ending.join(_FLUSH_S)
        if ending.is_alive():
            _log.warning("the collector of traces took longer than %g s; the last spans are lost", _FLUSH_S)

    def _context(self, trace_id: int, *, sampled: bool, state: TraceState | None = None) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(trace_id, self._ids.generate_span_id(), False, flags, state)


class _Unrecorded(RequestTrace):
    """A request whose trace is not recorded, by its caller's wish or the sampler's; the log names it."""

    def __init__(self, own: SpanContext) -> None:
        self.trace_id = trace.format_trace_id(own.trace_id)


class _Recorded(RequestTrace):
    """A request whose spans are sent."""

    def __init__(
        self,
        tracing: ExportedTracing,
        own: SpanContext,
        parent: SpanContext | None,
        attributes: dict[str, Value],
    ) -> None:
        self._tracing = tracing
        self._own = own
        self._parent = parent
        self._attributes = attributes
        self._offset_ns = _clock_offset_ns()
        self._began = time.monotonic()
        self.header = _header(own)
        self.trace_id = trace.format_trace_id(own.trace_id)
        self.exemplar = {"trace_id": self.trace_id, "span_id": trace.format_span_id(own.span_id)}

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
        described = {f"iqa.{key}": value for key, value in attributes.items()}
        if error is not None:
            described["error.type"] = error
        own, links = self._tracing.child_of(self._own), () if link is None else (_named(link),)
        self._tracing.tell(
            name,
            own,
            self._own,
            began,
            ended,
            self._offset_ns,
            described,
            links=links,
            failed=error is not None,
        )

    def end(self, name: str, status: int, error: str | None, attributes: Mapping[str, Value]) -> None:
        described = dict(self._attributes) | {
            key: value[:_LONGEST_VALUE] if isinstance(value, str) else value
            for key, value in attributes.items()
        }
        if status:
            described["http.response.status_code"] = status
        if error is not None:
            described["error.type"] = error
        self._tracing.tell(
            name,
            self._own,
            self._parent,
            self._began,
            time.monotonic(),
            self._offset_ns,
            described,
            kind=SpanKind.SERVER,
            failed=status >= _FAULT,
        )


class _Seldom(logging.Handler):
    """Passes on a message of the SDK's once a minute: a collector that is away is met every few seconds."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now, kind = time.monotonic(), str(record.msg)
        if now - self._said.get(kind, -_SELDOM_S) < _SELDOM_S:
            return
        if len(self._said) >= _MOST_MESSAGES:
            self._said.clear()
        self._said[kind] = now
        error = record.exc_info[1] if record.exc_info else None
        _log.warning("OpenTelemetry: %s%s", record.getMessage(), f" ({error})" if error else "")


def _speak_seldom(logger: logging.Logger) -> None:
    logger.propagate = False
    logger.handlers = [_Seldom()]


def _clock_offset_ns() -> int:
    return time.time_ns() - time.monotonic_ns()


def _header(context: SpanContext) -> str:
    """In the form of https://www.w3.org/TR/trace-context/#traceparent-header; it is recorded."""
    return f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}-01"


def _named(header: str) -> SpanContext:
    """The span of a header of ours, in another process."""
    _, trace_id, span_id, flags = header.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
