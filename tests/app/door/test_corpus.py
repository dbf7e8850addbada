"""The hostile corpus against a real server: every answer is the right one, and nothing stays behind."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.app.door.case import MARK, MOST_BYTES, Case
from tests.app.door.corpus import corpus
from tests.app.door.making import files
from tests.app.door.watch import look
from tests.app.door.wire import Address, Answer, address_of, exchange, post
from tests.app.running import Server, running

_MOST_BYTES_PER_PIXEL = 24
"""Of the largest image that is taken, in all processes together: its pixels as decoded, converted, scaled."""
_MOST_PIXELS = 50_000_000
_MOST_GROWTH = _MOST_BYTES_PER_PIXEL * _MOST_PIXELS
_LONGEST_LINE = 2000
_LEAST_CASES = 120

pytestmark = pytest.mark.slow


@dataclass
class Door:
    """A running service.

    Attributes:
        server: it.
        address: of it.
        scores: of the good photograph, when nothing had happened yet.
        peak_bytes: of all its processes at that time.
        pids: of these.
    """

    server: Server
    address: Address
    scores: dict[str, float]
    peak_bytes: int
    pids: set[int]

    def good(self) -> None:
        """Asserts that the good photograph still has its scores."""
        (answer,) = exchange(self.address, post("/score", files()["PNG"]))
        assert _scores(answer) == pytest.approx(self.scores, abs=1e-5)


@pytest.fixture(scope="module")
def door(weights_environment: dict[str, str]) -> Iterator[Door]:
    environment: dict[str, str | None] = {
        **weights_environment,
        "IQA_MAX_BODY_BYTES": str(MOST_BYTES),
        "IQA_DTYPE": "float32",
        "IQA_CACHE_BYTES": "0",  # every good request is to be computed
    }
    with running(environment) as (server, client):
        address = address_of(client.base_url)
        (answer,) = exchange(address, post("/score", files()["PNG"]))
        seen = look(server.process.pid)
        yield Door(server, address, _scores(answer), seen.peak_bytes, set(seen.peaks))


@pytest.mark.process
@pytest.mark.parametrize("case", corpus().values(), ids=list(corpus()))
def test_every_input_gets_the_right_answer(door: Door, case: Case) -> None:
    answers = exchange(door.address, case.request(), len(case.answers) or 1, hang_up=case.hangs_up)
    assert len(answers) == len(case.answers), [str(answer) for answer in answers]
    for expected, answer in zip(case.answers, answers, strict=True):
        expected.check(answer)
        _is_sound(answer)
        case.further(answer)
    if case.like is not None:
        (like,) = exchange(door.address, post("/score", case.like()))
        assert _scores(answers[-1]) == pytest.approx(_scores(like), abs=1e-4)
    door.good()


@pytest.mark.process
def test_nothing_is_left_of_it(door: Door) -> None:
    door.good()
    seen = look(door.server.process.pid)
    assert set(seen.peaks) == door.pids
    assert seen.peak_bytes - door.peak_bytes < _MOST_GROWTH
    told = {entry["message"] for entry in door.server.entries() if entry["level"] not in ("info", "debug")}
    assert told <= {"Invalid HTTP request received."}
    for line in list(door.server.log):
        assert MARK.decode() not in line
        assert "Traceback" not in line
        assert line.rstrip("\n").isprintable()
        assert len(line) < _LONGEST_LINE, line[:200]


def test_the_corpus_is_large() -> None:
    assert len(corpus()) >= _LEAST_CASES


def _scores(answer: Answer) -> dict[str, float]:
    assert answer.status == 200, answer.body[:300]
    return {name: model["score"] for name, model in answer.json()["models"].items()}


def _is_sound(answer: Answer) -> None:
    """What is true of every answer."""
    if answer.slug == "(bare)":
        return
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    if answer.slug:
        problem = answer.json()
        assert problem["status"] == answer.status
        assert problem["request_id"] == answer.headers["x-request-id"]
        told = f"{problem['title']} {problem['detail']}"
        for word in ("Traceback", "site-packages", "PIL", "0x", "Error", ".py"):
            assert word not in told
