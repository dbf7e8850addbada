"""The way of a request through an HTTP process: header, admission, decoding, workers, result."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Final, TypeVar

from app.cost import Cost
from app.errors import DeadlineExceeded, Draining, Starting, WorkerUnavailable
from app.imaging import heatmap
from app.imaging.decode import Header
from app.imaging.limits import Limits
from app.imaging.sandbox.pool import Decoders
from app.imaging.sandbox.work import Timed
from app.inference.endpoint import Endpoint
from app.inference.pending import RESTART_S
from app.inference.pool import Pool
from app.inference.protocol import Done, State
from app.inference.tasks import ModelResult, ScoreResult, Task, scores_of
from app.memory import Hold
from app.metrics import Metrics
from app.policies import Policy, usable
from app.processes.cgroup import ControlGroup
from app.scoring import requests
from app.scoring.admission import Admission, Room
from app.scoring.cache import Cache, CachedOutcome
from app.scoring.decoded_references import Reference
from app.scoring.memory_guard import MemoryGuard, memory_of
from app.scoring.requests import PreparedPair, Question
from app.scoring.timed import (
    PairedUploads,
    Rendered,
    ScoredUpload,
    Timing,
    told_of_decoding,
    told_of_inference,
)
from app.scoring.uploads import Intake, Upload, named_in_poison
from app.settings import Settings
from app.tracing.request_trace import current_trace
from models.registry import FULL_REFERENCE

_T = TypeVar("_T")

_PATIENCE: Final = 0.5
"""Longest queue, as a part of the time in which work must start: rates change, and workers restart."""
_GAUGE_S: Final = 1.0
_NARROWEST_WINDOW: Final = 4
"""Images of one request that are worked on at a time, at least: while one is scored the next are decoded."""
_AHEAD_S: Final = 2.0
"""How long decoding may take what is worked on of one request."""


class Service:
    """Everything that one HTTP process holds. It has no queue of its own: work waits in the workers.

    Args:
        settings: of the process.
        endpoints: the workers' ipc addresses.
        policies: by name; also those that cannot be applied to the models of the settings.
    """

    def __init__(
        self, settings: Settings, endpoints: Sequence[Endpoint], policies: Mapping[str, Policy] | None = None
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
            self._device_cost,
            self.metrics.queued_pixels.set,
        )
        share = settings.http_processes
        self.memory = memory_of(settings, self.limits)
        self.guard = MemoryGuard(ControlGroup(), settings.memory_limit_bytes)
        self.decoders = Decoders(
            settings.decoders(),
            self.limits,
            settings.decode_timeout_s,
            memory=self.memory,
            on_restart=self.metrics.decoder_restarts.inc,
        )
        self.intake = Intake(settings.intake_bytes // share, self.memory)
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

    @property
    def has_grades(self) -> bool:
        """Whether the full-reference weights have steps for grades; true also while that is not known."""
        try:
            return requests.card(FULL_REFERENCE, self.loaded()).grades is not None
        except Starting:
            return True

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
            picture = await self._draw(heatmap.render, task.pixels, result.quality_map)
            return scored, picture

    @asynccontextmanager
    async def _scoring(self, upload: Upload, question: Question) -> AsyncIterator[ScoredUpload]:
        """An image that is scored, and that counts as work for as long as the block runs."""
        state = self.loaded()
        most = requests.most_cost(question.models, state, question.detail)
        with self._admitted(most, question) as (room, hold), named_in_poison(upload):

            def on_header(header: Header) -> None:
                self.guard.require_for_image(header.width * header.height)
                hold.add(requests.held_bytes(header, question.models, state, question.detail))
                room.settle(requests.cost(header, question.models, state, question.detail))
                question.bill.decoding(header.width * header.height)

            decoded = await told_of_decoding(
                self.decoders.decode(
                    upload.data,
                    requests.wanted(question.models, state, detail=question.detail is not None),
                    question.deadline,
                    on_header,
                    asker=question.asker,
                )
            )
            upload.release()
            question.bill.scoring(room.pixels)
            self.metrics.decode_seconds.observe(decoded.seconds, current_trace.get().exemplar)
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
        async with self._paired(reference, distorted, resize, question) as paired:
            pair, known = paired.pair, paired.known
            key = (question.words, question.embedding, requests.weights(question.models, state))
            # Where devices differ in precision, both images are scored by one of them.
            scored = known.scored(key) if len(self.pool.precisions) <= 1 else None
            asked = () if scored is not None else pair.reference.tasks
            tasks: tuple[Task, ...] = (pair.task, *asked, *pair.distorted.tasks)
            done, timing = await self._ask(tasks, paired.room, question, paired.decode_s, paired.waited_s)
            compared, *rest = done.results
            if scored is None:
                scored = tuple(rest[: len(asked)])
                known.remember(key, scored)
            results = (compared, *scored, *rest[len(asked) :])
            return pair, replace(done, results=results), timing

    async def map_differences(
        self, reference: Upload, distorted: Upload, resize: bool, question: Question
    ) -> tuple[PreparedPair, bytes, Timing]:
        """Draws where a distorted image file differs from its reference over it: a PNG. No model is asked.

        Raises:
            ServiceError: as of :meth:`compare`.
        """
        assert question.difference_map
        async with self._paired(reference, distorted, resize, question) as paired:
            return paired.pair, await self._draw(paired.pair.difference_picture), paired.timing

    @asynccontextmanager
    async def _paired(
        self, reference: Upload, distorted: Upload, resize: bool, question: Question
    ) -> AsyncIterator[PairedUploads]:
        """A pair that is decoded, and that counts as work for as long as the block runs."""
        state = self.loaded()
        most = 2 * requests.most_cost((FULL_REFERENCE, *question.models), state)
        with self._admitted(most, question) as (room, hold), named_in_poison(reference, distorted):
            began = time.monotonic()
            known, outcome = await self._reference(reference, room, question, state)
            seconds, waited = known.decode_s, known.waited_s
            if outcome != "miss":  # it waited while another request decoded
                seconds, waited = 0.0, time.monotonic() - began
            reference.release()
            second = await self._decode_distorted(distorted.data, known, resize, room, hold, question, state)
            distorted.release()
            question.bill.scoring(room.pixels)
            comparison = second.result.comparison
            assert comparison is not None
            self.metrics.decode_seconds.observe(seconds + second.seconds, current_trace.get().exemplar)
            pair = requests.prepared_pair(
                known.fitted, second.result.fitted, comparison, question, state, reference.sha256
            )
            if question.difference_map:
                try:
                    # One drawing at a time: others may be before it.
                    async with asyncio.timeout_at(question.deadline):
                        pair = await self._draw(pair.with_differences)
                except TimeoutError:
                    raise DeadlineExceeded("The differences were not found when the time was up.") from None
            yield PairedUploads(pair, known, room, seconds + second.seconds, waited + second.waited_s)

    async def _draw(self, work: Callable[..., _T], *arguments: object) -> _T:
        """What a function gives that takes the interpreter for long, in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._drawing, work, *arguments)

    async def _reference(
        self, upload: Upload, room: Room, question: Question, state: State
    ) -> tuple[Reference, CachedOutcome]:
        # For all models at once, whichever are asked: the next question may be about others.
        slots = tuple(card.name for card in state.cards)
        hold = Hold(self.memory)

        def on_header(header: Header) -> None:
            hold.add(header.width * header.height * 3 + requests.held_bytes(header, slots, state))
            # The distorted image is most likely of the same size.
            room.settle(2 * requests.cost(header, (FULL_REFERENCE, *question.models), state))
            question.bill.decoding(header.width * header.height)

        async def decode() -> Reference:
            wanted = requests.wanted(slots, state)
            try:
                decoded = await told_of_decoding(
                    self.decoders.decode(
                        upload.data, wanted, question.deadline, on_header, asker=question.asker, keep=True
                    )
                )
            except BaseException:
                hold.close()
                raise
            original = decoded.result.original
            assert original is not None
            known = Reference(decoded.result.fitted, original, decoded.seconds, decoded.waited_s)
            hold.close_with(known)
            return known

        key = (upload.sha256, upload.size, requests.inputs(slots, state))
        with requests.blamed_on("reference"):
            return await self.references.get(key, question.deadline, decode)

    async def _decode_distorted(
        self,
        data: bytes,
        reference: Reference,
        resize: bool,
        room: Room,
        hold: Hold,
        question: Question,
        state: State,
    ) -> Timed:
        provenance = reference.fitted.provenance
        compared = 2 * requests.cost(provenance, (FULL_REFERENCE,), state)
        alone = requests.cost(provenance, question.models, state)

        def on_header(header: Header) -> None:
            # Its own pixels, and those at the reference's size.
            hold.add(2 * requests.held_bytes(header, (FULL_REFERENCE, *question.models), state))
            room.settle(compared + alone + requests.cost(header, question.models, state))
            question.bill.decoding(header.width * header.height)

        with requests.blamed_on("distorted"):
            return await told_of_decoding(
                self.decoders.compare(
                    data,
                    requests.wanted(question.models, state),
                    reference.original,
                    requests.wanted((FULL_REFERENCE,), state),
                    question.deadline,
                    on_header,
                    asker=question.asker,
                    resize=resize,
                    measures=question.measures,
                )
            )

    def batch_window(self) -> int:
        """How many images of one request may be worked on at a time.

        Enough for two batches of the device, but no more than are soon decoded.
        """
        usual = self.admission.usual_pixels or 1.0
        per_batch = max((link.state.budget_pixels for link in self.pool.links if link.state), default=0)
        wanted = 2 * len(self.pool.links) * per_batch / usual
        decodable = _AHEAD_S * self.settings.decoders() / max(self.decoders.usual_s, 1e-6)
        return round(min(max(min(wanted, decodable), _NARROWEST_WINDOW), self.settings.max_files))

    @contextmanager
    def _admitted(self, most_pixels: int, question: Question) -> Iterator[tuple[Room, Hold]]:
        """What a request holds of the queue and of memory while the block runs."""
        timeout_s = question.deadline - time.monotonic()
        hold = Hold(self.memory)
        try:
            with self.admission.admit(most_pixels, timeout_s, question.asker.caller) as room:
                yield room, hold
        finally:
            hold.close()

    def _device_cost(self) -> Cost | None:
        """What requests of this process cost, which has a share of the workers."""
        cost = self.pool.cost
        return None if cost is None else cost.times(self.settings.http_processes)

    async def _ask(
        self, tasks: Sequence[Task], room: Room, question: Question, decode_s: float, waited_s: float
    ) -> tuple[Done, Timing]:
        asked, asker = time.monotonic(), question.asker
        done = await told_of_inference(
            self.pool.ask(tasks, room.pixels, question.deadline, asker.caller or "", asker.bulk)
        )
        for model, score in scores_of(done.results):
            self.metrics.score.labels(model).observe(score)
        waited_s += max(0.0, done.began - asked)
        self.metrics.queue_seconds.observe(waited_s, current_trace.get().exemplar)
        return done, Timing(decode_s * 1000, waited_s * 1000, done.inference_s * 1000)

    async def _gauge(self) -> None:
        """Keeps the gauges that are set nowhere but here."""
        while True:
            self.metrics.ready.set(self.pool.ready and self.decoders.able and not self.draining)
            self.metrics.pixels_per_second.set(self.pool.pixels_per_s)
            self.metrics.cache_bytes.labels("results").set(self.results.held_bytes)
            self.metrics.cache_bytes.labels("references").set(self.references.held_bytes)
            self.metrics.intake_bytes.set(self.intake.held_bytes)
            self.metrics.work_bytes.set(self.memory.held_bytes + self.memory.working_bytes)
            self.metrics.queued_seconds.set(max(self.admission.queued_s, self.decoders.queued_s))
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
