"""What a job goes through when workers die with it on the device."""

import asyncio
import math

import pytest

from app.errors import PoisonInput, WorkerUnavailable
from app.inference.pending import Pending
from app.inference.protocol import Job


def _pending(loop: asyncio.AbstractEventLoop) -> Pending:
    return Pending(Job(1, 100.0, 1024, ()), loop.create_future(), 30.0, sent=True)


@pytest.mark.parametrize("requests", range(1, 40))
def test_its_company_is_halved_until_it_stands_alone(requests: int) -> None:
    with asyncio.Runner() as runner:
        pending = _pending(runner.get_loop())
        companies = []
        aboard = requests
        while not pending.answer.done():
            pending.worker_lost(1.0)
            pending.aboard_at_death(1.0, aboard)
            assert pending.job.company is not None
            aboard = pending.job.company
            companies.append(aboard)
        assert companies[: len(companies) - 2] == sorted(companies[: len(companies) - 2], reverse=True)
        assert all(2 * now >= before for before, now in zip([requests, *companies], companies, strict=False))
        assert companies[-2:] == [1, 1]
        assert pending.deaths == math.ceil(math.log2(requests)) + 2
        assert isinstance(pending.answer.exception(), PoisonInput)


def test_it_does_not_go_round_for_ever() -> None:
    with asyncio.Runner() as runner:
        pending = _pending(runner.get_loop())
        for death in range(1, 7):
            assert not pending.answer.done()
            pending.aboard_at_death(1.0, 8)  # as if nobody cared for its company
            assert pending.deaths == death
        assert isinstance(pending.answer.exception(), WorkerUnavailable)


def test_smaller_company_than_allowed_counts() -> None:
    with asyncio.Runner() as runner:
        pending = _pending(runner.get_loop())
        companies = []
        for requests in (32, 3, 2):
            pending.aboard_at_death(1.0, requests)
            companies.append(pending.job.company)
        assert companies == [16, 2, 1]
        pending.close()


def test_time_begins_anew_for_what_had_started() -> None:
    with asyncio.Runner() as runner:
        pending = _pending(runner.get_loop())
        assert pending.given_up_at == pytest.approx(100.1)
        pending.started_at = 99.0
        assert pending.given_up_at == 99.0 + 240.0
        pending.worker_lost(150.0)
        assert (pending.sent, pending.lost, pending.to_be_sent, pending.started_at) == (
            False, True, True, None
        )  # fmt: skip
        assert pending.job.deadline == 180.0
        # Whoever only waited has the time that is left.
        waited = _pending(runner.get_loop())
        waited.worker_lost(150.0)
        assert (waited.job.deadline, waited.job.company, waited.deaths) == (100.0, None, 0)
        pending.close()
        waited.close()
        assert not waited.to_be_sent
