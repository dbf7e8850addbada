"""Every metric of the service.

With one HTTP process they live in its memory. With several, prometheus_client keeps them in the files of
:mod:`app.processes.metric_files`, and any of the processes answers for all.
"""

import os
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from app.errors import PROBLEMS
from app.policies import OUTCOMES
from app.processes.metric_files import FOLDER_VARIABLE, PLACE_VARIABLE
from app.version import version

if TYPE_CHECKING:  # the supervisor, which needs only a name from here, is not to load what those stand on
    from app.inference.protocol import Done, State

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_IMAGES: Final = (1, 2, 4, 8, 16, 32, 64, 128)
_SCORES: Final = tuple(part / 20 for part in range(1, 21))
_PIXELS: Final = tuple(4.0**exponent for exponent in range(5, 13))  # a thousand to sixteen million

_OverProcesses = Literal["livesum", "livemax", "livemin", "livemostrecent"]
"""How a gauge's values in several HTTP processes become one."""

_REJECTIONS: Final = frozenset({429, 503, 504})

# When a series was made is of no use to anybody here, and doubles the text.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one HTTP process, which add up over all of them.

    What the workers do is counted as their answers come in, each batch by one of the HTTP processes. What
    they say of their state is heard by all; the newest word counts, whichever process heard it.

    Args:
        policies: names of those that verdicts are counted of.
    """

    def __init__(self, policies: Iterable[str] = ()) -> None:
        if FOLDER_VARIABLE in os.environ:
            place = os.environ[PLACE_VARIABLE]
            values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._told: dict[tuple[Gauge, str], set[tuple[str, ...]]] = {}
        self._declare_requests()
        self._declare_inference()
        self._declare_held()
        self._declare_state()
        self._begin(policies)

    def _declare_requests(self) -> None:
        self.requests = self._counter(
            "iqa_requests", "Answered requests; slug is empty for a success.", "route", "status", "slug"
        )
        self.request_seconds = self._histogram(
            "iqa_request_seconds",
            "From the first byte of a request to the last of its answer.",
            _SECONDS,
            "route",
        )
        self.verdicts = self._counter(
            "iqa_verdicts",
            "Verdicts of a policy: pass, review or fail; those on remembered answers too.",
            "policy", "outcome",
        )  # fmt: skip
        self.rejected = self._counter(
            "iqa_rejected",
            "Requests, and files of a batch, that were turned away or dropped for want of capacity or time.",
            "slug",
        )
        self.faults = self._counter(
            "iqa_faults", "Requests, and files of a batch, that failed by a fault of the server.", "slug"
        )
        self.batch_files = self._counter(
            "iqa_batch_files", "Files of POST /score/batch that were answered: scored or failed.", "outcome"
        )
        self.unauthorized = self._counter("iqa_unauthorized", "Requests without a key or with a wrong one.")
        self.refused_connections = self._counter(
            "iqa_refused_connections",
            "Connections closed for a limit: large-head, heads, slow-head, slow-body, stalled-reader, "
            "too-many.",
            "reason",
        )

    def _declare_inference(self) -> None:
        self.decode_seconds = self._histogram(
            "iqa_decode_seconds", "Decoding and scaling of a request's images.", _SECONDS
        )
        self.queue_seconds = self._histogram(
            "iqa_queue_seconds", "Waiting of a request, for decoding and for the device.", _SECONDS
        )
        self.inference_seconds = self._histogram(
            "iqa_inference_seconds", "Time of a batch on the device.", _SECONDS
        )
        self.batch_images = self._histogram("iqa_batch_images", "Requests in a batch.", _IMAGES)
        self.batch_pixels = self._histogram(
            "iqa_batch_pixels", "Pixels in a batch, over all models.", _PIXELS
        )
        self.useful_pixels = self._counter(
            "iqa_useful_pixels", "Pixels of images that went through a network."
        )
        self.padded_pixels = self._counter(
            "iqa_padded_pixels", "Pixels that went through a network, padding included."
        )
        self.score = self._histogram(
            "iqa_score",
            "Scores that were computed, by the model that gave them; not those remembered.",
            _SCORES,
            "model",
        )
        self.resent = self._counter("iqa_resent", "Jobs sent again because their worker died.")
        self.decoder_restarts = self._counter(
            "iqa_decoder_restarts", "Processes that decode images and were replaced."
        )
        self.cache = self._counter(
            "iqa_cache_requests",
            "Answers that were remembered (hit), computed (miss), or in work (joined).",
            "outcome",
        )

    def _declare_held(self) -> None:
        """What is held and waits."""
        self.queued_pixels = self._gauge(
            "iqa_queued_pixels", "Pixels accepted and not yet answered.", "livesum"
        )
        self.queued_seconds = self._gauge(
            "iqa_queued_seconds",
            "How long a new request waits for the decoders or the device, whichever takes longer; of several "
            "HTTP processes the longest.",
            "livemax",
        )
        self.work_bytes = self._gauge(
            "iqa_work_bytes",
            "Bytes that accepted work holds: files, images being decoded, references, pixels that wait.",
            "livesum",
        )
        self.cache_bytes = self._gauge("iqa_cache_bytes", "Bytes of what is remembered.", "livesum", "cache")
        self.intake_bytes = self._gauge(
            "iqa_intake_bytes", "Bytes of files that are held and not decoded yet.", "livesum"
        )

    def _declare_state(self) -> None:
        self.pixels_per_second = self._heard(
            "iqa_pixels_per_second", "Measured rate of all workers, for images of a million pixels."
        )
        self.worker_restarts = self._of_worker("iqa_worker_restarts", "How often the worker was restarted.")
        self.waiting = self._of_worker("iqa_waiting_requests", "Requests in the worker's line.")
        self.budget_pixels = self._of_worker(
            "iqa_budget_pixels", "Most pixels of a batch of several requests; lower after memory ran out."
        )
        self.memory_bytes = self._of_worker(
            "iqa_device_memory_bytes", "Device memory in use; of the process, where the device is the CPU."
        )
        self.canary_deviation = self._heard(
            "iqa_canary_deviation_ratio",
            "How far off the canary image's score is, as a part of what the precision allows; beyond 1 the "
            "worker ends.",
            "worker", "model",
        )  # fmt: skip
        self.canary_time = self._of_worker(
            "iqa_canary_timestamp_seconds", "When the canary image last got its known score, in Unix time."
        )
        self.worker_info = self._heard(
            "iqa_worker_info", "1 for the device and precision that the worker has.",
            "worker", "device", "dtype",
        )  # fmt: skip
        self.weights_info = self._heard(
            "iqa_weights_info", "1 for the weights that the worker has loaded; 0 for those it had before.",
            "worker", "model", "weights", "sha256",
        )  # fmt: skip
        self.build_info = self._heard("iqa_build_info", "1 for the version that runs.", "version")
        self.start_time = self._gauge(
            "iqa_start_time_seconds",
            "When the HTTP process started, in Unix time; of several, the newest.",
            "livemax",
        )
        self.key_faults = self._gauge(
            "iqa_key_faults",
            "Faults of the lists of API keys: lines that are not in force, or a list without any key.",
            "livemax",
        )
        self.ready = self._gauge("iqa_ready", "1 where /readyz answers 200.", "livemin")

    def _begin(self, policies: Iterable[str]) -> None:
        """Shows the counts that are watched before there is anything to count.

        A rate needs two values of a series; of one that begins with its first event, that event is missed.
        """
        self.start_time.set_to_current_time()
        self.build_info.labels(version()).set(1)
        for problem in PROBLEMS.values():
            if counter := self._counter_of(problem.status):
                counter.labels(problem.slug)
        for outcome in ("hit", "miss", "joined"):
            self.cache.labels(outcome)
        for reason in ("large-head", "slow-head", "slow-body", "stalled-reader", "too-many"):
            self.refused_connections.labels(reason)
        for outcome in ("scored", "failed"):
            self.batch_files.labels(outcome)
        for policy in policies:
            for outcome in OUTCOMES:
                self.verdicts.labels(policy, outcome)

    def observe_problem(self, status: int, slug: str | None) -> None:
        """A request, or a file of a batch, that was answered with this status; None for no problem."""
        if slug is not None and (counter := self._counter_of(status)):
            counter.labels(slug).inc()

    def _counter_of(self, status: int) -> Counter | None:
        if status in _REJECTIONS:
            return self.rejected
        return self.faults if status == 500 else None

    def observe_worker(self, number: int, state: "State") -> None:
        """What a worker said of itself."""
        worker = str(number)
        self.worker_restarts.labels(worker).set(state.restarts)
        self.waiting.labels(worker).set(state.waiting)
        self.budget_pixels.labels(worker).set(state.budget_pixels)
        self.memory_bytes.labels(worker).set(state.memory_bytes)
        if not state.warm:
            return
        for model, deviation in state.canary.items():
            self.canary_deviation.labels(worker, model).set(deviation)
        # Workers and HTTP processes share the monotonic clock, Prometheus uses the time of day.
        self.canary_time.labels(worker).set(time.time() - (time.monotonic() - state.canary_at))
        self._tell(self.worker_info, worker, {(state.device, state.dtype)})
        self._tell(
            self.weights_info, worker, {(card.name, card.weights, card.sha256) for card in state.cards}
        )
        for card in state.cards:
            self.score.labels(card.name)

    def _tell(self, gauge: Gauge, worker: str, facts: set[tuple[str, ...]]) -> None:
        """Sets the series of what holds for a worker to 1, and of what held before to 0.

        The files of several processes can forget no series.
        """
        told = self._told.setdefault((gauge, worker), set())
        for fact in told - facts:
            gauge.labels(worker, *fact).set(0)
        for fact in facts:
            gauge.labels(worker, *fact).set(1)
        told |= facts

    def observe_batch(self, done: "Done") -> None:
        """A batch that a worker has done, told of by one of its answers."""
        self.inference_seconds.observe(done.inference_s)
        self.batch_images.observe(done.batch_images)
        self.batch_pixels.observe(done.batch_pixels)
        self.useful_pixels.inc(done.useful_pixels)
        self.padded_pixels.inc(done.padded_pixels)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, text: str, over_processes: _OverProcesses, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode=over_processes)

    def _heard(self, name: str, text: str, *labels: str) -> Gauge:
        return self._gauge(name, text, "livemostrecent", *labels)

    def _of_worker(self, name: str, text: str) -> Gauge:
        return self._heard(name, text, "worker")

    def render(self) -> bytes:
        """The text that Prometheus reads, of all HTTP processes; without exemplars."""
        return generate_latest(self._everything())

    def render_as(self, accepted: str) -> tuple[bytes, str]:
        """The same in the form that an ``Accept`` header prefers, and its media type.

        OpenMetrics has exemplars. prometheus_client keeps none where there are several HTTP processes.
        """
        encode, media_type = choose_encoder(accepted)
        return encode(self._everything()), media_type

    def _everything(self) -> CollectorRegistry:
        if FOLDER_VARIABLE not in os.environ:
            return self._registry
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return everyone
