"""What routes ask for in their signatures, and how they wait."""

import asyncio
import re
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Header, Query, Request

from app.body import ClientGone
from app.errors import InvalidParameter, TextEncoderMissing, UnknownModel
from app.middleware import Record, record_of
from app.preparation import Question
from app.service import Service
from app.worker.tasks import FULL_REFERENCE

T = TypeVar("T")

_MOST_WORDS: Final = 32
_WORD: Final = re.compile(r"[^\W\d_](?:[\w' -]{0,38}[^\W_])?")
_LONGEST_TIMEOUT_MS: Final = 3_600_000


# Coroutines all, though none of them waits: FastAPI would run plain functions in threads.


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _record(request: Request) -> Record:
    return record_of(request)


ServiceDep = Annotated[Service, Depends(_service)]
RecordDep = Annotated[Record, Depends(_record)]


async def _room(service: ServiceDep) -> None:
    service.admission.look()


ROOM: Final = Depends(_room)
"""Of a route: a full queue refuses before the body is read. The connection can be used again: what comes of
the body after the answer is thrown away as it arrives."""


@dataclass(frozen=True)
class Asked:
    """What a query asks for: names of no-reference models, words beyond the 40, seconds to start within."""

    models: tuple[str, ...]
    words: tuple[str, ...]
    timeout_s: float

    def from_now(self) -> Question:
        """The question, its time beginning to run: the body has arrived."""
        return Question(self.models, self.words, time.monotonic() + self.timeout_s)


async def _asked(
    service: ServiceDep,
    models: Annotated[
        str | None,
        Query(
            description="No-reference models to ask, separated by commas; by default all that are loaded.",
            examples=["bpclip"],
        ),
    ] = None,
    adjectives: Annotated[
        str | None,
        Query(
            description=f"Words beyond the 40 to compare with, separated by commas, at most {_MOST_WORDS}; "
            "for weights that carry a text encoder.",
            examples=["moody,cinematic"],
        ),
    ] = None,
    x_timeout_ms: Annotated[
        int | None,
        Header(
            description="Milliseconds, from the arrival of the body, in which the work must start.",
            ge=1,
            le=_LONGEST_TIMEOUT_MS,
        ),
    ] = None,
) -> Asked:
    cards = service.loaded().cards
    loaded = tuple(card.name for card in cards if card.name != FULL_REFERENCE)
    chosen = loaded if models is None else _names(models, loaded)
    words = () if adjectives is None else _words(adjectives)
    if words and not any(card.text_encoder for card in cards if card.name in chosen):
        raise TextEncoderMissing(
            "None of the models asked carries a text encoder, so only the 40 adjectives are compared.",
            models=list(chosen),
        )
    timeout_s = service.settings.timeout_s if x_timeout_ms is None else x_timeout_ms / 1000
    return Asked(chosen, words, timeout_s)


AskedDep = Annotated[Asked, Depends(_asked)]


def _names(models: str, loaded: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in models.split(",") if name.strip()))
    if not names:
        raise InvalidParameter("`models` names no model.", parameter="models")
    if unknown := [name for name in names if name not in loaded]:
        raise UnknownModel(
            f"No no-reference model {unknown[0][:40]!r} is loaded; there are {', '.join(loaded)}.",
            loaded=list(loaded),
        )
    return names


def _words(adjectives: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in adjectives.split(",") if word.strip()))
    if not words or len(words) > _MOST_WORDS or not all(_WORD.fullmatch(word) for word in words):
        raise InvalidParameter(
            f"`adjectives` takes 1 to {_MOST_WORDS} words of at most 40 letters, separated by commas.",
            parameter="adjectives",
        )
    return words


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled if the client goes away. The body must have been read.

    Raises:
        ClientGone: it did.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
