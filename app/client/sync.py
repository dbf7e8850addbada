"""The client for code that waits: an asynchronous one on a loop of its own in the background."""

import concurrent.futures
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from app.client import requests
from app.client.asynchronous import (
    ATTEMPTS,
    CONCURRENCY,
    DEFAULT_URL,
    MOST_BYTES,
    PATIENCE_S,
    TIMEOUT_S,
    AsyncClient,
    Scored,
)
from app.client.background_loop import BackgroundLoop, result_of
from app.client.concurrency import PacedRun
from app.client.errors import (
    ClientError,
)
from app.client.requests import Image, Words
from app.client.retry import Clock
from app.schemas.calibrate import CalibrateAnswer
from app.schemas.compare import CompareAnswer
from app.schemas.compare_summary import CompareSummary
from app.schemas.models import ModelsAnswer
from app.schemas.pick import PickAnswer
from app.schemas.policies import PoliciesAnswer
from app.schemas.score import ScoreAnswer, UntimedScore
from app.schemas.summary import ScoreSummary

_T = TypeVar("_T")


class Client:
    """Asks the service. Any number of threads may share it; after a fork it opens new connections.

    Args:
        url, key, timeout_s, attempts, patience_s, deadline_s, most_bytes, transport, clock: as of
            :class:`AsyncClient`.

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
        def connect() -> AsyncClient:
            return AsyncClient(
                url,
                key=key,
                timeout_s=timeout_s,
                attempts=attempts,
                patience_s=patience_s,
                deadline_s=deadline_s,
                most_bytes=most_bytes,
                transport=transport,
                clock=clock,
            )

        self._connect = connect
        self._asking = connect()  # raises here what is wrong with the arguments
        self.url = self._asking.url
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._loop: BackgroundLoop | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def score(
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
        """How good an image looks: the answer to POST /score.

        Args:
            image: its bytes, the name of its file, or a file open for bytes, read from where it stands.
            models: to ask; by default all that the service has loaded.
            adjectives: words beyond the 40, for weights with a text encoder.
            quality_map: whether local quality is wanted too.
            detail_crops: whether tiles at native size are scored too.
            embedding: whether the vector for finding near duplicates is wanted too.
            policy: to judge by; the answer has a verdict then.

        Raises:
            ImageUnreadable: the image cannot be read; also where there is no such file.
            Problem: the service rejects every attempt.
            Unreachable: there is no answer.
            Misunderstood: the answer is not this service's.
        """
        data = requests.content_of(image, self._most_bytes)
        return self._do(
            lambda asking: asking.score(
                data,
                models=models,
                adjectives=adjectives,
                quality_map=quality_map,
                detail_crops=detail_crops,
                embedding=embedding,
                policy=policy,
            )
        )

    def summarize(
        self, image: Image, *, models: Words = None, embedding: bool = False, policy: str | None = None
    ) -> ScoreSummary:
        """What is acted on, in about a kilobyte: the answer to POST /score with ``detail=summary``.

        Args:
            image, models, embedding, policy: as of :meth:`score`.

        Raises:
            ClientError: as of :meth:`score`.
        """
        data = requests.content_of(image, self._most_bytes)
        return self._do(
            lambda asking: asking.summarize(data, models=models, embedding=embedding, policy=policy)
        )

    def heat_map(self, image: Image, *, models: Words = None) -> bytes:
        """Local quality over the image, as a PNG file.

        Raises:
            ClientError: as of :meth:`score_request`.
        """
        data = requests.content_of(image, self._most_bytes)
        return self._do(lambda asking: asking.heat_map(data, models=models))

    def compare(
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
        """How close a distorted image comes to its reference: the answer to POST /compare.

        Args:
            reference: the image as it should be.
            distorted: the processed copy.
            models: no-reference models to ask about both; the full-reference one always answers.
            resize: ``reference`` brings the distorted image to the reference's size; with ``none`` sizes that
                differ are a Problem.
            difference_map: whether it is wanted too where they differ.
            measures: beside PSNR and SSIM: ``ms_ssim``, ``haarpsi``, ``vsi``, ``mdsi``.
            embedding: whether the vectors of both images are wanted too.
            policy: to judge by, as ``transcode``; the answer has a verdict then.

        Raises:
            ClientError: as of :meth:`score_request`.
        """
        pair = self._contents(reference, distorted)
        return self._do(
            lambda asking: asking.compare(
                *pair,
                models=models,
                resize=resize,
                difference_map=difference_map,
                measures=measures,
                embedding=embedding,
                policy=policy,
            )
        )

    def summarize_pair(
        self,
        reference: Image,
        distorted: Image,
        *,
        models: Words = None,
        resize: str = "none",
        policy: str | None = None,
    ) -> CompareSummary:
        """What is acted on, in about a kilobyte: the answer to POST /compare with ``detail=summary``.

        Args:
            reference, distorted, models, resize, policy: as of :meth:`compare`.

        Raises:
            ClientError: as of :meth:`score`.
        """
        pair = self._contents(reference, distorted)
        return self._do(
            lambda asking: asking.summarize_pair(*pair, models=models, resize=resize, policy=policy)
        )

    def difference_picture(self, reference: Image, distorted: Image, *, resize: str = "none") -> bytes:
        """Where a distorted image differs from its reference, over it, as a PNG file.

        Raises:
            ClientError: as of :meth:`score`.
        """
        pair = self._contents(reference, distorted)
        return self._do(lambda asking: asking.difference_picture(*pair, resize=resize))

    def pick(self, images: Iterable[Image], *, model: str | None = None) -> PickAnswer:
        """Groups of images that show the same, and which one of each to keep: the answer to POST /pick.

        Args:
            images: 2 to 64 of them; files are named in the answer as they are called, others by their number.
            model: whose score decides; by default that of :meth:`score`.

        Raises:
            ClientError: as of :meth:`score_request`. An image that cannot be scored is a problem in the
                answer.
            TypeError: `images` is a single one.
        """
        read = requests.named_images(images, self._most_bytes)
        return self._do(lambda asking: asking.pick_named(read, model))

    def calibrate(
        self,
        good: Iterable[UntimedScore],
        bad: Iterable[UntimedScore] = (),
        *,
        reject_at_most: float = 0.02,
        name: str = "mine",
        model: str | None = None,
    ) -> CalibrateAnswer:
        """Limits that let photographs like the good ones pass: the answer to POST /calibrate.

        Args:
            good: answers about 20 to 500 photographs that are good enough.
            bad: answers about others that are not, 500 at most.
            reject_at_most: share of photographs like the good ones that may fail, in (0, 0.5].
            name: of the policy.
            model: whose score and dimensions are limited; by default that of :meth:`score`.

        Raises:
            ClientError: as of :meth:`score_request`; with too few good ones, too.
            ValueError: an answer lacks the model, or there are too many.
        """
        return self._do(
            lambda asking: asking.calibrate(good, bad, reject_at_most=reject_at_most, name=name, model=model)
        )

    def models(self) -> ModelsAnswer:
        """What the service has loaded.

        Raises:
            ClientError: as of :meth:`score_request`.
        """
        return self._do(AsyncClient.models)

    def policies(self) -> PoliciesAnswer:
        """By which policies the service judges.

        Raises:
            ClientError: as of :meth:`score_request`.
        """
        return self._do(AsyncClient.policies)

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
    ) -> Generator[Scored]:
        """Scores images as they come, and yields each as it is done, however many there are.

        `images` is iterated over here, in the caller's thread, and never further ahead than `concurrency`
        images, of which alone anything is held. An image that cannot be read or scored has its problem, and
        stops nothing. What concerns all images ends the run: the iterator raises it. That is a question or
        key that the service does not accept (401, unknown models or policies), an answer that is not the
        service's, and a service that for `patience_s` has answered nothing, or that asks for more time.

        While the service is full, starting or away, all images wait together, and then fewer are under way at
        a time; that costs none of them an attempt. Only where an image's connection breaks again and again
        while others are answered, its `attempts` are used up.

        Leaving the loop early cancels the requests that are under way.

        Args:
            images: as for :meth:`score_request`.
            concurrency: images under way at a time, 1 to 1024.
            models, adjectives, quality_map, detail_crops, policy: as for :meth:`score_request`.

        Raises:
            ClientError: out of the iterator, as told.
            ValueError: `concurrency` is out of range.
            TypeError: `images` is the name of one, or its bytes.
        """
        params = requests.parameters(
            models, adjectives, quality_map=quality_map, detail_crops=detail_crops, policy=policy
        )
        requests.require_several(images)
        asking, loop = self._started()
        return self._scores(images, params, asking, loop, asking.run(concurrency))

    def close(self) -> None:
        """Closes the connections; what is under way in other threads is cancelled."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> tuple[AsyncClient, BackgroundLoop]:
        with self._lock:
            if self._closed:
                raise ClientError("The client has been closed.")
            if self._loop is not None and not self._loop.usable:
                # A fork: the thread stayed with the parent, and the connections are the parent's.
                self._loop, self._asking = None, self._connect()
            if self._loop is None:
                self._loop = BackgroundLoop(self._asking.close)
                # Also where the client is never closed, and when the interpreter ends.
                weakref.finalize(self, self._loop.stop)
            return self._asking, self._loop

    def _contents(self, *images: Image) -> list[bytes]:
        return [requests.content_of(image, self._most_bytes) for image in images]

    def _do(self, ask: Callable[[AsyncClient], Coroutine[Any, Any, _T]]) -> _T:
        asking, loop = self._started()
        return loop.run(ask(asking))

    def _scores(
        self,
        images: Iterable[Image],
        params: dict[str, str],
        asking: AsyncClient,
        loop: BackgroundLoop,
        run: PacedRun,
    ) -> Generator[Scored]:
        coming = enumerate(images)
        futures: set[concurrent.futures.Future[Scored]] = set()
        try:
            while True:
                while len(futures) < run.most and (entry := next(coming, None)) is not None:
                    futures.add(loop.submit(asking.scored(run, *entry, params)))
                if not futures:
                    return
                done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
                # As in the client for coroutines: one at a time, and what ends the run comes last.
                first = min(done, key=_failed)
                futures.discard(first)
                yield result_of(first)
        finally:
            for future in futures:
                future.cancel()
            if loop.awaitable:
                loop.run(run.ended())


def _failed(future: "concurrent.futures.Future[Scored]") -> bool:
    return future.cancelled() or future.exception() is not None
