"""The way of a request through an HTTP process, without a worker: what becomes of it when it goes wrong."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.errors import DeadlineExceeded, InvalidImage, Overloaded, PoisonInput, WorkerUnavailable
from app.imaging.sandbox.pool import Decoders
from app.inference.endpoint import Endpoint
from app.inference.pool import Link
from app.inference.protocol import State
from app.inference.tasks import ModelCard
from app.main import create_app
from app.processes.cgroup import ControlGroup
from app.scoring.memory_guard import MemoryGuard
from app.scoring.requests import Question
from app.scoring.service import Service
from app.settings import Settings
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.app.files import encoded, upload
from tests.app.imaging.sandbox.programs import ON_MARK, held_until, marked, misbehaving
from tests.app.problems import is_problem
from tests.app.running import eventually

pytestmark = pytest.mark.process

_CARDS = tuple(
    ModelCard(
        name=name,
        weights="none",
        sha256="",
        license="",
        source="",
        training_data="",
        accuracy={},
        validated_sides=(32, 1024),
        text_encoder=False,
        prompt_pairs=(),
        temperature=100.0,
        preprocessing=Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=384),
        parameters=1,
    )
    for name in ("bpclip", "bpclip-fr")
)
_STATE = State("", True, "cpu", "float32", 2**21, _CARDS, 0, 0.0, 0)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(Settings(decode_processes=1), [Endpoint(f"ipc://{tmp_path}/nobody", "secret")])
    with TestClient(app) as client:
        app.state.service.pool.state = lambda: _STATE
        yield client


def _service(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def _counted(client: TestClient, slug: str) -> float:
    value = _service(client).metrics._registry.get_sample_value("iqa_rejected_total", {"slug": slug})
    return value or 0.0


def test_poison_is_logged_by_its_digest(
    client: TestClient, photo: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> NoReturn:
        raise PoisonInput

    monkeypatch.setattr(_service(client).pool, "ask", die)
    digest = hashlib.sha256(photo).hexdigest()
    response = client.post("/score", content=photo, headers={"X-Request-ID": "it-was-me"})
    assert is_problem(response, 500, "poison-input")["sha256"] == [digest]
    response = client.post("/compare", files={"reference": photo, "distorted": photo})
    assert is_problem(response, 500, "poison-input")["sha256"] == [digest, digest]
    first, second = [record for record in caplog.records if record.name == "iqa.service"]
    # The handler adds the request's id: tests/app/test_logs.py.
    assert vars(first)["fields"] == {"sha256": [digest]}
    assert first.levelno == second.levelno == logging.ERROR
    assert _service(client).admission.queued_pixels == 0


def test_a_large_image_is_rejected_where_memory_is_short(
    client: TestClient, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reach(*_: object) -> NoReturn:
        raise WorkerUnavailable("It came as far as the worker.", retry_after=1)

    monkeypatch.setattr(_service(client).pool, "ask", reach)
    large = encoded(Image.new("L", (4000, 3001)), "PNG")
    for used, accepted in (("900", [photo]), ("100", [photo, large])):
        for name, text in {"max": "1000", "current": used, "stat": "inactive_file 0"}.items():
            (tmp_path / f"memory.{name}").write_text(f"{text}\n")
        _service(client).guard = MemoryGuard(ControlGroup(tmp_path), None)
        for image in (photo, large):
            response = client.post("/score", content=image)
            if image in accepted:
                is_problem(response, 503, "worker-unavailable")
            else:
                is_problem(response, 429, "overloaded")
                assert response.headers["Retry-After"] == "2"
    assert _service(client).admission.queued_pixels == 0


def test_devices_that_differ_in_precision_share_no_results(
    client: TestClient, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[Hashable] = []

    async def look(key: Hashable, *_: object) -> NoReturn:
        keys.append(key)
        raise WorkerUnavailable("It came as far as the cache.", retry_after=1)

    service = _service(client)
    links = [*service.pool.links, Link(Endpoint(f"ipc://{tmp_path}/nobody", "secret"))]
    monkeypatch.setattr(service.pool, "links", links)
    monkeypatch.setattr(service.results, "get", look)
    float32, bfloat16 = ((("bpclip", precision),) for precision in ("float32", "bfloat16"))
    for first, second in ((float32, float32), (float32, ()), (bfloat16, ()), (float32, bfloat16)):
        links[0].precisions, links[1].precisions = first, second
        client.post("/score", content=photo)
    assert keys[0] == keys[1]  # the other one is still loading
    assert len(set(keys)) == 3


def test_an_image_that_ends_decoders_is_invalid_and_costs_nobody_else(
    photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = misbehaving(f"{ON_MARK}\nif marked:\n    os._exit(1)")

    async def story() -> None:
        service = Service(Settings(), [Endpoint(f"ipc://{tmp_path}/nobody", "secret")])
        service.decoders = Decoders(
            1, service.limits, 20, command=ending, on_restart=service.metrics.decoder_restarts.inc
        )
        await service.open()
        monkeypatch.setattr(service.pool, "state", lambda: _STATE)
        question = Question(("bpclip",), (), time.monotonic() + 60)
        try:
            for question_of in (
                service.score(upload(marked(photo)), question),
                service.compare(upload(photo), upload(marked(photo)), False, question),
            ):
                with pytest.raises(InvalidImage):
                    await question_of
            assert service.metrics._registry.get_sample_value("iqa_decoder_restarts_total") == 4
            assert service.admission.queued_pixels == 0
            assert service.decoders.able
        finally:
            await service.close()

    asyncio.run(story())


def test_what_its_header_makes_too_much_is_refused_before_its_pixels(
    photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = tmp_path / "decoding"
    telling = misbehaving(f"Path({str(decoding)!r}).touch()")

    async def story() -> None:
        service = Service(Settings(queue_pixels=150_000), [Endpoint(f"ipc://{tmp_path}/nobody", "secret")])
        service.decoders = Decoders(1, service.limits, 20, command=telling)
        await service.open()
        monkeypatch.setattr(service.pool, "state", lambda: _STATE)
        question = Question(("bpclip",), (), time.monotonic() + 60)
        try:
            with service.admission.admit(60_000):  # 90,000 are free, and the photograph takes 97,920
                with pytest.raises(Overloaded):
                    await service.score(upload(photo), question)
                with pytest.raises(Overloaded):
                    await service.compare(upload(photo), upload(photo), False, question)
                assert service.admission.queued_pixels == 60_000
            assert not decoding.exists()
        finally:
            await service.close()

    asyncio.run(story())


def test_refusals_are_counted_by_their_reason(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = _service(client)
    is_problem(client.get("/readyz"), 503, "starting")  # asked every second, and nobody's work
    is_problem(client.get("/nowhere"), 404, "not-found")
    response = client.post("/score", content=photo, headers={"X-Timeout-Ms": "3000"})
    is_problem(response, 503, "worker-unavailable")
    service.admission.queued_pixels = 10**9
    is_problem(client.post("/score", content=photo), 429, "overloaded")
    is_problem(client.post("/compare", content=photo), 429, "overloaded")
    service.admission.queued_pixels = 0
    reasons = ("starting", "not-found", "worker-unavailable", "overloaded")
    assert [_counted(client, slug) for slug in reasons] == [0, 0, 1, 2]


def test_who_leaves_is_dropped_at_the_next_step(
    photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is being decoded, one waits for that, and one would be too late: all leave, and nothing stays."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    slowly = misbehaving(f"open({str(begun)!r}, 'a').write('x')\n" + held_until(go))

    async def story() -> None:
        service = Service(Settings(decode_processes=1), [Endpoint(f"ipc://{tmp_path}/nobody", "secret")])
        service.decoders = Decoders(1, service.limits, 20, memory=service.memory, command=slowly)
        await service.open()
        monkeypatch.setattr(service.pool, "state", lambda: _STATE)

        def ask(seconds: float) -> "asyncio.Task[object]":
            return asyncio.create_task(
                service.score(upload(photo), Question(("bpclip",), (), time.monotonic() + seconds))
            )

        try:
            decoding = ask(20)
            await asyncio.to_thread(eventually, begun.exists)
            assert service.admission.queued_pixels == 384 * 255
            queued = ask(20)
            async with asyncio.timeout(20):
                while service.admission.queued_pixels < 2 * 384 * 255:
                    await asyncio.sleep(0.005)
            with pytest.raises(DeadlineExceeded):  # while the decoder is busy
                await ask(0.2)
            assert 0 < service.memory.working_bytes < 4_000_000
            for task in (decoding, queued):
                task.cancel()
            await asyncio.wait([decoding, queued])
            assert service.admission.queued_pixels == 0
            assert service.memory.held_bytes == 0
            go.touch()
            await asyncio.to_thread(eventually, lambda: not service.memory.working_bytes)
            assert service.metrics._registry.get_sample_value("iqa_queued_pixels") == 0
            assert begun.read_text() == "x"  # neither of the others was decoded
            assert not service.pool.links[0]._pending
        finally:
            await service.close()

    asyncio.run(story())
