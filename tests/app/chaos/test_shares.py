"""Clients that take more than their share: what they get is refused, and what others send is answered.

Short forms of attacks that were measured on a whole machine; no time is judged here but that of deadlines.
"""

import contextlib
import hashlib
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.app.files import encoded
from tests.app.running import Server, eventually, metric, running

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


def _decoders(server: Server) -> list[int]:
    (serving,) = server.children("app.server")
    found: list[int] = []

    def all_there() -> bool:
        found[:] = _of_module(serving, b"app.imaging.sandbox")
        return len(found) == _DECODERS

    eventually(all_there)
    return found


def _of_module(parent: int, module: bytes) -> list[int]:
    """Children that were started by any thread of a process."""
    children = [
        pid
        for path in Path(f"/proc/{parent}/task").glob("*/children")
        for pid in map(int, path.read_text().split())
    ]
    return [pid for pid in children if module in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def _stopped(pids: Sequence[int]) -> Iterator[None]:
    """Processes that get no time of a processor while the block runs."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _memfds(server: Server) -> int:
    """Bytes of decoded references, whichever of the processes holds them."""
    (serving,) = server.children("app.server")
    found = {}
    for pid in (serving, *_decoders(server)):
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


def test_thumbnails_do_not_close_the_door(settings: dict[str, str], photo: bytes) -> None:
    thumbnail = encoded(np.full((32, 32, 3), 90, np.uint8), "PNG")
    with running(settings) as (_, client), ThreadPoolExecutor(8) as pool:
        assert client.post("/score", content=photo).status_code == 200
        for _ in range(60):
            assert client.post("/score", content=_different(thumbnail)).status_code == 200
        asked = [pool.submit(client.post, "/score", content=_different(photo)) for _ in range(8)]
        assert _statuses([each.result() for each in asked]) == {200: 8}
        eventually(lambda: metric(client, "iqa_queued_seconds") == 0)


def test_what_clients_leave_behind_is_dropped(settings: dict[str, str], strip: bytes) -> None:
    body = strip + bytes(8_000_000)
    with running(settings) as (server, client):
        assert client.post("/score", content=_different(strip)).status_code == 200
        url = client.base_url
        assert url.port is not None
        head = f"POST /score HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: image/png\r\n"
        (serving,) = server.children("app.server")
        before = _resident(serving)
        with _stopped(_decoders(server)):
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


@pytest.mark.parametrize("path", ["/score", "/compare", "/score/map"])
def test_a_deadline_holds_in_the_line_and_in_a_decoder(
    settings: dict[str, str], photo: bytes, path: str
) -> None:
    with running(settings) as (server, client), ThreadPoolExecutor(6) as pool:

        def ask(_: int) -> httpx.Response:
            headers = {"X-Timeout-Ms": "2000"}
            if path == "/compare":
                files = {"reference": _different(photo), "distorted": _different(photo)}
                return client.post(path, files=files, headers=headers)
            return client.post(path, content=_different(photo), headers=headers)

        with _stopped(_decoders(server)):  # nobody else would ever answer
            answers = list(pool.map(ask, range(6)))
        assert set(_statuses(answers)) <= {504, 429}  # which of them, the measured cost decides
        late = [each for each in answers if each.status_code == 504]
        assert late
        assert all(each.json()["type"] == "/problems/deadline-exceeded" for each in late)
        assert client.post("/score", content=photo).status_code == 200


def test_an_image_is_not_blamed_for_a_decoder_without_a_processor(
    settings: dict[str, str], photo: bytes
) -> None:
    environment = {**settings, "IQA_DECODE_TIMEOUT_S": "0.5", "IQA_TIMEOUT_S": "60"}
    with running(environment) as (server, client), ThreadPoolExecutor(4) as pool:
        with _stopped(_decoders(server)):
            asked = [pool.submit(client.post, "/score", content=_different(photo)) for _ in range(4)]
            time.sleep(2.0)  # four times the limit
            assert not any(each.done() for each in asked)
        assert _statuses([each.result() for each in asked]) == {200: 4}
        assert metric(client, "iqa_decoder_restarts_total") == 0


def test_a_budget_pays_for_what_is_decoded(settings: dict[str, str], strip: bytes) -> None:
    key = "iqa_of_a_small_customer"
    digest = hashlib.sha256(key.encode()).hexdigest()
    environment = {**settings, "IQA_API_KEYS": f"small:{digest}:100000"}
    with running(environment) as (_, client):
        headers = {"X-API-Key": key}
        first, second = (client.post("/score", content=_different(strip), headers=headers) for _ in range(2))
        assert first.status_code == 200
        assert second.status_code == 429
        assert second.json()["type"] == "/problems/rate-limited"
        # A million pixels were in the bucket; the rest of them must fill it again.
        assert 10 <= int(second.headers["Retry-After"]) <= 15
