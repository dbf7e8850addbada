"""The client for coroutines; the blocking client wraps this one."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpx

from app.client import connection, requests
from app.client.calibrating import calibrate_asking, calibrate_request
from app.client.concurrency import PacedRun
from app.client.errors import ClientError, ImageUnreadable, Misunderstood
from app.client.requests import AnswerT, Call, Image, Words
from app.client.retry import Attempts, Clock, Patience, is_refusal
from app.schemas.calibrate import CalibrateAnswer
from app.schemas.compare import CompareAnswer
from app.schemas.compare_summary import CompareSummary
from app.schemas.models import ModelsAnswer
from app.schemas.pick import PickAnswer
from app.schemas.policies import PoliciesAnswer
from app.schemas.score import ScoreAnswer, UntimedScore
from app.schemas.summary import ScoreSummary

DEFAULT_URL: Final = "http://127.0.0.1:8000"
TIMEOUT_S: Final = 75.0
"""For an answer: the service gives a body 30 s to arrive and work 30 s to start, if not told otherwise."""
PATIENCE_S: Final = 60.0
ATTEMPTS: Final = 10
CONCURRENCY: Final = 8
MOST_BYTES: Final = 256 * 2**20

_CONNECT_S: Final = 5.0
_KEEP_S: Final = 20.0  # shorter than the balancer's 30 s and the service's 75 s, so that neither closes first
_MOST_KEPT: Final = 256
_MOST_CONCURRENCY: Final = 1024


@dataclass(frozen=True)
class Scored:
    """One image of many: its answer, or what went wrong with it.

    Attributes:
        index: of the image, from 0 in the order of the images.
        image: as it was given.
        answer: None where there is none.
        problem: why there is none; without traceback and cause, which would hold the bytes of the image.
    """

    index: int
    image: Image
    answer: ScoreAnswer | None
    problem: ClientError | None = None


class AsyncClient:
    """Asks the service, from coroutines of one asyncio loop; any number of tasks may share it.

    Args:
        url: of the service; a path in it stays before those of the routes.
        key: API key, where the service asks for one.
        timeout_s: for the whole answer to one attempt.
        attempts: of each call, the first included.
        patience_s: no further attempt is begun so long after the call's beginning.
        deadline_s: sent as ``X-Timeout-Ms``: in which work must start. What does not start in time (504
            ``deadline-exceeded``) is then a Problem at once; without `deadline_s`, it is retried.
        most_bytes: that an image may have; they are read into memory.
        transport: instead of httpx's own.
        clock: time and chance, for tests.

    Raises:
        ValueError: an argument is not usable.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        patience_s: float = PATIENCE_S,
        deadline_s: float | None = None,
        most_bytes: int = MOST_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        if timeout_s <= 0 or (deadline_s is not None and not 0.001 <= deadline_s <= 3600) or most_bytes < 1:
            raise ValueError("timeout_s and most_bytes must be positive, deadline_s within 0.001 and 3600.")
        base_url = requests.address(url)
        self.url = str(base_url)
        self._patience = Patience(attempts, patience_s)
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._most_bytes = most_bytes
        self._clock = clock or Clock()
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers=requests.headers(key),
            # How many connections there are is for the callers to choose: none waits for one here.
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=_MOST_KEPT, keepalive_expiry=_KEEP_S
            ),
            # The whole attempt has one limit; only to connect has a shorter one of its own.
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            trust_env=not connection.is_here(base_url.host),
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def score(
        self,
        image: Image,
        *,
        models: Words = None,
        adjectives: Words = None,
        quality_map: bool = False,
        detail_crops: bool = False,
        embedding: bool = False,
        policy: str | None = None,
    ) -> ScoreAnswer:
        """As :meth:`app.client.Client.score`."""
        params = requests.parameters(
            models,
            adjectives,
            quality_map=quality_map,
            detail_crops=detail_crops,
            embedding=embedding,
            policy=policy,
        )
        call = requests.score_request(await self._read(image), params)
        return await self._ask(ScoreAnswer, call)

    async def summarize(
        self, image: Image, *, models: Words = None, embedding: bool = False, policy: str | None = None
    ) -> ScoreSummary:
        """As :meth:`app.client.Client.summarize`."""
        params = requests.parameters(models, embedding=embedding, brief=True, policy=policy)
        call = requests.score_request(await self._read(image), params)
        return await self._ask(ScoreSummary, call)

    async def heat_map(self, image: Image, *, models: Words = None) -> bytes:
        """As :meth:`app.client.Client.heat_map`."""
        call = requests.heat_map_request(await self._read(image), requests.parameters(models))
        return requests.png(await self._answer(call), call)

    async def compare(
        self,
        reference: Image,
        distorted: Image,
        *,
        models: Words = None,
        resize: str = "none",
        difference_map: bool = False,
        measures: Words = None,
        embedding: bool = False,
        policy: str | None = None,
    ) -> CompareAnswer:
        """As :meth:`app.client.Client.compare`."""
        params = requests.parameters(
            models,
            resize=resize,
            difference_map=difference_map,
            measures=measures,
            embedding=embedding,
            policy=policy,
        )
        pair = await self._read(reference), await self._read(distorted)
        return await self._ask(CompareAnswer, requests.compare_request(*pair, params))

    async def summarize_pair(
        self,
        reference: Image,
        distorted: Image,
        *,
        models: Words = None,
        resize: str = "none",
        policy: str | None = None,
    ) -> CompareSummary:
        """As :meth:`app.client.Client.summarize_pair`."""
        params = requests.parameters(models, resize=resize, brief=True, policy=policy)
        pair = await self._read(reference), await self._read(distorted)
        return await self._ask(CompareSummary, requests.compare_request(*pair, params))

    async def difference_picture(self, reference: Image, distorted: Image, *, resize: str = "none") -> bytes:
        """As :meth:`app.client.Client.difference_picture`."""
        pair = await self._read(reference), await self._read(distorted)
        call = requests.difference_request(*pair, requests.parameters(resize=resize))
        return requests.png(await self._answer(call), call)

    async def pick(self, images: Iterable[Image], *, model: str | None = None) -> PickAnswer:
        """As :meth:`app.client.Client.pick`."""
        read = await asyncio.to_thread(requests.named_images, images, self._most_bytes)
        return await self.pick_named(read, model)

    async def pick_named(self, images: Sequence[tuple[str, bytes]], model: str | None) -> PickAnswer:
        """The answer about images that were read, by their names."""
        return await self._ask(PickAnswer, requests.pick_request(images, requests.parameters(model)))

    async def calibrate(
        self,
        good: Iterable[UntimedScore],
        bad: Iterable[UntimedScore] = (),
        *,
        reject_at_most: float = 0.02,
        name: str = "mine",
        model: str | None = None,
    ) -> CalibrateAnswer:
        """As :meth:`app.client.Client.calibrate`."""
        asking = calibrate_asking(good, bad, model, reject_at_most=reject_at_most, name=name)
        return await self._ask(CalibrateAnswer, calibrate_request(asking, requests.parameters(model)))

    async def models(self) -> ModelsAnswer:
        """As :meth:`app.client.Client.models`."""
        return await self._ask(ModelsAnswer, Call("GET", "v1/models"))

    async def policies(self) -> PoliciesAnswer:
        """As :meth:`app.client.Client.policies`."""
        return await self._ask(PoliciesAnswer, Call("GET", "v1/policies"))

    def score_many(
        self,
        images: Iterable[Image],
        *,
        concurrency: int = CONCURRENCY,
        models: Words = None,
        adjectives: Words = None,
        quality_map: bool = False,
        detail_crops: bool = False,
        policy: str | None = None,
    ) -> AsyncGenerator[Scored]:
        """As :meth:`app.client.Client.score_many`. `images` is iterated over in the loop.

        A caller that leaves the loop early closes the generator, as :func:`contextlib.aclosing` does, or
        leaves that to the garbage collector.
        """
        params = requests.parameters(
            models, adjectives, quality_map=quality_map, detail_crops=detail_crops, policy=policy
        )
        requests.require_several(images)
        return self._scores(images, params, self.run(concurrency))

    async def close(self) -> None:
        """Closes the connections. Calls that are under way fail."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _read(self, image: Image) -> bytes:
        if isinstance(image, bytes):
            return requests.content_of(image, self._most_bytes)
        return await asyncio.to_thread(requests.content_of, image, self._most_bytes)

    async def _ask(self, kind: type[AnswerT], call: Call) -> AnswerT:
        return requests.parsed(kind, await self._answer(call), call)

    async def _answer(self, call: Call) -> bytes:
        """The body of the answer, after as many attempts as it takes."""
        clock = self._clock
        attempts = Attempts(self._patience, clock.now())
        while True:
            try:
                return await self._once(call)
            except ClientError as error:
                wait = attempts.after(error, clock.now(), clock.dice())
                if wait is None:
                    raise
            await clock.sleep(wait)

    async def _once(self, call: Call) -> bytes:
        request = call.request(self._http, self._deadline_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.send(request, stream=True)
                try:
                    body = await connection.body_of(response, call)
                finally:
                    await response.aclose()
        except httpx.DecodingError as error:
            raise Misunderstood(
                "The answer is not encoded as it says.", request_id=call.request_id
            ) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise connection.unreachable(error, call, self.url, self._timeout_s) from error
        if response.is_success:
            return body
        failure = requests.failure(response, body, call)
        if response.status_code == 504 and self._deadline_s is not None:
            failure.passing, failure.of_image = False, True
        raise failure

    def run(self, concurrency: int) -> PacedRun:
        """What the images of one call share.

        Raises:
            ValueError: `concurrency` is out of range.
        """
        if not 1 <= concurrency <= _MOST_CONCURRENCY:
            raise ValueError(f"concurrency must be within 1 and {_MOST_CONCURRENCY}.")
        return PacedRun(concurrency, self._patience, self._clock)

    async def _scores(
        self, images: Iterable[Image], params: dict[str, str], run: PacedRun
    ) -> AsyncGenerator[Scored]:
        coming = enumerate(images)
        tasks: set[asyncio.Task[Scored]] = set()
        try:
            while True:
                while len(tasks) < run.most and (entry := next(coming, None)) is not None:
                    tasks.add(asyncio.create_task(self.scored(run, *entry, params)))
                if not tasks:
                    return
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                # One at a time, so that the next image is on its way while this one is looked at; and what
                # ends the run comes last.
                first = min(done, key=lambda task: task.exception() is not None)
                tasks.discard(first)
                yield first.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def scored(self, run: PacedRun, index: int, image: Image, params: dict[str, str]) -> Scored:
        """One image of a run.

        Raises:
            ClientError: the run is over: what is wrong concerns all images.
        """
        with run.counted():
            try:
                call = requests.score_request(await self._read(image), params)
            except ImageUnreadable as error:
                return Scored(index, image, None, _bare(error))
            answer = await self._persistently(run, call)
            if isinstance(answer, ClientError):
                return Scored(index, image, None, _bare(answer))
            return Scored(index, image, requests.parsed(ScoreAnswer, answer, call))

    async def _persistently(self, run: PacedRun, call: Call) -> bytes | ClientError:
        """The body of the answer, or what is wrong with the image; raises what is wrong with the run."""
        clock, pace = self._clock, run.pace
        failures, answers_before = 0, -1
        while True:
            async with run.turn():
                began = clock.now()
                try:
                    body = await self._once(call)
                except ClientError as error:
                    failure = error
                else:
                    pace.answered()
                    return body
                if not failure.passing:
                    if not failure.of_image:
                        raise failure
                    pace.answered()
                    return failure
                wait = pace.failed(failure, began, clock.now(), clock.dice())
            if wait:
                await clock.sleep(wait)
            if is_refusal(failure) and wait is not None:
                continue
            # Broken connections are the image's matter only where others are answered meanwhile.
            if pace.answers != answers_before:
                failures, answers_before = failures + 1, pace.answers
            if failures >= self._patience.attempts:
                return failure
            if wait is None:
                if is_refusal(failure) or not pace.answers or not await self._alive():
                    raise failure
                pace.answered()
                return failure

    async def _alive(self) -> bool:
        """Whether the service answers at all."""
        try:
            await self._once(Call("GET", "livez"))
        except ClientError:
            return False
        return True


def _bare(error: ClientError) -> ClientError:
    """Without traceback and causes: their frames hold the bytes of the image."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
