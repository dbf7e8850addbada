"""Clients that take more than their share: what they get is refused, and what others send is answered.

Short forms of attacks that were measured on a whole machine; no time is judged here but that of deadlines.
"""

import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.app.files import encoded
from tests.app.running import Server, eventually, metric, running
from tests.benchmarks.chaos.processes import decoders_of, stopped

pytestmark = pytest.mark.system

_SIDES = (6000, 400)
_PIXELS = _SIDES[0] * _SIDES[1]
_DECODERS = 2


@pytest.fixture
def settings(weights_environment: dict[str, str]) -> dict[str, str]:
    return {**weights_environment, "IQA_DECODE_PROCESSES": str(_DECODERS)}


@pytest.fixture(scope="module")
def strip() -> bytes:
    """2.4 million pixels in a few kilobytes."""
    return encoded(Image.new("RGB", _SIDES, (40, 90, 160)), "PNG", compress_level=9)


def _different(data: bytes) -> bytes:
    return data + os.urandom(8)


def _memfds(server: Server) -> int:
    """Bytes of decoded references, whichever of the processes holds them."""
    (serving,) = server.children("app.server")
    found = {}
    for pid in (serving, *decoders_of(server)):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if "memfd:" in str(descriptor.readlink()):
                    status = descriptor.stat()
                    found[status.st_ino] = status.st_size
    return sum(found.values())


def _statuses(answers: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_many_pairs_keep_to_the_account(settings: dict[str, str], strip: bytes) -> None:
    """A reference is as large as it is decoded, however small its file, and waits for its distorted image."""
    cached, image = 8_000_000, 35 * _PIXELS + 4 * 2**20
    environment = {
        **settings,
        "IQA_MAX_PIXELS": str(_PIXELS),
        "IQA_MAX_BODY_BYTES": str(2**20),
        "IQA_MEMORY_BYTES": str(image + 3 * 3 * _PIXELS),
        "IQA_REFERENCE_CACHE_BYTES": str(cached),
        "IQA_TIMEOUT_S": "120",
    }
    most_memfds = 0
    with running(environment) as (server, client), ThreadPoolExecutor(48) as pool:

        def compare(_: int) -> httpx.Response:
            files = {"reference": _different(strip), "distorted": _different(strip)}
            return client.post("/compare", files=files, timeout=120)

        asked = [pool.submit(compare, number) for number in range(48)]
        while not all(each.done() for each in asked):
            most_memfds = max(most_memfds, _memfds(server))
            time.sleep(0.02)
        answers = [each.result() for each in asked]
        statuses = _statuses(answers)
        assert set(statuses) <= {200, 429}, statuses
        assert statuses[200] >= 1
        assert statuses[429] >= 1
        assert all(int(each.headers["Retry-After"]) >= 1 for each in answers if each.status_code == 429)
        assert 0 < most_memfds <= image + 9 * _PIXELS + cached
        eventually(lambda: metric(client, "iqa_work_bytes") <= cached)
        assert compare(0).status_code == 200  # nothing is left of them


def test_a_flood_of_large_images_fails_no_small_one(
    settings: dict[str, str], strip: bytes, photo: bytes
) -> None:
    environment = {**settings, "IQA_TIMEOUT_S": "60"}
    with running(environment) as (_, client), ThreadPoolExecutor(49) as pool:
        files = [("images", (f"{number}.png", _different(strip), "image/png")) for number in range(32)]
        batch = pool.submit(client.post, "/score/batch", files=files, timeout=120)
        flood = [
            pool.submit(client.post, "/score", content=_different(strip), timeout=120) for _ in range(40)
        ]
        good = []
        while not batch.done() or len(good) < 8:
            good.append(client.post("/score", content=_different(photo)))
        assert _statuses(good) == {200: len(good)}
        assert set(_statuses([each.result() for each in flood])) <= {200, 429}
        assert batch.result().status_code == 200
        assert len(batch.result().text.splitlines()) == 32


def test_what_clients_leave_behind_is_dropped(settings: dict[str, str], strip: bytes) -> None:
    body = strip + bytes(8_000_000)
    with running(settings) as (server, client):
        assert client.post("/score", content=_different(strip)).status_code == 200
        url = client.base_url
        assert url.port is not None
        head = f"POST /score HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: image/png\r\n"
        (serving,) = server.children("app.server")
        before = _resident(serving)
        with stopped(decoders_of(server)):
            for _ in range(40):  # 320 MB
                with socket.create_connection((url.host, url.port), timeout=20) as leaving:
                    leaving.sendall(f"{head}Content-Length: {len(body) + 8}\r\n\r\n".encode())
                    leaving.sendall(_different(body))
                eventually(lambda: metric(client, "iqa_queued_pixels") == 0)
            # The decoders have what they were given before they were stopped, and no more.
            eventually(lambda: metric(client, "iqa_intake_bytes") == 0)
            assert _resident(serving) - before < 120_000_000
        assert client.post("/score", content=_different(strip)).status_code == 200
        eventually(lambda: metric(client, "iqa_work_bytes") == 0)


def _resident(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
