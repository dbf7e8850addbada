"""Clients that leave early, and clients that send more than anybody reads."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.app.files import encoded
from tests.app.running import eventually, metric, running
from tests.benchmarks.chaos.clients import Address, Connection, Lost, address_of, loading, post
from tests.photographs import named

pytestmark = pytest.mark.system

_CLIENTS = 12
_RUBBISH_BYTES = 4_000_000  # behind the image: more than the sockets of both sides take


def test_clients_that_go_away_leave_nothing_behind(weights_environment: dict[str, str]) -> None:
    data = encoded(np.tile(named()["coffee"], (2, 2, 1)), "PNG")
    with running(weights_environment) as (server, client):
        for _ in range(10):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{client.base_url}/score", content=data, timeout=httpx.Timeout(5, read=0.005))
        eventually(lambda: metric(client, "iqa_queued_pixels") == 0, 20)
        assert client.post("/score", content=data).status_code == 200
        eventually(lambda: [entry.get("status") for entry in server.entries()].count(499) == 10, 5)
        assert not [entry for entry in server.entries() if entry["level"] == "error"]
        assert Path(f"/proc/{server.children('app.inference.worker')[0]}").exists()


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_refusal_reaches_a_client_that_is_still_sending(
    weights_environment: dict[str, str], photo: bytes, connection: str
) -> None:
    long = post(photo + os.urandom(_RUBBISH_BYTES), Connection=connection)
    with running({**weights_environment, "IQA_QUEUE_PIXELS": "1"}) as (_, client):
        address = address_of(client.base_url)
        with loading(address, [post(photo)], 4) as load:
            eventually(lambda: load.of_status(429))
            outcomes = asyncio.run(_outcomes(address, long))
    assert set(outcomes) <= {"200", "429 overloaded"}, outcomes
    assert outcomes["429 overloaded"]


async def _outcomes(address: Address, request: bytes) -> Counter[str]:
    async def one() -> str:
        connection = Connection(address)
        try:
            answer = await connection.ask(request)
        except Lost as error:
            return str(error)
        finally:
            connection.close()
        return f"{answer.status} {answer.slug}".strip()

    return Counter(await asyncio.gather(*(one() for _ in range(_CLIENTS))))
