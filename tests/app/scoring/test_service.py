"""The way of a request through an HTTP process, without a worker: what becomes of it when it goes wrong."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from starlette.testclient import TestClient

from app.errors import DeadlineExceeded, InvalidImage, Overloaded, PoisonInput
from app.imaging.sandbox.pool import Decoders
from app.inference.protocol import State
from app.inference.tasks import ModelCard
from app.main import create_app
from app.scoring.requests import Question
from app.scoring.service import Service
from app.settings import Settings
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.app.files import upload
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
    app = create_app(Settings(), [f"ipc://{tmp_path}/nobody"])
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


def test_an_image_that_ends_decoders_is_invalid_and_costs_nobody_else(
    photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = misbehaving(f"{ON_MARK}\nif marked:\n    os._exit(1)")

    async def story() -> None:
        service = Service(Settings(), [f"ipc://{tmp_path}/nobody"])
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
        service = Service(Settings(queue_pixels=150_000), [f"ipc://{tmp_path}/nobody"])
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
        service = Service(Settings(decode_processes=1), [f"ipc://{tmp_path}/nobody"])
        service.decoders = Decoders(1, service.limits, 20, command=slowly)
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
            queued, late = ask(20), ask(-1)
            async with asyncio.timeout(20):
                while service.admission.queued_pixels < 3 * 384 * 255:
                    await asyncio.sleep(0.005)
            for task in (decoding, queued):
                task.cancel()
            await asyncio.wait([decoding, queued])
            assert 0 < service.admission.queued_pixels < 2 * 384 * 256
            go.touch()
            with pytest.raises(DeadlineExceeded):
                await late
            assert service.admission.queued_pixels == 0
            assert service.metrics._registry.get_sample_value("iqa_queued_pixels") == 0
            assert begun.read_text() == "x"  # neither of the others was decoded
            assert not service.pool.links[0]._pending
        finally:
            await service.close()

    asyncio.run(story())
