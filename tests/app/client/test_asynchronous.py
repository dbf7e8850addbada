"""The client against a service that answers as the test wants, on a clock that does not wait."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.client import connection
from app.client.asynchronous import AsyncClient, Scored
from app.client.errors import (
    ClientError,
    ImageUnreadable,
    Misunderstood,
    Problem,
    Unreachable,
    Untrusted,
)
from app.schemas.score import ScoreAnswer
from tests.app.client.answers import JPEG, KEY, Service, VirtualClock, bare, problem, scored

_BROKEN = httpx.ReadError("gone")


def _ask(service: Service, clock: VirtualClock, image: Any = JPEG, **options: Any) -> ScoreAnswer:
    async def ask() -> ScoreAnswer:
        async with service.client(clock, **options) as client:
            return await client.score(image)

    return asyncio.run(ask())


def _fails(service: Service, clock: VirtualClock, **options: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        _ask(service, clock, **options)
    return caught.value


@pytest.mark.parametrize(
    "passing",
    [
        problem("overloaded", 2),
        problem("rate-limited", 2),
        problem("starting", 2),
        problem("draining", 2),
        problem("worker-unavailable", 2),
        problem("deadline-exceeded"),
        problem("body-timeout"),
        bare(502),
        bare(503),
        bare(504),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("closed"),
        httpx.WriteError("closed"),
        _BROKEN,
    ],
    ids=lambda answer: answer.headers.get("x-request-id") if isinstance(answer, httpx.Response) else None,
)
def test_what_passes_is_asked_again_with_the_same_bytes(passing: httpx.Response | Exception) -> None:
    service, clock = Service.saying(passing, passing, scored(0.7)), VirtualClock()
    assert _ask(service, clock, io.BytesIO(JPEG)).score == 0.7
    assert service.bodies == [JPEG] * 3
    assert len({request.headers["x-request-id"] for request in service.requests}) == 1
    assert len(clock.slept) == 2
    least = 2.0 if isinstance(passing, httpx.Response) and "retry-after" in passing.headers else 0.05
    assert min(clock.slept) >= least


@pytest.mark.parametrize(
    "slug",
    [
        "malformed-request",
        "unauthorized",
        "not-found",
        "body-too-large",
        "unsupported-media-type",
        "invalid-image",
        "image-too-small",
        "invalid-parameter",
        "internal-error",
        "poison-input",
    ],
)
def test_what_does_not_pass_is_asked_once(slug: str) -> None:
    service, clock = Service.saying(problem(slug)), VirtualClock()
    failure = _fails(service, clock)
    assert isinstance(failure, Problem)
    assert (failure.slug, len(service.requests), clock.slept) == (slug, 1, [])


def test_attempts_are_the_most_there_are() -> None:
    service, clock = Service.saying(problem("overloaded", 1)), VirtualClock()
    assert isinstance(_fails(service, clock, attempts=4), Problem)
    assert len(service.requests) == 4


def test_patience_has_an_end() -> None:
    service, clock = Service.saying(httpx.ConnectError("refused")), VirtualClock(0.9)
    failure = _fails(service, clock, attempts=1000, patience_s=60.0)
    assert type(failure) is Unreachable
    assert "no connection to http://iqa.test" in str(failure)
    assert 40 <= sum(clock.slept) <= 60
    assert len(service.requests) < 20


def test_who_is_to_come_much_later_is_told_at_once() -> None:
    service, clock = Service.saying(problem("rate-limited", 3000)), VirtualClock()
    failure = _fails(service, clock)
    assert isinstance(failure, Problem)
    assert (failure.retry_after, clock.slept) == (3000.0, [])


def test_a_deadline_is_sent_and_what_missed_it_is_not_asked_again() -> None:
    service, clock = Service.saying(problem("deadline-exceeded")), VirtualClock()
    failure = _fails(service, clock, deadline_s=1.5)
    assert isinstance(failure, Problem)
    assert failure.slug == "deadline-exceeded"
    assert [request.headers["x-timeout-ms"] for request in service.requests] == ["1500"]


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        transport = httpx.MockTransport(never)
        async with AsyncClient("http://iqa.test", transport=transport, timeout_s=0.05, attempts=1) as client:
            await client.score(JPEG)

    with pytest.raises(Unreachable, match=r"within 0\.05 s"):
        asyncio.run(ask())


def test_a_certificate_that_is_not_trusted_is_tried_once() -> None:
    distrusted = httpx.ConnectError("no")
    distrusted.__cause__ = ssl.SSLCertVerificationError("self-signed")
    service, clock = Service.saying(distrusted), VirtualClock()
    assert isinstance(_fails(service, clock), Untrusted)
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_key_goes_to_the_service_alone(status: int) -> None:
    service = Service.saying(bare(status, Location="https://other.test/v1/score"))
    failure = _fails(service, VirtualClock(), key=KEY)
    assert "other.test" in str(failure)
    assert [request.url.host for request in service.requests] == ["iqa.test"]
    assert service.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("answer", [problem("unauthorized"), bare(403), _BROKEN, httpx.Response(200)])
def test_the_key_is_never_shown(answer: httpx.Response | Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    service = Service.saying(answer)
    client = service.client(VirtualClock(), key=KEY, attempts=1)

    async def ask() -> None:
        async with client:
            await client.score(JPEG)

    with pytest.raises(ClientError) as caught:
        asyncio.run(ask())
    told = f"{client!r} {client} {caught.value!r} {caught.value} {vars(caught.value)} {caplog.text}"
    assert "iqa.test" in told
    assert KEY not in told


def test_an_answer_without_end_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_ANSWER_BYTES", 10_000)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=endless()))

    async def ask() -> None:
        async with AsyncClient("http://iqa.test", transport=transport) as client:
            await client.heat_map(JPEG)

    with pytest.raises(Misunderstood, match="10000 bytes"):
        asyncio.run(ask())


def test_proxies_of_the_environment_are_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.test:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    sent: list[bytes] = []

    def unopened(self: httpx.AsyncHTTPTransport, **options: Any) -> None:
        sent.append(b"direct" if options.get("proxy") is None else options["proxy"].url.raw_host)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "__init__", unopened)
    for url in (
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://[::1]:8000",
        "http://iqa.localhost",
    ):
        AsyncClient(url)
    assert set(sent) == {b"direct"}
    AsyncClient("http://iqa.test:8000")
    assert b"proxy.test" in sent


def test_the_path_of_an_address_stays_before_the_routes() -> None:
    service = Service.saying(scored())
    _ask(service, VirtualClock())
    assert service.requests[0].url == "http://iqa.test/prefix/v1/score"


@pytest.mark.parametrize(
    "wrong", [{"timeout_s": 0}, {"deadline_s": 0}, {"most_bytes": 0}, {"attempts": 0}, {"patience_s": -1}]
)
def test_arguments_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Service.saying(scored()).client(VirtualClock(), **wrong)


# Many images


def _image(number: int) -> bytes:
    return b"%06d" % number


def _number(request: httpx.Request) -> int:
    return int(request.content or b"-1")


def _many(
    service: Service, clock: VirtualClock, images: Any, concurrency: int = 8, **options: Any
) -> list[Scored]:
    async def ask() -> list[Scored]:
        async with service.client(clock, **options) as client:
            found = [each async for each in client.score_many(images, concurrency=concurrency)]
        assert len(asyncio.all_tasks()) == 1
        return found

    return asyncio.run(ask())


def _ended_by(service: Service, clock: VirtualClock, count: int = 1000, **options: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        _many(service, clock, (_image(number) for number in range(count)), **options)
    return caught.value


def test_every_image_is_scored_once_and_no_more_are_held_than_asked_for() -> None:
    service = Service(lambda request, _: scored(_number(request) / 1000))
    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for number in range(200):
            taken += 1
            yield _image(number)

    async def ask() -> list[Scored]:
        found: list[Scored] = []
        async with service.client(VirtualClock()) as client:
            async for each in client.score_many(images(), concurrency=5):
                found.append(each)
                assert taken - len(found) <= 5
        return found

    found = asyncio.run(ask())
    assert sorted(each.index for each in found) == list(range(200))
    assert all(each.answer and each.answer.score == each.index / 1000 for each in found)
    assert all(each.image == _image(each.index) for each in found)
    assert len(service.requests) == 200


def test_a_failure_of_one_is_its_own_and_holds_nothing() -> None:
    def answer(request: httpx.Request, _: int) -> httpx.Response:
        return problem("invalid-image") if _number(request) == 3 else scored()

    service = Service(answer)
    images = [_image(0), "/no/such/file.jpg", _image(2), _image(3), io.BytesIO(), _image(5)]
    found = {each.index: each for each in _many(service, VirtualClock(), images)}
    assert {index for index, each in found.items() if each.answer} == {0, 2, 5}
    assert isinstance(found[1].problem, ImageUnreadable)
    assert isinstance(found[3].problem, Problem)
    assert isinstance(found[4].problem, ImageUnreadable)
    for index in (1, 3, 4):
        error = found[index].problem
        assert error is not None
        assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


@pytest.mark.parametrize(
    "answer",
    [
        problem("unauthorized"),
        problem("invalid-parameter"),
        problem("unknown-model"),
        problem("not-found"),
        bare(302, Location="/elsewhere"),
        bare(403),
        httpx.Response(200, text="Welcome!"),
    ],
)
def test_what_concerns_all_images_ends_the_run(answer: httpx.Response) -> None:
    service = Service.saying(answer)
    _ended_by(service, VirtualClock(), concurrency=4)
    assert len(service.requests) <= 4


def test_a_service_that_is_gone_is_not_asked_for_every_image() -> None:
    gone = httpx.ConnectError("refused")
    service = Service(lambda request, number: scored() if number < 100 else gone)
    clock = VirtualClock()
    assert isinstance(_ended_by(service, clock), Unreachable)
    assert len(service.requests) < 150
    assert clock.time - 1000 <= 60 + 1


def test_a_service_that_comes_back_has_cost_nothing() -> None:
    clock = VirtualClock()

    def answer(request: httpx.Request, number: int) -> httpx.Response | Exception:
        if 50 <= number < 54:
            return _BROKEN
        return httpx.ConnectError("refused") if number > 50 and clock.time < 1040 else scored()

    found = _many(Service(answer), clock, map(_image, range(300)), attempts=2)
    assert sorted(each.index for each in found if each.answer) == list(range(300))


@pytest.mark.parametrize("slug", ["overloaded", "rate-limited"])
def test_a_full_service_loses_no_image(slug: str) -> None:
    """It takes one image at a time, and each refusal would be an image's last attempt."""
    clock = VirtualClock()
    refusals = 0

    def answer(request: httpx.Request, _: int) -> httpx.Response:
        nonlocal refusals
        if service.busy > 1:
            refusals += 1
            return problem(slug, 2)
        return scored()

    service = Service(answer)
    found = _many(service, clock, map(_image, range(200)), attempts=1)
    assert sorted(each.index for each in found if each.answer) == list(range(200))
    assert 7 <= refusals < 40
    assert all(wait <= 2.6 for wait in clock.slept)


def test_an_image_that_breaks_its_connection_is_its_own_problem() -> None:
    service = Service(lambda request, _: _BROKEN if _number(request) == 20 else scored())
    found = _many(service, VirtualClock(), map(_image, range(200)), attempts=3)
    assert [each.index for each in found if each.answer is None] == [20]
    assert service.bodies.count(_image(20)) == 3


def test_that_holds_also_where_no_other_is_under_way() -> None:
    def answer(request: httpx.Request, _: int) -> httpx.Response | Exception:
        return _BROKEN if _number(request) == 20 else scored()

    found = _many(Service(answer), VirtualClock(), map(_image, range(40)), concurrency=1, attempts=3)
    assert [each.index for each in found] == list(range(40))
    assert [each.index for each in found if each.answer is None] == [20]


_ANYTHING = st.sampled_from(
    [
        scored(),
        scored(),
        problem("invalid-image"),
        problem("overloaded", 1),
        problem("rate-limited", 3),
        problem("starting", 2),
        problem("deadline-exceeded"),
        bare(502),
        _BROKEN,
        httpx.ConnectError("refused"),
    ]
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(_ANYTHING, max_size=60), st.integers(1, 12), st.integers(1, 3))
def test_whatever_the_service_does_each_image_comes_back_once(
    answers: list[httpx.Response | Exception], concurrency: int, attempts: int
) -> None:
    """And none is given up without a failure that was its own."""
    failed: dict[bytes, int] = {}

    def answer(request: httpx.Request, number: int) -> httpx.Response | Exception:
        said = answers[number] if number < len(answers) else scored()
        if isinstance(said, Exception) or said.status_code != 200:
            failed[request.content] = failed.get(request.content, 0) + 1
        return said

    found = _many(
        Service(answer),
        VirtualClock(),
        map(_image, range(40)),
        concurrency,
        attempts=attempts,
        patience_s=10_000,
    )
    assert sorted(each.index for each in found) == list(range(40))
    for each in found:
        if each.problem is not None:
            damaged = isinstance(each.problem, Problem) and each.problem.slug == "invalid-image"
            assert damaged or failed[_image(each.index)] >= attempts


def test_who_leaves_early_leaves_no_task() -> None:
    service = Service(lambda request, _: scored())

    async def ask() -> None:
        async with (
            service.client(VirtualClock()) as client,
            aclosing(client.score_many(map(_image, range(10_000)))) as answers,
        ):
            async for _ in answers:
                break
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(ask())
    assert len(service.requests) < 20


def test_what_the_images_raise_ends_the_run() -> None:
    def images() -> Iterator[bytes]:
        yield JPEG
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _many(Service.saying(scored()), VirtualClock(), images())


@pytest.mark.parametrize("image", ["photos", b"one", Path("photos")])
def test_one_image_is_not_taken_for_many(image: Any) -> None:
    client = Service.saying(scored()).client(VirtualClock())
    with pytest.raises(TypeError, match="Many images"):
        client.score_many(image)


@pytest.mark.parametrize("concurrency", [0, -1, 1025])
def test_a_concurrency_out_of_range_is_refused_at_once(concurrency: int) -> None:
    client = Service.saying(scored()).client(VirtualClock())
    with pytest.raises(ValueError, match="concurrency"):
        client.score_many([], concurrency=concurrency)
