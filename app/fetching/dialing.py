"""Connections to addresses that were judged: a name is resolved once, and nothing else is dialed."""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpcore

from app.errors import FetchFailed, FetchNotAllowed
from app.fetching.addresses import Address
from app.fetching.allowed import Allowed

Resolve = Callable[[str], Awaitable[Sequence[Address]]]
"""The addresses of a host's name, in the order in which they are to be tried."""

_MOST_TRIED: Final = 4
_RESOLVING: Final = 8
"""Threads in which names are resolved: they cannot be interrupted, and are not to hold up anything else."""


class SystemResolver:
    """The machine's own resolver, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVING, "resolve")

    async def __call__(self, host: str) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            raise FetchFailed("The host's name cannot be resolved.") from error
        return [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class JudgedBackend(httpcore.AsyncNetworkBackend):
    """httpcore's way to the network, which resolves and judges what it dials.

    Args:
        allowed: judges addresses.
        resolve: names.
    """

    def __init__(self, allowed: Allowed, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises:
        FetchNotAllowed: one of the host's addresses is neither public nor named, so none is dialed.
        FetchFailed: the name cannot be resolved.
        httpcore.ConnectError, httpcore.ConnectTimeout: no address answers.
        """
        addresses = list(dict.fromkeys(await self._addresses(host)))
        if not addresses:
            raise FetchFailed("The host's name has no address.")
        if not all(map(self._allowed.may_dial, addresses)):
            raise FetchNotAllowed("The host's address is not a public one.")
        limit = None if timeout is None else time.monotonic() + timeout
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        tried = addresses[:_MOST_TRIED]
        for left, address in zip(range(len(tried), 0, -1), tried, strict=True):
            share = None if limit is None else max(0.0, limit - time.monotonic()) / left
            try:
                return await self._network.connect_tcp(
                    str(address), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise FetchNotAllowed("Sockets of this machine are not dialed.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str) -> Sequence[Address]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            return await self._resolve(host)


def trust() -> ssl.SSLContext:
    """The authorities of the machine (or of SSL_CERT_FILE) and of certifi, whichever there are."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
