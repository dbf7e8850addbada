"""The parent of all processes: starts them, says when they are ready, restarts them, drains."""

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import multiprocess

from app import policies
from app.auth import api_keys
from app.auth.api_keys import KeysError
from app.cpu import cores
from app.logs import configure_logging
from app.metrics import MULTIPROCESS_DIR
from app.policies import PoliciesError, Policy
from app.processes.backoff import restart_pause_s
from app.processes.child import Child
from app.processes.runtime_dir import PrivateFolder
from app.settings import Settings, nearest_variable, unknown_variables

_log = logging.getLogger("iqa.supervisor")

_HEALTHY_S: Final = 1.0
"""A process that was ready for so long is restarted at once when it dies; quick deaths have a pause after."""
_SILENCE_S: Final = 10.0
"""A worker that was ready and is silent for so long is killed, early enough for what it had to be done by
another in time; it reports twice a second."""


def serve(settings: Settings) -> int:
    """Runs the service until a signal ends it.

    Returns:
        The exit code: 0 after draining, 1 if it could not start, with the reason on standard error.
    """
    configure_logging(settings.log_format, settings.log_level)
    for name in unknown_variables():
        nearest = nearest_variable(name)
        _log.warning("unknown variable %s is ignored; the nearest setting is %s", name, nearest)
    try:
        api_keys.load_keys(settings.api_keys_file, settings.api_keys)
        known = policies.load(settings.policies_file)
        policies.usable(known, settings.models)
    except (KeysError, PoliciesError) as error:
        return _refuse(str(error))
    try:
        listener = _bind(settings.host, settings.port)
    except OSError as error:
        return _refuse(_why_not_bound(settings, error))
    with listener, contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(Supervisor(settings, listener, known).run())
    return 130  # interrupted before anything was started


class CannotStart(Exception):
    """The service cannot start; the message is one sentence for the person who started it."""


@dataclass(eq=False)
class _Post:
    """A place that is always to be filled by a process."""

    name: str
    start: Callable[[int], Awaitable[Child]]  # told how often it was restarted
    child: Child | None = None
    code: int = 0  # that the last one ended with
    ready: bool = False
    ready_at: float = 0.0
    heard_at: float = 0.0
    restarts: int = 0
    quick_deaths: int = 0

    def died(self, now: float) -> float:
        """Counts a death; the seconds to wait before the process is started again."""
        healthy = self.ready and now - self.ready_at >= _HEALTHY_S
        self.quick_deaths = 0 if healthy else self.quick_deaths + 1
        self.ready = False
        self.restarts += 1
        if healthy:
            return 0.0
        return restart_pause_s(self.quick_deaths)


class Supervisor:
    """The processes of one service.

    Args:
        settings: of all of them.
        listener: the bound socket that the HTTP processes share.
        known: the policies, by name.
    """

    def __init__(self, settings: Settings, listener: socket.socket, known: Mapping[str, Policy]) -> None:
        self._settings = settings
        # Read once: an HTTP process that is restarted later judges as the others do.
        self._policies = {name: policy.model_dump(mode="json") for name, policy in known.items()}
        self._listener = listener
        devices = _devices(settings.devices)
        self._folder = PrivateFolder()
        self._endpoints = [f"ipc://{self._folder.path}/worker-{number}" for number in range(len(devices))]
        self._workers = [
            _Post(f"worker {number} ({device})", self._worker(number, device, len(devices)))
            for number, device in enumerate(devices)
        ]
        self._fronts = [
            _Post(f"http process {number}", self._front()) for number in range(settings.http_processes)
        ]
        self._stopping = asyncio.Event()
        self._announced = False

    async def run(self) -> int:
        """Starts everything, keeps it running, and drains at SIGTERM or SIGINT; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        fronts = [asyncio.create_task(self._keep(post)) for post in self._fronts]
        keepers = [*(asyncio.create_task(self._keep(post)) for post in self._workers), *fronts]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
            for keeper in keepers:
                if keeper.done():
                    keeper.result()
            await self._drain(fronts)
            return 0
        except CannotStart as error:
            return _refuse(str(error))
        finally:
            for task in (*keepers, stopping):
                task.cancel()
            await asyncio.gather(*keepers, stopping, return_exceptions=True)
            children = [post.child for post in (*self._fronts, *self._workers) if post.child is not None]
            await asyncio.gather(*(child.stop() for child in children))
            self._folder.remove()

    def _on_signal(self) -> None:
        if self._stopping.is_set():
            for post in self._fronts:
                if post.child is not None:
                    post.child.command("hurry")
        self._stopping.set()

    async def _drain(self, fronts: Sequence[asyncio.Task[None]]) -> None:
        """Lets the HTTP processes finish what they have accepted; the workers run until then.

        Args:
            fronts: the tasks that keep them, which end with them.
        """
        delay_s = self._settings.drain_delay_s
        _log.info(
            "draining: served for another %g s, then the listener closes; a second signal hurries", delay_s
        )
        # While this process holds the socket too, the kernel would continue to accept connections.
        self._listener.close()
        for post in self._fronts:
            if post.child is not None:
                post.child.command("drain")
        most_s = delay_s + self._settings.drain_timeout_s + 5.0
        _, unfinished = await asyncio.wait(fronts, timeout=most_s)
        if unfinished or any(post.code for post in self._fronts):
            _log.error("not every HTTP process finished what it had accepted")

    async def _keep(self, post: _Post) -> None:
        """Fills a post again and again."""
        while not (self._stopping.is_set() and post in self._fronts):  # the listener is closed then
            post.child, post.code = await post.start(post.restarts), 0
            if self._stopping.is_set() and post in self._fronts:
                post.child.command("drain")  # it was not there yet when the others were told
            watch = asyncio.create_task(self._watch_silence(post))
            try:
                reason = await self._listen(post)
                code = post.code = await post.child.wait()
            finally:
                watch.cancel()
            self._bury(post.child.pid)
            pause_s = post.died(time.monotonic())
            if self._stopping.is_set() and post in self._fronts:
                return  # drained; the workers are needed until all of them are
            if not self._announced:
                raise CannotStart(reason or f"The {post.name} ended with code {code} while starting.")
            _log.error(
                "the %s ended with code %d%s; restarted in %g s",
                post.name,
                code,
                f" ({reason})" if reason else "",
                pause_s,
            )
            await self._pause(post, pause_s)

    async def _pause(self, post: _Post, seconds: float) -> None:
        """Before a post is filled again. An HTTP process need not be once the service is stopping."""
        if post in self._workers:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _listen(self, post: _Post) -> str | None:
        """Reads the reports of a child until it ends; the reason, if it gave one."""
        reason = None
        assert post.child is not None
        async for report in post.child.reports():
            post.heard_at = time.monotonic()
            if report["event"] == "ready":
                post.ready, post.ready_at = True, post.heard_at
                self._announce()
            elif report["event"] == "failed":
                reason = report["reason"]
        return reason

    def _announce(self) -> None:
        if not self._announced and all(post.ready for post in (*self._workers, *self._fronts)):
            self._announced = True
            host, port = self._listener.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            print(
                f"iqa-service is ready at http://{host}:{port} (interface: http://{host}:{port}/docs)",
                flush=True,
            )

    async def _watch_silence(self, post: _Post) -> None:
        """Kills a worker that hangs. HTTP processes run no model and do not report."""
        while post in self._workers:
            await asyncio.sleep(_SILENCE_S / 10)
            if post.ready and time.monotonic() - post.heard_at > _SILENCE_S and post.child is not None:
                _log.error("the %s has been silent for %g s and is killed", post.name, _SILENCE_S)
                post.child.kill()

    def _worker(self, number: int, device: str, count: int) -> Callable[[int], Awaitable[Child]]:
        threads = self._settings.threads
        if threads is None and "OMP_NUM_THREADS" not in os.environ:
            threads = max(1, cores() // count)
        orders = {
            "settings": json.loads(self._settings.model_dump_json()),
            "endpoint": self._endpoints[number],
            "device": device,
            "threads": threads,
        }
        # Each thread that computes would keep freed memory to itself: 0.2 GB more after images of many sizes.
        environment = {"MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2")}
        return lambda restarts: Child.start(
            "app.inference.worker", {**orders, "restarts": restarts}, environment=environment
        )

    def _front(self) -> Callable[[int], Awaitable[Child]]:
        orders = {
            "settings": json.loads(self._settings.model_dump_json()),
            "endpoints": self._endpoints,
            "policies": self._policies,
            "socket": self._listener.fileno(),
        }
        environment = {}
        if self._settings.http_processes > 1:
            environment[MULTIPROCESS_DIR] = str(self._folder.path)
        return lambda restarts: Child.start(
            "app.server", orders, sockets=(self._listener.fileno(),), environment=environment
        )

    def _bury(self, pid: int) -> None:
        """Takes a dead process's gauges out of the metrics."""
        if self._settings.http_processes > 1:
            multiprocess.mark_process_dead(pid, str(self._folder.path))  # type: ignore[no-untyped-call]


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _why_not_bound(settings: Settings, error: OSError) -> str:
    where = f"{settings.host}:{settings.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is already in use; choose another port with IQA_PORT or --port."
        case errno.EACCES:
            return f"Listening on {where} is not permitted; ports under 1024 need privileges, choose another."
        case _:
            return f"Listening on {where} is not possible: {error.strerror or error}."


def _refuse(reason: str) -> int:
    print(f"iqa serve: {reason}", file=sys.stderr, flush=True)
    return 1


def _devices(names: tuple[str, ...]) -> list[str]:
    """One device per worker; `auto` is every CUDA device, or the CPU."""
    if names != ("auto",):
        return list(names)
    # Only a machine with a GPU pays for asking torch, which takes seconds and is not needed here otherwise.
    nodes = (*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("dxg"))
    if not nodes:
        return ["cpu"]
    command = [sys.executable, "-P", "-c", "import torch; print(torch.cuda.device_count())"]
    with contextlib.suppress(OSError, ValueError):
        count = int(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        if count:
            return [f"cuda:{number}" for number in range(count)]
    return ["cpu"]
