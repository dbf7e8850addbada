"""Which variables turn traces on, and what is said where they cannot be had."""

import importlib.util
import logging

import pytest

from app.tracing import switch
from app.tracing.request_trace import NO_TRACING, NOT_TRACED, RequestTrace, Tracing, trace_id_of
from app.tracing.switch import begin, endpoint, hindrance

pytestmark = pytest.mark.pure

_GENERAL = "OTEL_EXPORTER_OTLP_ENDPOINT"
_OF_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_HERE = {_GENERAL: "http://localhost:4318"}


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, None),
        ({_GENERAL: " "}, None),
        (_HERE, _GENERAL),
        ({_OF_TRACES: "http://localhost/t"}, _OF_TRACES),
        ({**_HERE, "OTEL_SDK_DISABLED": "TRUE"}, None),
        ({**_HERE, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({**_HERE, "OTEL_TRACES_EXPORTER": "otlp"}, _GENERAL),
    ],
)
def test_an_endpoint_turns_it_on(environment: dict[str, str], named: str | None) -> None:
    assert endpoint(environment) == named
    assert hindrance(environment) is None


def test_a_missing_package_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert hindrance({}) is None
    said = hindrance(_HERE)
    assert said is not None
    assert said.startswith(
        f"{_GENERAL} is set, but requests are not traced: the extra `otel` is not installed."
    )
    assert "pip install 'iqa-service[otel]'" in said
    monkeypatch.setenv(_GENERAL, "http://localhost:4318")
    with caplog.at_level(logging.DEBUG):
        assert begin() is NO_TRACING
    assert caplog.messages == []  # the supervisor has said it


def test_another_protocol_is_said_in_a_sentence() -> None:
    said = hindrance({**_HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert said is not None
    assert said.startswith("OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but requests are not traced")
    of_traces = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert hindrance({**_HERE, **of_traces}) is None


def test_a_variable_that_cannot_be_read_turns_it_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(_GENERAL, "http://localhost:4318")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    assert switch.begin() is NO_TRACING
    (said,) = (message for message in caplog.messages if "are not traced" in message)
    assert "max_queue_size" in said


def test_nothing_is_told_where_it_is_off() -> None:
    tracing = Tracing()
    request = tracing.request({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "GET", "/")
    assert request is NOT_TRACED
    request.step("decode", 0.0, 1.0)
    request.end("GET /", 200, None, {})
    assert (request.trace_id, request.header, request.exemplar) == (None, None, None)
    assert tracing.batch(["00-a-b-01"], 0.0, 1.0, {}) is None
    tracing.close()
    assert trace_id_of(RequestTrace.header) is None
    assert trace_id_of("00-abc-def-01") == "abc"
