"""Each kind of process is stopped, at work and while it starts, and the private folder is deleted.

The service must answer new clients again within thirty seconds. Figures: how long that takes.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

import httpx

from tests.app.running import Server, eventually, running
from tests.benchmarks.chaos.processes import decoders_of, tell_all
from tests.benchmarks.chaos.story import Environment, Story, arguments, play_chosen

HTTP, WORKER = "app.server", "app.inference.worker"
_READY_S = 30.0
_PATIENCE_S = 90.0
_CALM_S = 2.0
_LOOK_S = 0.05


def tell(
    story: Story, environment: Environment, image: bytes, *, harms: tuple[str, ...] = (), judged: bool = True
) -> None:
    """Does each of the harms (all by default), and judges when the service is whole again if `judged`."""
    for name in harms or tuple(HARMS):
        processes = "2" if name == "folder deleted, two HTTP processes" else "1"
        with running({**environment, "IQA_HTTP_PROCESSES": processes}) as (server, client):
            seconds = _harm(story, server, client, image, name)
            story.figure(name, f"{seconds:.1f} s")
            story.expect(not judged or seconds <= _READY_S, f"{name}: it took {seconds:.0f} s")
            story.say(f"{name}: {seconds:.1f} s")
            server.signal(signal.SIGCONT)
            server.signal(signal.SIGTERM)
            story.expect(server.wait() == 0, f"{name}: it does not end with 0 afterwards")
            story.expect(not list(server.folder.glob("iqa-*")), f"{name}: its folder stays")


def _harm(story: Story, server: Server, client: httpx.Client, image: bytes, name: str) -> float:
    """Does it; the seconds until a new client gets a score, from a process that replaced the harmed one."""
    before = {module: server.children(module) for module in (HTTP, WORKER)}
    replaced = HARMS[name](server)
    began = time.monotonic()
    while not (_replaced(server, replaced, before) and _scores(client, image)):
        if time.monotonic() - began > _PATIENCE_S:
            story.never(f"{name}: the service does not become whole again")
            break
        time.sleep(_LOOK_S)
    seconds = time.monotonic() - began
    metrics = httpx.get(f"{client.base_url}/metrics", timeout=10)
    story.expect("iqa_requests_total" in metrics.text, f"{name}: there are no metrics")
    return seconds


def _scores(client: httpx.Client, image: bytes) -> bool:
    """Whether a new client gets a score."""
    with contextlib.suppress(httpx.TransportError):
        ready = httpx.get(f"{client.base_url}/readyz", timeout=5).status_code == 200
        timeout = httpx.Timeout(60.0)
        return (
            ready
            and httpx.post(f"{client.base_url}/score", content=image, timeout=timeout).status_code == 200
        )
    return False


def _replaced(server: Server, module: str | None, before: dict[str, list[int]]) -> bool:
    if module is None:
        return True
    now = server.children(module)
    return len(now) == len(before[module]) and not set(now) & set(before[module])


def _stop(module: str) -> Callable[[Server], str | None]:
    def harm(server: Server) -> str:
        tell_all(server.children(module)[:1], signal.SIGSTOP)
        return module

    return harm


def _stop_starting(module: str) -> Callable[[Server], str | None]:
    def harm(server: Server) -> str:
        first = server.children(module)
        tell_all(first[:1], signal.SIGKILL)
        second: list[int] = []

        def restarted() -> bool:
            second[:] = [pid for pid in server.children(module) if pid not in first]
            return bool(second)

        eventually(restarted)
        tell_all(second, signal.SIGSTOP)  # it has hardly begun to import its libraries
        return module

    return harm


def _stop_decoders(server: Server) -> str | None:
    time.sleep(_CALM_S)  # they are ready
    tell_all(decoders_of(server), signal.SIGSTOP)
    return None


def _stop_starting_decoders(server: Server) -> str | None:
    """The service is ready before they are."""
    found: list[int] = []

    def there() -> bool:
        found[:] = decoders_of(server)
        return bool(found)

    eventually(there)
    tell_all(found, signal.SIGSTOP)
    return None


def _stop_supervisor(server: Server) -> str | None:
    """All that it does is to watch: the others work on without it."""
    os.kill(server.process.pid, signal.SIGSTOP)
    time.sleep(_CALM_S)
    return None


def _delete_folder(server: Server) -> str | None:
    (folder,) = server.folder.glob("iqa-*")
    shutil.rmtree(folder)
    return WORKER


HARMS: dict[str, Callable[[Server], str | None]] = {
    "worker stopped": _stop(WORKER),
    "starting worker stopped": _stop_starting(WORKER),
    "HTTP process stopped": _stop(HTTP),
    "starting HTTP process stopped": _stop_starting(HTTP),
    "decoders stopped": _stop_decoders,
    "starting decoders stopped": _stop_starting_decoders,
    "supervisor stopped": _stop_supervisor,
    "folder deleted": _delete_folder,
    "folder deleted, two HTTP processes": _delete_folder,
}


def main() -> int:
    chosen = arguments(__doc__, {})
    return play_chosen("processes are stopped, and the private folder is deleted", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
