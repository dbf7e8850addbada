"""The way of a request through an HTTP process: header, admission, decoding, workers, result."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from app.errors import Draining, PoisonInput, Starting, WorkerUnavailable
from app.imaging import heatmap
from app.imaging.decode import Header
from app.imaging.limits import Limits
from app.imaging.sandbox.pool import Decoders, Timed
from app.inference.pending import RESTART_S
from app.inference.pool import Pool
from app.inference.protocol import Done, State
from app.inference.tasks import ModelResult, ScoreResult, Task, scores_of
from app.metrics import Metrics
from app.policies import Policy, usable
from app.scoring import requests
from app.scoring.admission import Admission, Room
from app.scoring.cache import Cache, CachedOutcome
from app.scoring.decoded_references import Reference
from app.scoring.requests import Prepared, PreparedPair, Question
from app.scoring.uploads import Intake, Upload
from app.settings import Settings
from models.registry import FULL_REFERENCE

_PATIENCE: Final = 0.5
"""Longest queue, as a part of the time in which work must start: rates change, and workers restart."""
_GAUGE_S: Final = 1.0
_NARROWEST_WINDOW: Final = 4
"""Images of one request that are worked on at a time, at least: while one is scored the next are decoded."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds: decoding and scaling, waiting for a decoder and for the device, and on the device."""

    decode: float
    queue: float
    inference: float


@dataclass(frozen=True)
class ScoredUpload:
    """An image, the workers' results for it, and the time that they took."""

    prepared: Prepared
    done: Done
    timing: Timing


@dataclass(frozen=True)
class Rendered:
    """An answer as it is remembered.

    Attributes:
        body: JSON object, without the timing of the request; or a picture.
        width: of the image (the reference), in pixels.
        height: of the image (the reference), in pixels.
        batch: requests in the batch that it was computed in.
        timing: of the work.
    """

    body: bytes
    width: int
    height: int
    batch: int
    timing: Timing


class Service:
    """Everything that one HTTP process holds. It has no queue of its own: work waits in the workers.

    Args:
        settings: of the process.
        endpoints: the workers' ipc addresses.
        policies: by name; also those that cannot be applied to the models of the settings.
    """

    def __init__(
        self, settings: Settings, endpoints: Sequence[str], policies: Mapping[str, Policy] | None = None
    ) -> None:
        self.settings = settings
        self.policies = dict(policies or {})
        self.draining = False
        self.limits = Limits.of(settings)
        self.metrics = Metrics(usable(self.policies, settings.models))
        self.pool = Pool(endpoints, on_resend=self.metrics.resent.inc, on_batch=self.metrics.observe_batch)
        # Each HTTP process accepts its share, so that all of them together keep to the setting.
        self.admission = Admission(
            settings.queue_pixels // settings.http_processes,
            _PATIENCE * settings.timeout_s,
            lambda: self.pool.pixels_per_s / settings.http_processes,
            self.metrics.queued_pixels.set,
        )
        self.decoders = Decoders(
            settings.decoders(),
            self.limits,
            settings.decode_timeout_s,
            on_restart=self.metrics.decoder_restarts.inc,
        )
        share = settings.http_processes
        self.intake = Intake(settings.intake_bytes // share)
        self.results: Cache[Rendered] = Cache(settings.cache_bytes // share, lambda answer: len(answer.body))
        self.references: Cache[Reference] = Cache(
            settings.reference_cache_bytes // share, lambda reference: reference.nbytes
        )
        self._drawing = ThreadPoolExecutor(1, "draw")

    async def open(self) -> None:
        self.pool.open()
        self.decoders.open()
        self._gauging = asyncio.create_task(self._gauge())

    async def close(self) -> None:
        self._gauging.cancel()
        await self.pool.close()
        await asyncio.to_thread(self.decoders.close)
        self._drawing.shutdown(wait=False, cancel_futures=True)

    def require_ready(self) -> None:
        """Returns where new callers may be sent here.

        Raises:
            Draining, Starting, WorkerUnavailable: why not.
        """
        if self.draining:
            raise Draining(
                "The server is shutting down.", retry_after=self.settings.drain_delay_s + RESTART_S
            )
        if self.pool.ready and self.decoders.able:
            return
        if not self.pool.started:
            raise Starting("The models are still being loaded.", retry_after=RESTART_S)
        what = "An inference process is" if self.decoders.able else "The processes that decode images are"
        raise WorkerUnavailable(f"{what} being restarted.", retry_after=RESTART_S)

    def loaded(self) -> State:
        """What the workers have loaded.

        Raises:
            Starting: nothing yet.
        """
        return self.pool.state()

    async def score(self, upload: Upload, question: Question) -> ScoredUpload:
        """Scores an image file without a reference. Its bytes are released as soon as it is decoded.

        Raises:
            ServiceError: why there is no score.
        """
        async with self._scoring(upload, question) as scored:
            return scored

    async def map(self, upload: Upload, question: Question) -> tuple[ScoredUpload, bytes]:
        """Scores an image file, and draws the local quality that the question asks for over it: a PNG.

        Raises:
            ServiceError: why there is none.
        """
        assert question.quality_map is not None
        async with self._scoring(upload, question) as scored:
            task = next(task for task in scored.prepared.tasks if task.quality_map is not None)
            result = _result_of(scored, question.quality_map)
            assert result.quality_map is not None
            picture = await asyncio.get_running_loop().run_in_executor(
                self._drawing, heatmap.render, task.pixels, result.quality_map
            )
            return scored, picture

    @asynccontextmanager
    async def _scoring(self, upload: Upload, question: Question) -> AsyncIterator[ScoredUpload]:
        """An image that is scored, and that counts as work for as long as the block runs."""
        state = self.loaded()
        most = requests.most_cost(question.models, state)
        with self._admitted(most, question) as room, _named(upload):
            decoded = await self.decoders.decode(
                upload.data,
                requests.wanted(question.models, state),
                question.deadline,
                lambda header: room.settle(requests.cost(header, question.models, state)),
            )
            upload.release()
            question.charge(room.pixels)
            self.metrics.decode_seconds.observe(decoded.seconds)
            prepared = requests.prepared(decoded.result.fitted, question, state)
            done, timing = await self._ask(prepared.tasks, room, question, decoded.seconds, decoded.waited_s)
            yield ScoredUpload(prepared, done, timing)

    async def compare(
        self, reference: Upload, distorted: Upload, resize: bool, question: Question
    ) -> tuple[PreparedPair, Done, Timing]:
        """Holds a distorted image file against its reference; with `resize`, at the reference's size.

        What is known of the reference from an earlier comparison is not worked out again.

        Raises:
            ServiceError: why there is no score; its field ``field`` names the file at fault, if one is.
        """
        state = self.loaded()
        most = 2 * requests.most_cost((FULL_REFERENCE, *question.models), state)
        with self._admitted(most, question) as room, _named(reference, distorted):
            began = time.monotonic()
            known, outcome = await self._reference(reference, room, question, state)
            seconds, waited = known.decode_s, known.waited_s
            if outcome != "miss":  # it waited while another request decoded
                seconds, waited = 0.0, time.monotonic() - began
            reference.release()
            second = await self._decode_distorted(distorted.data, known, resize, room, question, state)
            distorted.release()
            question.charge(room.pixels)
            comparison = second.result.comparison
            assert comparison is not None
            self.metrics.decode_seconds.observe(seconds + second.seconds)
            pair = requests.prepared_pair(
                known.fitted, second.result.fitted, comparison, question, state, reference.sha256
            )
            key = (question.words, requests.weights(question.models, state))
            scored = known.scored(key)
            asked = () if scored is not None else pair.reference.tasks
            tasks: tuple[Task, ...] = (pair.task, *asked, *pair.distorted.tasks)
            done, timing = await self._ask(
                tasks, room, question, seconds + second.seconds, waited + second.waited_s
            )
            compared, *rest = done.results
            if scored is None:
                scored = tuple(rest[: len(asked)])
                known.remember(key, scored)
            results = (compared, *scored, *rest[len(asked) :])
        return pair, replace(done, results=results), timing

    async def _reference(
        self, upload: Upload, room: Room, question: Question, state: State
    ) -> tuple[Reference, CachedOutcome]:
        # For all models at once, whichever are asked: the next question may be about others.
        slots = tuple(card.name for card in state.cards)

        def settle(header: Header) -> None:
            # The distorted image is most likely of the same size.
            room.settle(2 * requests.cost(header, (FULL_REFERENCE, *question.models), state))

        async def decode() -> Reference:
            wanted = requests.wanted(slots, state)
            decoded = await self.decoders.decode(upload.data, wanted, question.deadline, settle, keep=True)
            original = decoded.result.original
            assert original is not None
            return Reference(decoded.result.fitted, original, decoded.seconds, decoded.waited_s)

        key = (upload.sha256, upload.size, requests.inputs(slots, state))
        with requests.blamed_on("reference"):
            return await self.references.get(key, question.deadline, decode)

    async def _decode_distorted(
        self,
        data: bytes,
        reference: Reference,
        resize: bool,
        room: Room,
        question: Question,
        state: State,
    ) -> Timed:
        provenance = reference.fitted.provenance
        compared = 2 * requests.cost(provenance, (FULL_REFERENCE,), state)
        alone = requests.cost(provenance, question.models, state)

        def settle(header: Header) -> None:
            room.settle(compared + alone + requests.cost(header, question.models, state))

        with requests.blamed_on("distorted"):
            return await self.decoders.compare(
                data,
                requests.wanted(question.models, state),
                reference.original,
                requests.wanted((FULL_REFERENCE,), state),
                question.deadline,
                settle,
                resize=resize,
            )

    def batch_window(self) -> int:
        """How many images of one request may be worked on at a time: enough for two batches of the device."""
        usual = self.admission.usual_pixels or 1.0
        per_batch = max((link.state.budget_pixels for link in self.pool.links if link.state), default=0)
        wanted = 2 * len(self.pool.links) * per_batch / usual
        return round(min(max(wanted, _NARROWEST_WINDOW), self.settings.max_files))

    def _admitted(self, most_pixels: int, question: Question) -> AbstractContextManager[Room]:
        return self.admission.admit(most_pixels, question.deadline - time.monotonic())

    async def _ask(
        self, tasks: Sequence[Task], room: Room, question: Question, decode_s: float, waited_s: float
    ) -> tuple[Done, Timing]:
        asked = time.monotonic()
        done = await self.pool.ask(tasks, room.pixels, question.deadline)
        for model, score in scores_of(done.results):
            self.metrics.score.labels(model).observe(score)
        waited_s += max(0.0, done.began - asked)
        self.metrics.queue_seconds.observe(waited_s)
        return done, Timing(decode_s * 1000, waited_s * 1000, done.inference_s * 1000)

    async def _gauge(self) -> None:
        """Keeps the gauges that are set nowhere but here."""
        while True:
            self.metrics.ready.set(self.pool.ready and self.decoders.able and not self.draining)
            self.metrics.pixels_per_second.set(self.pool.pixels_per_s)
            self.metrics.cache_bytes.labels("results").set(self.results.held_bytes)
            self.metrics.cache_bytes.labels("references").set(self.references.held_bytes)
            self.metrics.intake_bytes.set(self.intake.held_bytes)
            for number, link in enumerate(self.pool.links):
                if link.state is not None:
                    self.metrics.observe_worker(number, link.state)
            await asyncio.sleep(_GAUGE_S)


def _result_of(scored: ScoredUpload, model: str) -> ModelResult:
    for result in scored.done.results:
        assert isinstance(result, ScoreResult)
        if model in result.models:
            return result.models[model]
    raise AssertionError(f"{model} was asked for and did not answer.")


@contextmanager
def _named(*files: Upload) -> Iterator[None]:
    """Adds the digests of the files, for the log and the caller, if it turns out that one ends the worker."""
    try:
        yield
    except PoisonInput as error:
        error.fields["sha256"] = [file.sha256 for file in files]
        raise
