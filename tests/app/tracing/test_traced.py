"""Requests that are followed from their caller to the device, at a collector on loopback."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.app.fetching.site import answer, standing_site
from tests.app.running import Server, eventually, running
from tests.app.tracing.collector import Collector, ReceivedSpan, collecting

pytestmark = pytest.mark.process

_TRACE, _CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_SERVER_KIND = 2  # of SpanKind in OTLP
_Traced = tuple[Server, httpx.Client, Collector]


def _traceparent(trace: str, *, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{_CALLER}-{sampled:02}"}


@pytest.fixture(scope="module")
def traced(weights_environment: dict[str, str]) -> Iterator[_Traced]:
    with collecting() as collector:
        environment = {
            **weights_environment,
            **collector.environment,
            "OTEL_SERVICE_NAME": "photos",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-token=abc",
            "IQA_LOG_LEVEL": "debug",
            "IQA_CACHE_BYTES": "1000000",
            "IQA_FETCH_HOSTS": "127.0.0.1",
        }
        with running(environment) as (server, client):
            yield server, client, collector


def _complete(collector: Collector, trace: str) -> bool:
    return any(span.kind == _SERVER_KIND for span in list(collector.spans) if span.trace == trace)


def test_a_request_is_followed_to_the_device(traced: _Traced, photo: bytes) -> None:
    server, client, collector = traced
    response = client.post("/score?models=bpclip", content=photo, headers=_traceparent(_TRACE))
    assert response.status_code == 200
    eventually(lambda: _complete(collector, _TRACE) and _batches_of(collector, _TRACE))
    spans = collector.of_trace(_TRACE)
    whole = spans.pop("POST /score")
    assert (whole.parent, whole.kind, whole.failed) == (_CALLER, _SERVER_KIND, False)
    assert whole.attributes["http.response.status_code"] == 200
    assert whole.attributes["iqa.request_id"] == response.headers["x-request-id"]
    assert whole.attributes["iqa.cache"] == "miss"
    assert (
        whole.resource.items()
        >= {
            "service.name": "photos",
            "deployment.environment.name": "test",
            "iqa.process": "http",
        }.items()
    )
    assert {"receive", "decode", "queue", "inference"} == set(spans)
    assert {span.parent for span in spans.values()} == {whole.id}
    for span in spans.values():
        assert whole.began <= span.began <= span.ended <= whole.ended, span
    assert spans["receive"].ended <= spans["decode"].began
    assert spans["decode"].ended <= spans["inference"].began
    # Milliseconds of the answer, and of the trace, about the same thing.
    told = response.json()["timing_ms"]["inference"]
    assert (spans["inference"].ended - spans["inference"].began) / 1e6 == pytest.approx(told, abs=0.1)
    (batch,) = _batches_of(collector, _TRACE)
    assert batch.links == ((_TRACE, whole.id),)
    assert spans["inference"].links == ((batch.trace, batch.id),)
    assert batch.resource["iqa.process"] == "worker"
    assert (batch.attributes["iqa.requests"], batch.attributes["iqa.failed"]) == (1, 0)
    assert collector.headers[0].items() >= {"path": "/v1/traces", "x-token": "abc"}.items()
    of_request = [entry for entry in server.entries() if entry.get("id") == response.headers["x-request-id"]]
    assert of_request
    assert {entry["trace_id"] for entry in of_request} == {_TRACE}


def _batches_of(collector: Collector, trace: str) -> list[ReceivedSpan]:
    linked = (span for span in list(collector.spans) if span.name == "batch")
    return [span for span in linked if any(link[0] == trace for link in span.links)]


def test_a_failure_says_which_step_and_why(traced: _Traced, photo: bytes) -> None:
    _, client, collector = traced
    trace = "b" * 32
    assert client.post("/score", content=photo[:4000], headers=_traceparent(trace)).status_code == 422
    eventually(lambda: _complete(collector, trace))
    spans = collector.of_trace(trace)
    assert spans["decode"].failed
    assert spans["decode"].attributes["error.type"] == "invalid-image"
    # By OpenTelemetry's conventions a client's fault is no failure of the server.
    assert not spans["POST /score"].failed
    assert spans["POST /score"].attributes["error.type"] == "invalid-image"


def test_an_image_is_fetched_for_its_request(traced: _Traced, photo: bytes) -> None:
    _, client, collector = traced
    there, missing = "6" * 32, "7" * 32
    with standing_site() as site:
        site.pages["/a.jpg"] = answer(photo)
        for trace, path, status in ((there, "/a.jpg", 200), (missing, "/b.jpg", 502)):
            asked = {"url": site.url(path)}
            assert client.post("/score", json=asked, headers=_traceparent(trace)).status_code == status
    eventually(lambda: _complete(collector, there) and _complete(collector, missing))
    spans, failed = collector.of_trace(there), collector.of_trace(missing)
    assert spans["receive"].ended <= spans["fetch"].began
    assert spans["fetch"].attributes["iqa.bytes"] == len(photo)
    assert (failed["fetch"].failed, failed["fetch"].attributes["error.type"]) == (True, "fetch-failed")


def test_a_pair_and_files_of_a_batch_are_parts_of_their_request(traced: _Traced, photo: bytes) -> None:
    _, client, collector = traced
    pair, many = "c" * 32, "d" * 32
    other = photo[:-2] + b"\xff\xd9"
    files = {"reference": photo, "distorted": other}
    assert client.post("/compare", files=files, headers=_traceparent(pair)).status_code == 200
    batch = [("images", photo), ("images", other + b"\0")]
    assert client.post("/score/batch", files=batch, headers=_traceparent(many)).status_code == 200
    eventually(lambda: _complete(collector, pair) and _complete(collector, many))
    names = [span.name for span in collector.spans if span.trace == pair]
    assert names.count("decode") == 2
    assert names.count("inference") == 1
    assert {"decode", "inference"} <= {span.name for span in collector.spans if span.trace == many}


def test_what_the_caller_does_not_record_is_not_sent(traced: _Traced, photo: bytes) -> None:
    server, client, collector = traced
    unwanted, wanted = "e" * 32, "f" * 32
    response = client.post("/score", content=photo + b"1", headers=_traceparent(unwanted, sampled=False))
    # A header that is none begins a trace of its own, and probes have none.
    client.get("/models", headers={"traceparent": "00-nonsense"})
    client.get("/readyz", headers=_traceparent("a" * 32))
    client.get("/models", headers=_traceparent(wanted))
    eventually(lambda: _complete(collector, wanted))
    assert not [span for span in collector.spans if span.trace in (unwanted, "a" * 32)]
    assert not _batches_of(collector, unwanted)
    own = [span for span in collector.spans if span.name == "GET /models" and span.trace != wanted]
    assert [span.parent for span in own] == [""]
    logged = [entry for entry in server.entries() if entry.get("id") == response.headers["x-request-id"]]
    assert {entry["trace_id"] for entry in logged} == {unwanted}


def test_metrics_name_traces_as_exemplars(traced: _Traced, photo: bytes) -> None:
    _, client, _ = traced
    trace = "1" * 32
    client.post("/score", content=photo + b"2", headers=_traceparent(trace))
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    for name in ("iqa_request_seconds", "iqa_decode_seconds", "iqa_queue_seconds"):
        named = [sample.exemplar.labels for sample in families[name].samples if sample.exemplar]
        assert trace in {labels["trace_id"] for labels in named}, name
    assert "# {" not in client.get("/metrics", headers={"accept": "text/plain"}).text


def test_what_was_told_is_sent_at_the_end(weights_environment: dict[str, str], photo: bytes) -> None:
    with collecting() as collector:
        environment = {**weights_environment, **collector.environment, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        server = Server(environment)
        try:
            url = server.wait_ready()
            headers = _traceparent(_TRACE)
            assert httpx.post(f"{url}/score", content=photo, headers=headers, timeout=60).status_code == 200
            assert collector.spans == []
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
        finally:
            server.close()
        assert _complete(collector, _TRACE)
        assert _batches_of(collector, _TRACE)


def test_a_collector_that_hangs_holds_up_no_request_and_no_end(
    weights_environment: dict[str, str], photo: bytes
) -> None:
    with collecting() as collector:
        collector.stalls = True
        bounds = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
        server = Server({**weights_environment, **collector.environment, **bounds})
        try:
            with httpx.Client(base_url=server.wait_ready(), timeout=60) as client:
                for _ in range(8):
                    assert client.post("/score", content=photo).status_code == 200
            eventually(lambda: collector.headers)
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
            assert time.monotonic() - began < 12.0  # the flush of the HTTP process, then that of the worker
        finally:
            server.close()
        said = [entry["message"] for entry in server.entries()]
    assert any("Queue full" in message for message in said)
    assert any("the last spans are lost" in message for message in said)


_IMPORTED = """
import json, sys
from pathlib import Path
from app.inference.endpoint import Endpoint
from app.inference.worker import __main__ as worker, executor, loop
before = set(sys.modules)
from app.tracing import switch
from app.tracing.request_trace import NO_TRACING
assert switch.begin() is NO_TRACING
import app.server
print(json.dumps({"before": sorted(before), "after": sorted(sys.modules)}))
"""


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _IMPORTED],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    loaded = json.loads(found.stdout)
    assert not [name for name in loaded["before"] if name.startswith("opentelemetry")], "in the worker"
    # The API alone is loaded by FastAPI itself, since 0.165.
    parts = ("opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "app.tracing.exporting")
    assert not [name for name in loaded["after"] if name.startswith(parts)]
