"""Whose turn it is among the images of one request, and until when they wait for it: without a service."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.api.dependencies import Asked
from app.api.many import Window
from app.auth.access import EVERYBODY
from app.errors import DeadlineExceeded
from app.imaging.sandbox.work import Asker
from app.scoring.service import Service

_ASKED = Asked((), (), 0.2, EVERYBODY, Asker("nobody"))


def _window(strict: bool = False) -> Window:
    one_at_a_time: Any = SimpleNamespace(batch_window=lambda: 1)
    return Window(cast(Service, one_at_a_time), replace(_ASKED, strict=strict))


async def _work(window: Window, seconds: float, expired: bool = False) -> str:
    try:
        async with window:
            await asyncio.sleep(seconds)
            if expired:
                raise DeadlineExceeded("late")
    except DeadlineExceeded as error:
        return "late" if str(error) == "late" else "no turn"
    return "done"


def test_images_wait_as_long_as_those_before_them_are_answered() -> None:
    async def told() -> None:
        window = _window()
        works = [_work(window, 0.12) for _ in range(4)]  # the last one waits for 0.36 s
        assert await asyncio.gather(*works) == ["done"] * 4

    asyncio.run(told())


@pytest.mark.parametrize("expired", [True, False])
def test_images_behind_one_that_is_not_answered_in_time_are_dropped(expired: bool) -> None:
    async def told() -> None:
        window = _window()
        works = [_work(window, 0.4, expired), *(_work(window, 0.0) for _ in range(3))]
        first, *others = await asyncio.gather(*works)
        assert first == ("late" if expired else "done")
        assert others == ["no turn"] * 3
        assert await _work(window, 0.0) == "done"

    asyncio.run(told())


def test_a_time_that_the_client_named_is_one_for_all() -> None:
    async def told() -> None:
        window = _window(strict=True)
        works = [asyncio.create_task(_work(window, 0.12)) for _ in range(4)]
        await asyncio.sleep(0)
        window.body_arrived()
        assert window.asked.latest == window.asked.from_now().deadline
        assert await asyncio.gather(*works) == ["done", "done", "no turn", "no turn"]

    asyncio.run(told())
