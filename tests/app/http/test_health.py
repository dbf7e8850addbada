"""How long a process that is not able to work is worth keeping."""

import pytest

from app.errors import WorkerUnavailable
from app.http.health import Liveness
from app.settings import Settings


class World:
    """A clock, and a service on it.

    Attributes:
        now: in seconds.
        able: whether the service can work.
    """

    now = 0.0
    able = False

    def health(self, **settings: float) -> Liveness:
        return Liveness(lambda: self.able, Settings(**settings), lambda: self.now)


def test_a_process_is_kept_for_a_time_after_it_was_able() -> None:
    world = World()
    health = world.health(start_timeout_s=100, unready_exit_s=30)
    world.now = 130.0  # the models may take long
    health.require()
    world.now = 130.1
    with pytest.raises(WorkerUnavailable):
        health.require()
    world.able = True
    health.require()
    world.able = False
    world.now = 160.0
    assert not health.look()
    health.require()
    world.now = 160.2
    with pytest.raises(WorkerUnavailable):
        health.require()


def test_the_limit_can_be_turned_off() -> None:
    world = World()
    health = world.health(unready_exit_s=0)
    world.now = 1e9
    health.require()
