"""Parts of a measurement: each keeps to its time, and what it had found is kept."""

import os
import time

import pytest

from tests.benchmarks.gpu.parts import Findings, Part, Setup, run, share

SETUP = Setup("cpu", {"IQA_THREADS": "7"}, (), (), (), 1, 0.1)


def complete(setup: Setup) -> Findings:
    for name in ("first", "second"):
        yield name, {"device": setup.device, "threads": os.environ["IQA_THREADS"]}


def hanging(setup: Setup) -> Findings:
    yield "first", {"device": setup.device}
    time.sleep(600)


def failing(setup: Setup) -> Findings:
    yield "first", {"device": setup.device}
    raise ValueError("The card is\non fire.")


def ending(setup: Setup) -> Findings:
    yield "first", {"device": setup.device}
    os._exit(3)


def part(measure: object, **options: object) -> Part:
    return Part("a part", 1.0, ("first", "second"), measure, SETUP, **options)  # type: ignore[arg-type]


@pytest.mark.process
def test_a_part_measures_in_a_process_with_its_settings() -> None:
    told: list[str] = []
    outcome = run(part(complete), 60.0, told.append)
    assert list(outcome.found) == ["first", "second"]
    assert list(outcome.found.values()) == [{"device": "cpu", "threads": "7"}] * 2
    assert outcome.missing == {}
    assert [each.strip() for each in told] == ["first", "second"]
    assert "IQA_THREADS" not in os.environ


@pytest.mark.process
def test_a_part_whose_time_is_over_is_ended_and_keeps_what_it_had() -> None:
    began = time.monotonic()
    outcome = run(part(hanging), 8.0, str)
    assert time.monotonic() - began < 60
    assert list(outcome.found) == ["first"]
    assert outcome.missing == {"second": "the time of this part was over (8 s)"}


@pytest.mark.process
@pytest.mark.parametrize(
    ("measure", "reason"),
    [(failing, "failed: ValueError: The card is on fire."), (ending, "its process ended")],
)
def test_a_part_that_breaks_says_why(measure: object, reason: str) -> None:
    outcome = run(part(measure), 60.0, str)
    assert list(outcome.found) == ["first"]
    assert outcome.missing == {"second": reason}


def test_without_time_nothing_is_started() -> None:
    outcome = run(part(complete), 1.0, str)
    assert outcome.missing == dict.fromkeys(("first", "second"), "the time of this part was over (1 s)")


def test_what_is_impossible_is_not_started() -> None:
    outcome = run(part(complete, impossible={"first": "needs CUDA", "second": "needs CUDA"}), 60.0, str)
    assert outcome.missing == {"first": "needs CUDA", "second": "needs CUDA"}


def test_shares_of_the_time() -> None:
    parts = [Part("", weight, (), complete, SETUP) for weight in (1.0, 3.0)]
    assert share(parts[0], parts, 8.0) == 2.0
    assert share(parts[1], parts[1:], 7.0) == 7.0
    assert share(parts[1], parts[1:], -1.0) == 0.0
    assert share(parts[0], parts[1:], 7.0) == 0.0
