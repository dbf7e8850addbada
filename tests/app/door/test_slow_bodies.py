"""Clients that are slow or say nothing: good requests are answered beside them, and nothing of them stays."""

import asyncio
import socket

import pytest

from tests.app.door.making import plain
from tests.app.door.watch import open_files, resident_bytes
from tests.app.door.wire import Answers, address_of
from tests.app.running import eventually, metric, running
from tests.benchmarks import slow_bodies
from tests.benchmarks.chaos.clients import Address, Connection, post

pytestmark = pytest.mark.process

_SLOW = 200
_BODY_BYTES = 100_000
_TIMEOUT_S = 3.0
_PATIENCE_S = 30.0
_FEW_FILES = 10  # what is opened when it is first needed; the slow ones would be two hundred
_MOST_GROWTH = _SLOW * _BODY_BYTES
"""Of memory: less than the slow ones announced."""


@pytest.mark.slow
def test_slow_bodies_are_sent_away_and_hold_nobody_up(weights_environment: dict[str, str]) -> None:
    environment = {**weights_environment, "IQA_BODY_TIMEOUT_S": f"{_TIMEOUT_S:g}", "IQA_CACHE_BYTES": "0"}
    with running(environment) as (server, client):
        address, pid = address_of(client.base_url), server.process.pid
        files = open_files(pid)
        asyncio.run(_all(address))  # what pools and allocators keep, they keep from now on
        resident = resident_bytes(pid)
        slow, beside = asyncio.run(_all(address))
        assert beside
        assert set(beside) == {200}
        assert [str(answer) for answer in slow] == ["408 body-timeout"] * _SLOW
        eventually(lambda: _opened(pid, files) < _FEW_FILES, _PATIENCE_S)
        assert resident_bytes(pid) - resident < _MOST_GROWTH
        assert metric(client, "iqa_queued_pixels") == 0
        assert client.get("/readyz").status_code == 200
        assert [entry for entry in server.entries() if entry["level"] == "error"] == []


@pytest.mark.parametrize("sent", [b"", b"POST /score HTTP/1.1\r\nContent-Le"], ids=["nothing", "half a head"])
def test_nobody_is_waited_for_without_end(weights_environment: dict[str, str], sent: bytes) -> None:
    with running({**weights_environment, "IQA_HEAD_TIMEOUT_S": "1"}) as (server, client):
        before = open_files(server.process.pid)
        with socket.create_connection(address_of(client.base_url), timeout=_PATIENCE_S) as connection:
            connection.sendall(sent)
            connection.settimeout(_PATIENCE_S)
            # Whatever is told, in the end the connection is closed.
            while connection.recv(65_536):
                pass
        eventually(lambda: _opened(server.process.pid, before) < _FEW_FILES, _PATIENCE_S)


def test_the_benchmark_counts_right(weights_environment: dict[str, str]) -> None:
    with running({**weights_environment, "IQA_CACHE_BYTES": "0"}) as (_, client):
        measured = asyncio.run(
            slow_bodies.measure(
                address_of(client.base_url), plain(), connections=20, bytes_per_s=100, rounds=1, requests=3
            )
        )
        assert measured.statuses == [200] * 12  # of two halves of two rounds
        assert (len(measured.alone), len(measured.beside)) == (3, 3)
        assert measured.slow_at_once == 20
        assert measured.ratio > 0


def _opened(pid: int, before: dict[int, int]) -> int:
    """Files that are open in any process and were not; a process that is new counts with all of its own."""
    return sum(max(0, count - before.get(process, 0)) for process, count in open_files(pid).items())


async def _all(address: Address) -> tuple[list[object], list[int]]:
    """The answers to the slow ones, and the statuses of good requests for as long as there are slow ones."""
    statuses: list[int] = []
    async with asyncio.timeout(_PATIENCE_S):
        slow = asyncio.gather(*(_slow(address) for _ in range(_SLOW)))
        good = Connection(address)
        while not slow.done():
            statuses.append((await good.ask(post(plain()))).status)
        good.close()
        return await slow, statuses


async def _slow(address: Address) -> object:
    """Sends a byte every now and then until there is an answer."""
    reader, writer = await asyncio.open_connection(*address)
    answers = Answers()
    try:
        writer.write(post(bytes(_BODY_BYTES))[: -_BODY_BYTES + 4000])
        receiving = asyncio.create_task(reader.read(65_536))
        while not answers.complete:
            done, _ = await asyncio.wait({receiving}, timeout=0.25)
            if done:
                if not receiving.result():
                    return "closed"
                answers.feed(receiving.result())
                receiving = asyncio.create_task(reader.read(65_536))
            else:
                writer.write(b"\0")
        receiving.cancel()
        return answers.complete[0]
    finally:
        writer.transport.abort()
