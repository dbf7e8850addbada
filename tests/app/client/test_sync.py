"""The client for Python programs: threads and processes around it, then against running services."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from app.auth.api_keys import ApiKey, digest_of, new_key
from app.client import AsyncClient, Client, ClientError, ImageUnreadable, Problem, Scored, Unreachable
from app.client.retry import Clock
from app.schemas.batch import BatchProblem
from app.schemas.pick import PickedImage, PickGroup
from tests.app.client.answers import JPEG, Service, VirtualClock, problem, scored
from tests.app.files import encoded
from tests.app.running import Server
from tests.photographs import named

_ROOT = Path(__file__).parents[3]
_FOREIGN = {"torch", "fastapi", "starlette", "uvicorn", "zmq", "PIL", "numpy", "pydantic_settings", "typer"}


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "iqa-client"]


def _client(service: Service, **options: float) -> Client:
    return Client(
        "http://iqa.test",
        transport=httpx.MockTransport(service),
        clock=VirtualClock().clock,
        attempts=3,
        **options,  # type: ignore[arg-type]
    )


def _python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.process
def test_it_needs_nothing_of_the_server() -> None:
    loaded = set(_python("import sys, app.client; print(*sys.modules)").split())
    assert "app.client" in loaded
    assert loaded & _FOREIGN == set()
    ours = {name for name in loaded if name.startswith(("app.", "models."))}
    assert {name for name in ours if not name.startswith(("app.client", "app.schemas"))} == {
        "app.version", "models.vocabulary", "models.calibration", "models.faults", "models.grades",
    }  # fmt: skip


def test_any_number_of_threads_share_it() -> None:
    service = Service(lambda request, _: scored(int(request.content) / 100))
    with _client(service) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: client.score(b"%d" % number).score, range(100)))
    assert found == [number / 100 for number in range(100)]
    assert _threads() == []


def test_closed_it_says_so() -> None:
    client = _client(Service.saying(scored()))
    client.score(JPEG)
    client.close()
    client.close()
    with pytest.raises(ClientError, match="closed"):
        client.score(JPEG)
    with pytest.raises(ClientError, match="closed"):
        list(client.score_many([JPEG]))


def test_who_waits_when_it_is_closed_is_told() -> None:
    asked = threading.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    client = Client("http://iqa.test", transport=httpx.MockTransport(never))
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(client.score, JPEG)
        many = pool.submit(lambda: list(client.score_many([JPEG] * 20)))
        assert asked.wait(10)
        client.close()
        for waiting in (one, many):
            with pytest.raises(ClientError, match="closed"):
                waiting.result(10)
    assert _threads() == []


def test_forgotten_it_leaves_no_thread() -> None:
    client = _client(Service.saying(scored()))
    client.score(JPEG)
    assert _threads() != []
    del client
    assert _threads() == []


def test_images_are_taken_in_the_caller_s_thread_and_no_further_ahead_than_asked() -> None:
    threads: set[str] = set()
    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for number in range(100):
            threads.add(threading.current_thread().name)
            taken += 1
            yield b"%d" % number

    found: list[Scored] = []
    with _client(Service.saying(scored())) as client:
        for each in client.score_many(images(), concurrency=4):
            found.append(each)
            assert taken - len(found) <= 4
    assert sorted(each.index for each in found) == list(range(100))
    assert threads == {threading.current_thread().name}


def test_who_leaves_the_loop_leaves_nothing_under_way() -> None:
    service = Service.saying(scored())
    with _client(service) as client:
        for _ in client.score_many(JPEG for _ in range(10_000)):
            break
        assert service.busy == 0
        asked = len(service.requests)
        assert asked < 20
        assert client.score(JPEG).score == 0.5  # and it can be used on
        assert len(service.requests) == asked + 1
    assert _threads() == []


def test_what_ends_the_run_comes_out_of_the_loop() -> None:
    service = Service.saying(problem("unauthorized"))
    with _client(service) as client, pytest.raises(Problem, match="unauthorized"):
        list(client.score_many([JPEG] * 100))
    assert len(service.requests) <= 8


def test_a_file_that_is_not_there() -> None:
    with _client(Service.saying(scored())) as client:
        with pytest.raises(ImageUnreadable, match=r"none\.jpg: There is no such file"):
            client.score("none.jpg")
        with pytest.raises(TypeError, match="bytes"):
            client.score(None)  # type: ignore[arg-type]


_OF_A_PROCESS = """
import os, sys, threading, warnings
import httpx
from app.client import Client
from tests.app.client.answers import JPEG, Service, scored

client = Client("http://iqa.test", transport=httpx.MockTransport(Service.saying(scored())))
print(client.score(JPEG).score, flush=True)
"""


@pytest.mark.process
def test_the_interpreter_ends_with_it() -> None:
    assert _python(_OF_A_PROCESS) == "0.5\n"


@pytest.mark.process
def test_ctrl_c_ends_the_wait() -> None:
    program = """
import asyncio, httpx, signal, threading
from app.client import Client

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job begins with it ignored
main = threading.main_thread().ident

async def never(request):
    if not timers:
        timers.append(threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)))
        timers[0].start()
    await asyncio.Event().wait()

for ask in (lambda client: client.score(b"x"), lambda client: list(client.score_many([b"x"] * 9))):
    timers = []
    client = Client("http://iqa.test", transport=httpx.MockTransport(never))
    try:
        ask(client)
    except KeyboardInterrupt:
        print("interrupted")
"""
    assert _python(program) == "interrupted\ninterrupted\n"


@pytest.mark.process
def test_it_lives_through_a_fork() -> None:
    forking = """
warnings.simplefilter("ignore", DeprecationWarning)  # newer interpreters warn of forks beside threads
child = os.fork()
print(client.score(JPEG).score, len(list(client.score_many([JPEG] * 20))), flush=True)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert _python(_OF_A_PROCESS + forking) == "0.5\n0.5 20\n0.5 20\n"


# Against a running service


@pytest.fixture
def asking(client: httpx.Client) -> Iterator[Client]:
    with Client(str(client.base_url)) as found:
        yield found


@pytest.mark.process
def test_an_image_is_scored_from_bytes_a_path_and_a_file(
    asking: Client, photo: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo)
    answer = asking.score(photo, models="bpclip", quality_map=True, detail_crops=True)
    assert (answer.model, set(answer.models), answer.image.width) == ("bpclip", {"bpclip"}, 451)
    assert answer.quality_map is not None
    assert answer.detail is not None
    assert [(tile.width, tile.height) for tile in answer.detail.tiles] == [(384, 300)]
    with path.open("rb") as file:
        others = [asking.score(image, models=["bpclip"]) for image in (path, str(path), file)]
    for other in others:
        assert other.score == pytest.approx(answer.score, abs=1e-4)
        assert other.image == answer.image


@pytest.mark.process
def test_the_other_questions(asking: Client, photo: bytes) -> None:
    worse = encoded(named()["chelsea"], quality=5)
    assert asking.heat_map(photo, models="bpclip").startswith(b"\x89PNG")
    compared = asking.compare(photo, io.BytesIO(worse))
    assert compared.signal.ssim < 0.99
    brief = asking.summarize_pair(photo, worse)
    assert brief.signal == compared.signal
    assert brief.reference.sha256 == compared.reference.image.sha256
    assert compared.reference.embedding is None
    assert compared.difference_map is None
    assert asking.compare(photo, worse, difference_map=True).difference_map is not None
    assert asking.difference_picture(photo, worse).startswith(b"\x89PNG")
    assert asking.compare(photo, worse, embedding=True).reference.embedding is not None
    smaller = encoded(named()["chelsea"][:200, :300])
    with pytest.raises(Problem, match="size-mismatch"):
        asking.compare(photo, smaller)
    resized = asking.compare(photo, smaller, models="bpclip", resize="reference").resized_from
    assert resized is not None
    assert (resized.width, resized.height) == (300, 200)
    assert {model.name for model in asking.models().models} == {"qualiclip", "bpclip", "bpclip-fr"}


@pytest.mark.process
def test_the_best_of_several(asking: Client, photo: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image")
    answer = asking.pick([photo, path], model="bpclip")  # that service has no room for two photographs
    assert answer.groups == [PickGroup(keep=0, images=[0], reason="No other photograph shows the same.")]
    assert [image.filename for image in answer.images] == ["0", "broken.jpg"]
    first, second = answer.images
    assert isinstance(first, PickedImage)
    assert (first.keep, first.image.width) == (True, 451)
    assert isinstance(second, BatchProblem)
    assert second.status == 415
    with pytest.raises(TypeError, match="Many images are wanted"):
        asking.pick(photo)
    with pytest.raises(Problem, match="malformed-request"):
        asking.pick([photo])


@pytest.mark.process
def test_limits_from_answers(asking: Client, photo: bytes) -> None:
    answer = asking.score(photo)
    found = asking.calibrate([answer] * 49, [answer], reject_at_most=0.05, name="shop")
    assert (len(found.good), len(found.bad), found.fail.kept) == (49, 1, True)
    assert "[shop]" in found.toml
    with pytest.raises(Problem, match="invalid-parameter"):
        asking.calibrate([answer] * 19)
    with pytest.raises(ValueError, match="no scores of qualiclip"):
        asking.calibrate([asking.score(photo, models="bpclip")] * 20, model="qualiclip")


@pytest.mark.process
def test_an_image_is_judged_by_a_policy(asking: Client, photo: bytes) -> None:
    assert "upload" in {policy.name for policy in asking.policies().policies}
    verdict = asking.score(photo, policy="upload").verdict
    assert verdict is not None
    assert verdict.policy == "upload"
    (found,) = asking.score_many([photo], policy="upload")
    assert found.answer is not None
    assert found.answer.verdict == verdict
    assert asking.score(photo).verdict is None
    with pytest.raises(Problem, match="invalid-parameter"):
        asking.score(photo, policy="none")


@pytest.mark.process
def test_problems_of_the_service_are_told(asking: Client) -> None:
    with pytest.raises(Problem) as caught:
        asking.score(b"no image")
    problem = caught.value
    assert (problem.slug, problem.status) == ("unsupported-media-type", 415)
    assert "JPEG" in problem.fields["supported"]
    assert len(problem.request_id) == 32
    with pytest.raises(Problem, match="unknown-model"):
        list(asking.score_many([b"no image"] * 3, models="other"))


def _refusals(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("iqa_requests_total{") and 'slug="overloaded"' in line
    )


@pytest.mark.process
def test_many_are_scored_by_a_service_that_takes_one_at_a_time(client: httpx.Client, photo: bytes) -> None:
    """The queue of the fixture's service is full with one image; every other is refused at first."""
    images = [encoded(named()["chelsea"], quality=quality) for quality in range(60, 72)]
    images[3] = images[3][: len(images[3]) // 2]
    before = _refusals(client)
    with Client(str(client.base_url), attempts=1) as asking:
        found = {each.index: each for each in asking.score_many(images, models="bpclip")}
    assert set(found) == set(range(12))
    assert {index for index, each in found.items() if each.answer is None} == {3}
    assert isinstance(found[3].problem, Problem)
    assert found[3].problem.slug == "invalid-image"
    assert _refusals(client) > before


@pytest.mark.process
def test_coroutines_ask_as_well(client: httpx.Client, photo: bytes) -> None:
    async def ask() -> tuple[float, list[int]]:
        async with AsyncClient(str(client.base_url)) as asking:
            answer = await asking.score(io.BytesIO(photo), models="bpclip")
            many = asking.score_many([photo] * 3, models="bpclip")
            return answer.score, [each.index async for each in many if each.answer]

    score, indices = asyncio.run(ask())
    assert 0 <= score <= 1
    assert sorted(indices) == [0, 1, 2]


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.mark.process
@pytest.mark.slow
def test_nothing_is_lost_when_the_service_starts_late_and_again(weights_environment: dict[str, str]) -> None:
    key = new_key()
    port = _free_port()
    environment = weights_environment | {
        "IQA_PORT": str(port),
        "IQA_API_KEYS": ApiKey("test", digest_of(key.encode())).line(),
    }
    images = [encoded(named()["chelsea"], quality=quality) for quality in range(40, 90)]
    url = f"http://127.0.0.1:{port}"
    servers = [Server(environment)]
    # Chance as it is would make the test wait longer, and now and then much longer.
    clock = Clock(dice=lambda: 0.1)
    try:
        with Client(url, key=key, patience_s=120, attempts=200, clock=clock) as asking:
            assert asking.models().models  # it is not there yet
            found = []
            for each in asking.score_many(images, models="bpclip", concurrency=4):
                found.append(each)
                if len(found) == 5:
                    servers[0].signal(signal.SIGTERM)
                    assert servers[0].wait() == 0
                    servers.append(Server(environment))
        assert [each.problem for each in found if each.problem] == []
        assert sorted(each.index for each in found) == list(range(50))
        with Client(url, key="wrong") as stranger, pytest.raises(Problem) as caught:
            list(stranger.score_many(images))
        assert caught.value.slug == "unauthorized"
    finally:
        for server in servers:
            server.close()
    with Client(url, key=key, attempts=2) as asking, pytest.raises(Unreachable, match="no connection"):
        asking.score(images[0])
