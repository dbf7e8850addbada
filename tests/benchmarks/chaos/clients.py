"""Clients that notice exactly what happens to what they send: HTTP/1.1 over sockets."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

PATIENCE_S: Final = 90.0
"""Whoever waits longer for an answer hangs."""

Address = tuple[str, int]


class Lost(Exception):
    """A request that was sent on an open connection, and to which no whole answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and when its request was begun and its last byte came, by ``time.monotonic()``."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def slug(self) -> str:
        """Of the problem; empty where it is none."""
        if self.headers.get("content-type") != "application/problem+json":
            return ""
        return slug_of(json.loads(self.body))


def slug_of(problem: Mapping[str, Any]) -> str:
    return str(problem["type"]).removeprefix("/problems/")


def address_of(url: Any) -> Address:
    parts = urlsplit(str(url))
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def post(data: bytes, path: str = "/score", **headers: object) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


class Connection:
    """One connection, kept as long as the server keeps it.

    Args:
        address: of the service.
        source: address that it comes from; None for the usual. On Linux, any of 127.0.0.0/8 will do.
    """

    def __init__(self, address: Address, source: str | None = None) -> None:
        self._address = address
        self._source = None if source is None else (source, 0)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Sends a request and waits for its answer.

        Raises:
            ConnectionRefusedError: nobody listens.
            Lost: somebody does, and no whole answer came.
        """
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # the server closed it while it was idle, as it may
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(*self._address, local_addr=self._source)
                reader, writer = self._streams
                writer.write(request)
                await writer.drain()
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers["content-length"]))
        except ConnectionRefusedError:
            raise
        except (OSError, EOFError) as error:
            self.close()
            why = "hangs" if isinstance(error, TimeoutError) else "was cut off"
            raise Lost(f"a request {why}") from error
        ended = time.monotonic()
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split(" ")[1]), headers, body, began, ended)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Tally:
    """What came of a load so far; grows while it goes on."""

    answers: list[tuple[int, Answer]] = field(default_factory=list)  # with the number of the request
    lost: list[str] = field(default_factory=list)
    lost_begun: list[float] = field(default_factory=list)  # when, by ``time.monotonic()``; in the same order
    refused: int = 0  # connections, which ends their client

    def scores(self) -> list[tuple[int, float]]:
        return [(which, json.loads(answer.body)["score"]) for which, answer in self.of_status(200)]

    def of_status(self, status: int) -> list[tuple[int, Answer]]:
        return [(which, answer) for which, answer in list(self.answers) if answer.status == status]

    def statuses(self) -> list[int]:
        return [answer.status for _, answer in list(self.answers)]


@contextmanager
def loading(
    address: Address, requests: Sequence[bytes], clients: int, keep_alive: bool = True
) -> Iterator[Tally]:
    """A closed loop of clients that send these requests in turn, from a thread, while the block runs.

    What is under way at its end is waited for. A client that is told to come later does; one whose connection
    is refused goes home.
    """
    tally = Tally()
    stopped = threading.Event()

    async def client(number: int) -> None:
        connection = Connection(address)
        which = number
        while not stopped.is_set():
            which = (which + 1) % len(requests)
            began = time.monotonic()
            try:
                answer = await connection.ask(requests[which])
            except ConnectionRefusedError:
                tally.refused += 1
                break
            except Lost as error:
                tally.lost.append(str(error))
                tally.lost_begun.append(began)
                continue
            tally.answers.append((which, answer))
            if not keep_alive:
                connection.close()
            if answer.status == 429:
                await asyncio.sleep(min(1.0, float(answer.headers.get("retry-after", 1))))
        connection.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(client(number) for number in range(clients)))

    with ThreadPoolExecutor(1, "load") as pool:
        load = pool.submit(lambda: asyncio.run(all_of_them()))
        try:
            yield tally
        finally:
            stopped.set()
            load.result()
