"""What routes ask for in their signatures, what is refused before a body is read, and how they wait."""

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import Depends, Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.datastructures import Headers

from app.api.openapi import WORDS_PARAMETER
from app.auth.access import Access, Bill, Caller
from app.errors import InvalidParameter, TextEncoderMissing, UnknownModel, UnsupportedMediaType
from app.http.middleware import Record, record_of
from app.http.request_body import ClientGone
from app.imaging.sandbox.work import Asker
from app.policies import Policy, PolicyRefused, choose, require_grades
from app.schemas.measured.pair_measures import PublishedName
from app.scoring.requests import Question, card
from app.scoring.service import Service
from app.settings import answering
from models.registry import FULL_REFERENCE

_T = TypeVar("_T")

_MOST_WORDS: Final = 32
_WORD: Final = r"[^\W\d_](?:[\w' -]{0,38}[^\W_])?"
_WORDS: Final = rf" *{_WORD} *(?:, *{_WORD} *){{0,{_MOST_WORDS - 1}}}"
_LONGEST_LIST: Final = 2000  # characters of 32 words with spaces around them
_LONGEST_TIMEOUT_MS: Final = 3_600_000
_LONGEST_NAME: Final = 40  # of what a caller sent, as far as it is repeated


# Coroutines all, though none of them waits: FastAPI would run plain functions in threads.


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _record(request: Request) -> Record:
    return record_of(request)


ServiceDep = Annotated[Service, Depends(_service)]
RecordDep = Annotated[Record, Depends(_record)]


async def _caller(request: Request) -> Caller:
    access: Access = request.app.state.access
    caller = access.caller(_presented(request.headers))
    record_of(request).fields["key"] = caller.name
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]

KEY: Final = Depends(_caller)
"""Of a route: where keys are set, only those who have one come further."""


async def _strict(request: Request) -> None:
    """Refuses what the request's first line and headers show to be a mistake, which would else be overlooked.

    Raises:
        InvalidParameter: a query parameter that the route does not have, or any parameter twice.
        UnsupportedMediaType: the body of a POST is encoded.
    """
    dependants = list(_all_dependants(request.scope["route"]))
    known = list(dict.fromkeys(field.alias for each in dependants for field in each.query_params))
    request.state.options = known  # for forms that have them as fields
    sent = Counter(name for name, _ in request.query_params.multi_items())
    for name, times in sent.items():
        if name not in known:
            service: Service = request.app.state.service
            if not service.pool.compares_words:
                known = [each for each in known if each != WORDS_PARAMETER]
            shown, there_are = name[:_LONGEST_NAME], ", ".join(f"`{each}`" for each in known) or "none"
            raise InvalidParameter(
                f"There is no parameter `{shown}` here; there are: {there_are}.", parameter=shown, known=known
            )
        if times > 1:
            raise InvalidParameter(f"`{name}` is given more than once.", parameter=name)
    for header in (field.alias for each in dependants for field in each.header_params):
        if len(request.headers.getlist(header)) > 1:
            raise InvalidParameter(f"The header `{header}` is given more than once.", parameter=header)
    encodings = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    if request.method == "POST" and not {encoding.strip() for encoding in encodings} <= {"", "identity"}:
        raise UnsupportedMediaType(
            "The body has a Content-Encoding, and encoded bodies are not decoded here; send it as it is.",
            reason="encoded-body",
        )


STRICT: Final = Depends(_strict)
"""Of a route: mistakes in its parameters are refused, and not overlooked."""


async def _room(request: Request, service: ServiceDep, caller: CallerDep) -> None:
    service.guard.require(comparison="/compare" in request.scope["route"].path)
    caller.require_budget()
    service.admission.look(_share_of(request, caller))


ROOM: Final = Depends(_room)
"""Of a route: a spent budget or a full queue refuses before the body is read. The connection can be used
again: what comes of the body after the answer is thrown away as it arrives."""


def _presented(headers: Headers) -> list[bytes]:
    """The API keys of a request. Other schemes of authorization may be a proxy's, and are no keys."""
    sent = [header.partition(" ") for header in headers.getlist("authorization")]
    keys = [credentials for scheme, _, credentials in sent if scheme.lower() == "bearer"]
    keys += headers.getlist("x-api-key")
    # As the bytes that came.
    return [key.strip().encode("latin-1") for key in keys]


def _all_dependants(route: APIRoute) -> Iterator[Dependant]:
    """The route's own function and all that it depends on, in the order of its signature."""
    left = [route.dependant]
    while left:
        yield (dependant := left.pop())
        left += reversed(dependant.dependencies)


@dataclass(frozen=True)
class Asked:
    """What a query asks for.

    Attributes:
        models: names of no-reference models.
        words: beyond the 40.
        timeout_s: to start within.
        strict: whether the client named that time, so that it is one for all images of a batch.
        caller: who pays for it.
        asker: who asks, as far as shares are concerned.
        latest: by when it must start in any case, on the clock of ``time.monotonic()``.
        quality_map: whether local quality is wanted too.
        embedding: whether the embedding is wanted too.
        brief: whether the answer is a summary.
        detail_crops: whether tiles at native size are wanted too.
        difference_map: whether it is wanted too where a pair differs.
        measures: names of the published measures of a pair that are wanted too.
        policy: by which a verdict is wanted, if one is.
    """

    models: tuple[str, ...]
    words: tuple[str, ...]
    timeout_s: float
    caller: Caller
    asker: Asker
    strict: bool = False
    latest: float = math.inf
    quality_map: bool = False
    embedding: bool = False
    brief: bool = False
    detail_crops: bool = False
    difference_map: bool = False
    measures: tuple[PublishedName, ...] = ()
    policy: Policy | None = None

    def from_now(self) -> Question:
        """The question, its time beginning to run: the body has arrived."""
        return Question(
            models=self.models,
            words=self.words,
            deadline=min(time.monotonic() + self.timeout_s, self.latest),
            quality_map=answering(self.models) if self.quality_map else None,
            embedding=answering(self.models) if self.embedding else None,
            detail=answering(self.models) if self.detail_crops else None,
            difference_map=self.difference_map,
            measures=self.measures,
            bill=Bill(self.caller),
            asker=self.asker,
        )


_TimeoutHeader = Annotated[
    Annotated[int, Field(ge=1, le=_LONGEST_TIMEOUT_MS)] | SkipJsonSchema[None],
    Header(description="Milliseconds, from the arrival of the body, in which the work must start."),
]


async def _asked_of_no_model(
    request: Request, service: ServiceDep, caller: CallerDep, x_timeout_ms: _TimeoutHeader = None
) -> Asked:
    asker = Asker(_share_of(request, caller))
    return Asked((), (), _timeout_s(service, x_timeout_ms), caller, asker, x_timeout_ms is not None)


AskedOfNoModelDep = Annotated[Asked, Depends(_asked_of_no_model)]
"""What is asked where no model answers."""


async def _asked(
    request: Request,
    service: ServiceDep,
    caller: CallerDep,
    models: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description="No-reference models to ask, separated by commas; by default all that are loaded.",
            examples=["bpclip"],
        ),
    ] = None,
    adjectives: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description=f"Words beyond the 40 to compare with, separated by commas, at most {_MOST_WORDS}; "
            "for weights that carry a text encoder.",
            examples=["moody,cinematic"],
            min_length=1,
            max_length=_LONGEST_LIST,
            json_schema_extra={"pattern": f"^{_WORDS}$"},
        ),
    ] = None,
    x_timeout_ms: _TimeoutHeader = None,
) -> Asked:
    cards = service.loaded().cards
    loaded = tuple(each.name for each in cards if each.name != FULL_REFERENCE)
    chosen = loaded if models is None else _names(models, loaded)
    words = () if adjectives is None else _words(adjectives)
    if words and not any(each.text_encoder for each in cards if each.name in chosen):
        raise TextEncoderMissing(
            "None of the models asked carries a text encoder, so only the 40 adjectives are compared.",
            models=list(chosen),
        )
    timeout_s = _timeout_s(service, x_timeout_ms)
    asker = Asker(_share_of(request, caller))
    return Asked(chosen, words, timeout_s, caller, asker, x_timeout_ms is not None)


def _timeout_s(service: Service, x_timeout_ms: int | None) -> float:
    return service.settings.timeout_s if x_timeout_ms is None else x_timeout_ms / 1000


def _share_of(request: Request, caller: Caller) -> str:
    """Whose share of the service a request uses: its key's, otherwise its address's."""
    if caller.name is not None:
        return f"key {caller.name}"
    return f"address {request.client.host}" if request.client else "nowhere"


AskedDep = Annotated[Asked, Depends(_asked)]


DetailQuery = Annotated[
    Literal["full", "summary"],
    Query(
        description="`summary` leaves out the adjectives, the prompts and whatever else is not acted on: "
        "an answer of about 1 KB."
    ),
]
EmbeddingQuery = Annotated[
    bool,
    Query(
        description="Whether the vector is wanted too that the model of the answer reads its score from: "
        "for finding near duplicates."
    ),
]


PolicyQuery = Annotated[
    str | SkipJsonSchema[None],
    # Which names there are is added to the document, where they are known.
    Query(description="Policy for a verdict; GET /policies lists them.", examples=["upload"]),
]


async def _asked_of_one_model(
    request: Request,
    service: ServiceDep,
    caller: CallerDep,
    models: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description="The no-reference model whose score decides; of several, the one "
            "that POST /score would answer by.",
            examples=["bpclip"],
        ),
    ] = None,
    x_timeout_ms: _TimeoutHeader = None,
) -> Asked:
    asked = await _asked(request, service, caller, models, None, x_timeout_ms)
    return replace(asked, models=(answering(asked.models),))


AskedOfOneModelDep = Annotated[Asked, Depends(_asked_of_one_model)]
"""A question about many images that are compared by their scores."""


async def _asked_of_one(
    service: ServiceDep,
    asked: AskedDep,
    quality_map: Annotated[
        bool, Query(description="Whether local quality is wanted too, by the model of the answer.")
    ] = False,
    detail: DetailQuery = "full",
    embedding: EmbeddingQuery = False,
    detail_crops: Annotated[
        bool,
        Query(
            description="Whether tiles at native size are scored too, by the model of the answer: they show "
            "blur and noise of a pixel's size."
        ),
    ] = False,
    policy: PolicyQuery = None,
) -> Asked:
    chosen = None if policy is None else chosen_policy(policy, service, asked.models)
    return replace(
        asked,
        quality_map=quality_map,
        embedding=embedding,
        brief=detail == "summary",
        detail_crops=detail_crops,
        policy=chosen,
    )


AskedOfOneDep = Annotated[Asked, Depends(_asked_of_one)]
"""Likewise, about single images."""


def _names(models: str, loaded: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip(" ") for name in models.split(",") if name.strip(" ")))
    if not names:
        raise InvalidParameter("`models` names no model.", parameter="models")
    if unknown := [name for name in names if name not in loaded]:
        raise UnknownModel(
            f"No no-reference model {unknown[0][:40]!r} is loaded; there are {', '.join(loaded)}.",
            loaded=list(loaded),
        )
    return names


def _words(adjectives: str) -> tuple[str, ...]:
    if not re.fullmatch(_WORDS, adjectives):
        raise InvalidParameter(
            f"`adjectives` takes 1 to {_MOST_WORDS} words of at most 40 letters, separated by commas.",
            parameter="adjectives",
        )
    return tuple(dict.fromkeys(word.strip(" ") for word in adjectives.split(",")))


def chosen_policy(name: str, service: Service, models: tuple[str, ...], *, compared: bool = False) -> Policy:
    """The policy of that name, for an answer of these models.

    Raises:
        InvalidParameter: there is none, or it cannot be applied.
    """
    try:
        policy = choose(name, service.policies, service.settings.models, models, compared=compared)
        if compared:
            require_grades(policy, card(FULL_REFERENCE, service.loaded()).grades)
    except PolicyRefused as error:
        raise InvalidParameter(str(error), parameter="policy", known=list(error.known)) from error
    return policy


async def while_connected(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`, which is cancelled if the client goes away. The body must have been read.

    Raises:
        ClientGone: it did.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def disconnected(request: Request) -> None:
    """Returns when the client is gone. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
