"""How the service ends, at awkward moments too: it answers what it accepted and leaves nothing behind."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.running import Server, eventually, running
from tests.benchmarks.chaos.clients import Tally, address_of, loading, post

pytestmark = pytest.mark.system

_CLIENTS = 8
_LONG_AGO_S = 3600


def _ended_under_load(settings: dict[str, str], image: bytes, end: Callable[[Server], None]) -> Tally:
    """What became of a load on a server that `end` was done to; the server exited with 0."""
    with running({**settings, "IQA_DRAIN_DELAY_S": "0.2", "IQA_TIMEOUT_S": "120"}) as (server, client):
        with loading(address_of(client.base_url), [post(image)], _CLIENTS) as load:
            eventually(lambda: len(load.answers) > 2 * _CLIENTS)
            end(server)
            code = server.wait()
        assert code == 0, server.log
        assert not list(server.folder.glob("iqa-*"))
    return load


def _kill_worker(server: Server) -> None:
    (worker,) = server.children("app.inference.worker")
    os.kill(worker, signal.SIGKILL)


def _everybody(server: Server, number: signal.Signals) -> None:
    """As systemd does it: each process gets the signal."""
    for child in (*server.children("app.server"), *server.children("app.inference.worker")):
        os.kill(child, number)
    server.signal(number)


def _drain_then_kill_worker(server: Server) -> None:
    server.signal(signal.SIGTERM)
    _kill_worker(server)


def _kill_worker_then_drain(server: Server) -> None:
    _kill_worker(server)
    eventually(lambda: [entry for entry in server.entries() if "ended with code -9" in entry["message"]])
    server.signal(signal.SIGTERM)


@pytest.mark.parametrize(
    "end",
    [
        _drain_then_kill_worker,
        _kill_worker_then_drain,
        lambda server: _everybody(server, signal.SIGTERM),
        lambda server: _everybody(server, signal.SIGINT),
    ],
    ids=["the worker dies while it drains", "it drains without a worker", "SIGTERM to all", "SIGINT to all"],
)
def test_what_was_accepted_is_answered(
    weights_environment: dict[str, str], photo: bytes, end: Callable[[Server], None]
) -> None:
    load = _ended_under_load(weights_environment, photo, end)
    assert load.lost == []
    assert set(load.statuses()) == {200}
    assert load.refused == _CLIENTS  # nobody listens any more


def test_a_signal_before_anything_is_started_ends_it_too(weights_environment: dict[str, str]) -> None:
    server = Server(weights_environment)
    try:
        # From this moment the signal is the supervisor's; it is about to start its first child, so no pause.
        while not _catches(server.process.pid, signal.SIGTERM):
            assert server.process.poll() is None
        server.signal(signal.SIGTERM)
        assert server.wait() == 0, server.log
        assert "Traceback" not in "".join(server.log)
        assert not list(server.folder.glob("iqa-*"))
    finally:
        server.close()


@pytest.mark.parametrize("child", ["app.server", "app.inference.worker"])
def test_a_signal_while_it_starts_ends_it(weights_environment: dict[str, str], child: str) -> None:
    server = Server({**weights_environment, "IQA_HTTP_PROCESSES": "2"})
    try:
        eventually(lambda: server.children(child))
        children = server.children("app.server") + server.children("app.inference.worker")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0, server.log
        assert "Traceback" not in "".join(server.log)
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
        assert not list(server.folder.glob("iqa-*"))
    finally:
        server.close()


def test_the_next_start_clears_up_after_one_that_was_killed(weights_environment: dict[str, str]) -> None:
    with running(weights_environment) as (killed, _):
        children = killed.children("app.server") + killed.children("app.inference.worker")
        (abandoned,) = killed.folder.glob("iqa-*")
        killed.signal(signal.SIGKILL)
        killed.wait()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
        for path in (*abandoned.iterdir(), abandoned):
            os.utime(path, (time.time() - _LONG_AGO_S,) * 2)
        same_place = {**weights_environment, "TMPDIR": str(killed.folder)}
        with running(same_place), running(same_place):
            assert not abandoned.exists()
            # The second one does not touch what belongs to the first.
            assert len(list(killed.folder.glob("iqa-*"))) == 2


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (number - 1) & 1)
