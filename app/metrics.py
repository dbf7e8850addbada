"""Every metric of the service.

With one HTTP process they live in its memory. With several, prometheus_client keeps them in files of the
folder PROMETHEUS_MULTIPROC_DIR, which the supervisor sets, and any of the processes answers for all.
"""

import os
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_IMAGES: Final = (1, 2, 4, 8, 16, 32, 64, 128)
_PIXELS: Final = tuple(4.0**exponent for exponent in range(5, 13))  # a thousand to sixteen million

# When a series was made is of no use to anybody here, and doubles the text.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one HTTP process; what the workers do is counted as their answers come in."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "iqa_requests", "Answered requests; slug is empty for a success.", ("route", "status", "slug"),
            registry=registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "iqa_request_seconds", "From the first byte of a request to the last of its answer.", ("route",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.decode_seconds = Histogram(
            "iqa_decode_seconds",
            "Decoding and scaling of a request's images.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "iqa_queue_seconds", "Waiting of a request, for decoding and for the device.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.inference_seconds = Histogram(
            "iqa_inference_seconds", "Time of a batch on the device.", buckets=_SECONDS, registry=registry
        )
        self.batch_images = Histogram(
            "iqa_batch_images", "Requests in a batch.", buckets=_IMAGES, registry=registry
        )
        self.batch_pixels = Histogram(
            "iqa_batch_pixels", "Pixels in a batch, over all models.", buckets=_PIXELS, registry=registry
        )
        self.resent = Counter("iqa_resent", "Jobs sent again because their worker died.", registry=registry)
        self.queued_pixels = Gauge(
            "iqa_queued_pixels", "Pixels accepted and not yet answered.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.pixels_per_second = Gauge(
            "iqa_pixels_per_second",
            "Measured rate of all workers.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.worker_restarts = Gauge(
            "iqa_worker_restarts", "How often a worker was restarted.", ("worker",), registry=registry,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.ready = Gauge(
            "iqa_ready", "1 where /readyz answers 200.", registry=registry, multiprocess_mode="livemin"
        )

    def render(self) -> bytes:
        """The text that Prometheus reads, of all HTTP processes."""
        if MULTIPROCESS_DIR not in os.environ:
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)
