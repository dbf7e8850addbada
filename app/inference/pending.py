"""A job that is not answered yet, as the client keeps it: where it is, and how many workers it outlived."""

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Final

from app.errors import PoisonInput, ServiceError, WorkerUnavailable
from app.inference.protocol import Done, Job

RESTART_S: Final = 5.0
"""What Retry-After says while a worker loads; about a cold start on two cores."""

_SLACK_S: Final = 0.1
"""The worker drops late work itself; the client waits so much longer for it to say so."""
_LONGEST_RUN_S: Final = 240.0
"""What was started and is not answered in this time never will be; longer than the worker's own patience."""
_DEATHS_ALONE: Final = 2
"""At so many deaths of a worker that had only this job on the device, the job is found guilty."""


@dataclass(eq=False)
class Pending:
    """One such job.

    Attributes:
        job: as it will be sent, or was.
        answer: what the caller waits for.
        timeout_s: in which it was to start, in seconds.
        sent: whether the worker has it.
        started_at: when it went to the device, on the clock of ``time.monotonic()``; None before that.
        lost: whether a worker had it and died.
        deaths: of workers that had it on the device.
    """

    job: Job
    answer: asyncio.Future[Done]
    timeout_s: float
    sent: bool = False
    started_at: float | None = None
    lost: bool = False
    deaths: int = 0
    _deaths_alone: int = 0
    _most_deaths: int = 0

    @property
    def to_be_sent(self) -> bool:
        """Whether a worker that is warm should get it now."""
        return not (self.sent or self.answer.done())

    @property
    def given_up_at(self) -> float:
        """When to stop waiting for an answer."""
        if self.started_at is not None:
            return self.started_at + _LONGEST_RUN_S
        return self.job.deadline + _SLACK_S

    def worker_lost(self, now: float) -> None:
        """The worker is gone; the job must be sent again, to the next one."""
        self.lost |= self.sent
        self.sent = False
        if self.started_at is not None:
            self._start_anew(now)

    def aboard_at_death(self, now: float, requests: int) -> None:
        """The job was on the device with `requests` in all, itself included, when the worker ended.

        From now on at most half as many share a batch with it, so that the culprit ends up alone.
        """
        self.deaths += 1
        self._deaths_alone += requests == 1
        # As many halvings as lead from here to one, and the deaths that are allowed there. More cannot happen
        # where companies are respected; the limit ends the retries where they are not.
        self._most_deaths = self._most_deaths or math.ceil(math.log2(requests)) + _DEATHS_ALONE
        if self._deaths_alone >= _DEATHS_ALONE:
            self.fail(PoisonInput("Scored alone, this image ended the inference process twice."))
        elif self.deaths > self._most_deaths:
            self.fail(WorkerUnavailable("The inference process ended repeatedly.", retry_after=RESTART_S))
        company = requests if self.job.company is None else min(requests, self.job.company)
        self.job = replace(self.job, company=math.ceil(company / 2))
        self._start_anew(now)

    def fail(self, error: ServiceError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def close(self) -> None:
        """No caller waits for the answer any more."""
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()  # asyncio would complain of one that is never retrieved

    def _start_anew(self, now: float) -> None:
        # It had started in time; the death of the worker must not make it miss its deadline.
        self.started_at = None
        self.job = replace(self.job, deadline=max(self.job.deadline, now + self.timeout_s))
