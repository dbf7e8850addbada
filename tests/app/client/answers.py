"""Answers of a service that is not there, and a clock that does not wait."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from app.client.asynchronous import AsyncClient
from app.client.retry import Clock
from app.errors import PROBLEMS, ServiceError, TemporaryError
from models.vocabulary import ADJECTIVES, DIMENSIONS

JPEG = b"\xff\xd8 would be a photograph"
KEY = "iqa_not-for-anybody-else"


class VirtualClock:
    """Time that passes only in sleep.

    Args:
        dice: what is thrown each time.

    Attributes:
        time: now, in seconds.
        slept: each of the waits.
    """

    def __init__(self, dice: float = 0.5) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self.clock = Clock(now=lambda: self.time, sleep=self._sleep, dice=lambda: dice)

    async def _sleep(self, seconds: float) -> None:
        end = self.time + seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.time = max(self.time, end)  # several sleep at a time


class Service:
    """Answers requests as told, and remembers them.

    Args:
        answer: to the request that is the `number`-th, from 0: an answer, or what the connection meets.

    Attributes:
        requests: so far.
        busy: how many are being answered.
    """

    def __init__(self, answer: Callable[[httpx.Request, int], httpx.Response | Exception]) -> None:
        self.requests: list[httpx.Request] = []
        self.busy = 0
        self._answer = answer

    @classmethod
    def saying(cls, *answers: httpx.Response | Exception) -> "Service":
        """One after the other; the last of them for ever."""
        return cls(lambda _, number: answers[min(number, len(answers) - 1)])

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        number = len(self.requests) - 1
        self.busy += 1
        try:
            answer = self._answer(request, number)
            for _ in range(5):  # others come in between, as they would
                await asyncio.sleep(0)
        finally:
            self.busy -= 1
        if isinstance(answer, Exception):
            raise answer
        # What was answered once can be read once.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def bodies(self) -> list[bytes]:
        return [request.content for request in self.requests]

    def client(self, clock: VirtualClock, **options: Any) -> AsyncClient:
        return AsyncClient(
            "http://iqa.test/prefix", transport=httpx.MockTransport(self), clock=clock.clock, **options
        )


def score_body(score: float = 0.5) -> dict[str, Any]:
    """What POST /score answers."""
    dimensions = dict.fromkeys(DIMENSIONS, score)
    return {
        "score": score,
        "model": "bpclip",
        "dimensions": dimensions,
        "models": {
            "bpclip": {
                "score": score,
                "dimensions": dimensions,
                "adjectives": [
                    {
                        "adjective": each.word,
                        "dimension": each.dimension,
                        "polarity": each.polarity,
                        "similarity": 0.25,
                        "probability": 0.5,
                    }
                    for each in ADJECTIVES
                ],
                "prompt_pairs": [],
                "scored": {"width": 64, "height": 48},
                "weights": {"name": "tiny", "sha256": "0" * 64, "license": "Apache-2.0"},
            }
        },
        "image": {
            "width": 64,
            "height": 48,
            "format": "JPEG",
            "bytes": 1000,
            "sha256": "0" * 64,
            "frames": 1,
            "orientation_applied": False,
            "color_converted": False,
        },
        "warnings": [],
        "quality_map": None,
        "batch": {"images": 1},
        "timing_ms": {"decode": 1.0, "queue": 0.0, "inference": 2.0, "total": 3.0},
    }


def scored(score: float = 0.5) -> httpx.Response:
    return httpx.Response(200, json=score_body(score))


def problem(slug: str, retry_after: int | None = None, **fields: Any) -> httpx.Response:
    """The answer that the service gives for a problem."""
    kind = PROBLEMS[slug]
    assert issubclass(kind, ServiceError)
    error = (
        kind(retry_after=retry_after or 1.0, **fields) if issubclass(kind, TemporaryError) else kind(**fields)
    )
    return httpx.Response(
        error.status,
        headers={**error.headers, "Content-Type": "application/problem+json", "X-Request-ID": "served"},
        json=error.body("served"),
    )


def bare(status: int, **headers: str) -> httpx.Response:
    """As proxies answer."""
    return httpx.Response(status, headers={"Content-Type": "text/html", **headers}, text="<h1>No</h1>")
