"""A site on loopback that answers as a test wants, and counts who comes."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(place: str) -> bytes:
    return answer(status="302 Found", Location=place)


@dataclass
class Site:
    """What it answers by path, and what was asked.

    Attributes:
        pages: whole answers, or functions that write one.
        heads: of the requests that came.
        connections: how often somebody connected.
    """

    pages: dict[str, bytes | Callable[[asyncio.StreamWriter], object]] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    host: str = ""
    port: int = 0

    def url(self, path: str, host: str | None = None, scheme: str = "http") -> str:
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                self.heads.append(head)
                page = self.pages.get(head.split(" ")[1], answer(status="404 Not Found"))
                if isinstance(page, bytes):
                    writer.write(page)
                else:
                    await page(writer)  # type: ignore[misc]
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            writer.close()


@asynccontextmanager
async def open_site(
    host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Site]:
    """A site that is served while the block runs."""
    site = Site(host=host)
    server = await asyncio.start_server(site.serve, host, port, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()


@contextmanager
def standing_site() -> Iterator[Site]:
    """A site that a thread serves."""
    opened = threading.Event()
    found: list[tuple[Site, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async with open_site() as site:
            over = asyncio.Event()
            found.append((site, asyncio.get_running_loop(), over))
            opened.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert opened.wait(30)
    site, loop, over = found[0]
    try:
        yield site
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
