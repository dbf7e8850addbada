"""Small files that are large images, requests that carry them, and what the service holds because of them."""

import asyncio
import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from tests.app.files import encoded
from tests.app.running import Server
from tests.benchmarks.chaos.clients import Address, Connection, Lost, post, slug_of

_BOUNDARY = "a-boundary-of-the-stories"
_UNIQUE_BYTES = 8


def large_image(width: int, height: int) -> bytes:
    """A PNG file of one color: some three kilobytes for a million pixels."""
    return encoded(Image.new("RGB", (width, height), (40, 90, 160)), "PNG", compress_level=9)


def unique(image: bytes) -> bytes:
    """The same image as a different file, which no cache knows."""
    return image + os.urandom(_UNIQUE_BYTES)


def form(path: str, files: Iterable[tuple[str, bytes]], **headers: object) -> bytes:
    """A request with files, each with the name of its field."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="a"\r\n\r\n%b\r\n'
        % (_BOUNDARY.encode(), field.encode(), data)
        for field, data in files
    ]
    body = b"".join([*parts, b"--%b--\r\n" % _BOUNDARY.encode()])
    return post(body, path, Content_Type=f"multipart/form-data; boundary={_BOUNDARY}", **headers)


def pair(image: bytes) -> bytes:
    """A comparison of an image with itself, as two files."""
    return form("/compare", [("reference", unique(image)), ("distorted", unique(image))])


def batch(image: bytes, files: int, **headers: object) -> bytes:
    """A batch of so many files of an image."""
    images = [("images", unique(image)) for _ in range(files)]
    return form("/score/batch", images, Connection="close", **headers)


async def all_at_once(address: Address, requests: Iterable[bytes]) -> Counter[str]:
    """The statuses of requests that are sent at once, each on its own connection, and their problems."""

    async def one(request: bytes) -> str:
        connection = Connection(address)
        try:
            answer = await connection.ask(request)
        except (Lost, OSError) as error:
            return str(error)
        finally:
            connection.close()
        return f"{answer.status} {answer.slug}".rstrip()

    return Counter(await asyncio.gather(*map(one, requests)))


async def lines_of(address: Address, request: bytes) -> list[bytes]:
    """The lines of a batch's answer; nothing where it has none."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        answer = await reader.read()
    except OSError:
        return []
    finally:
        writer.transport.abort()
    return [line[line.index(b"{") :] for line in answer.splitlines() if line.startswith(b'{"index"')]


def status_of_line(line: bytes) -> str:
    """The status of a line of a batch's answer, with its problem."""
    said = json.loads(line)
    return f"{said['status']} {slug_of(said)}" if "status" in said else "200"


def memory_bytes(server: Server) -> int:
    """What all processes of a service hold together, decoded references in no process's memory included."""
    processes = list(_descendants(server.process.pid))
    return sum(map(_proportional, processes)) + sum(_unmapped(processes).values())


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                yield from _descendants(int(child))


def _proportional(pid: int) -> int:
    """Resident bytes, each page divided by the processes that share it; without memory files."""
    sizes = dict.fromkeys(("Pss", "Pss_Shmem"), 0)
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, value, *_ = line.split()
            if (name := name.rstrip(":")) in sizes:
                sizes[name] = 1024 * int(value)
    return sizes["Pss"] - sizes["Pss_Shmem"]


def _unmapped(pids: Iterable[int]) -> dict[int, int]:
    """The bytes of memory files by their number, mapped or not, whoever has them open."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if "memfd:" in str(descriptor.readlink()):
                        status = descriptor.stat()
                        found[status.st_ino] = 512 * status.st_blocks
    return found
