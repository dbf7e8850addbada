"""The parent of all processes: starts them, says when they are ready, restarts them, drains."""

import asyncio
import contextlib
import errno
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from typing import Final

from app.auth.api_keys import KeysError, check_keys
from app.cpu import cores
from app.inference.endpoint import Endpoint
from app.logs import configure_logging
from app.policies import PoliciesError, Policy, load, usable
from app.processes import metric_files
from app.processes.cgroup import ControlGroup
from app.processes.child import Child
from app.processes.idleness import Idleness
from app.processes.linux import hide_memory
from app.processes.post import Post, ProcessLimits
from app.processes.runtime_dir import PrivateFolder
from app.settings import Settings, nearest_variable, unknown_variables
from app.tracing.switch import hindrance
from models.runtime.device import has_gpu

_log = logging.getLogger("iqa.supervisor")

_SECRET_BYTES: Final = 32
_SILENCE_S: Final = 10.0
"""A worker that was ready and is silent for so long is killed, early enough for what it had to be done by
another in time; it reports twice a second."""
_LONG_SILENCE_S: Final = 15.0
"""The same of a process that starts, and of an HTTP process: its death costs the requests that it answers."""
_LOOK_S: Final = 1.0
_LATE_S: Final = 3.0
"""A look that comes so much too late: this process was stopped itself, or the machine was."""


def serve(settings: Settings) -> int:
    """Runs the service until a signal ends it.

    Returns:
        The exit code: 0 after draining, 1 if it could not start, with the reason on standard error.
    """
    hide_memory()
    configure_logging(settings.log_format, settings.log_level)
    for name in unknown_variables():
        _log.warning(f"unknown variable {name} is ignored; the nearest setting is {nearest_variable(name)}")
    if why_not := hindrance():
        _log.warning(why_not)
    try:
        check_keys(settings.api_keys_file, settings.api_keys)
        known = load(settings.policies_file)
        usable(known, settings.models)
    except (KeysError, PoliciesError) as error:
        return _refuse(str(error))
    with contextlib.ExitStack() as stack:
        listeners = []
        for name, port in (("PORT", settings.port), ("ADMIN_PORT", settings.admin_port)):
            if port is None:
                continue
            try:
                listeners.append(stack.enter_context(_bind(settings.host, port)))
            except OSError as error:
                return _refuse(_why_not_bound(f"{settings.host}:{port}", name, error))
        with contextlib.suppress(KeyboardInterrupt):
            return asyncio.run(Supervisor(settings, listeners, known).run())
    return 130  # interrupted before anything was started


class CannotStart(Exception):
    """The service cannot start; the message is one sentence for the person who started it."""


class Supervisor:
    """The processes of one service.

    Args:
        settings: of all of them.
        listeners: the bound sockets that the HTTP processes share: for clients, and one for probes if wanted.
        known: the policies, by name.
    """

    def __init__(
        self, settings: Settings, listeners: Sequence[socket.socket], known: Mapping[str, Policy]
    ) -> None:
        self._settings = settings
        # Read once: an HTTP process that is restarted later judges as the others do.
        self._policies = {name: policy.model_dump(mode="json") for name, policy in known.items()}
        self._listener, *self._admin = listeners
        devices = _devices(settings.devices)
        self._folder = PrivateFolder()
        self._metrics_shared = False
        self._share_metrics()
        secret = token_hex(_SECRET_BYTES)
        self._endpoints = [
            Endpoint(f"ipc://{self._folder.path}/worker-{number}", secret) for number in range(len(devices))
        ]
        loading = ProcessLimits(_SILENCE_S, _LONG_SILENCE_S, settings.start_timeout_s)
        self._workers = [
            Post(f"worker {number} ({device})", self._worker(number, device, len(devices)), loading)
            for number, device in enumerate(devices)
        ]
        # An HTTP process is ready when the workers are, so its start has no time of its own.
        serving = ProcessLimits(_LONG_SILENCE_S, _LONG_SILENCE_S, math.inf)
        self._fronts = [
            Post(f"http process {number}", self._front(number), serving)
            for number in range(settings.http_processes)
        ]
        self._group = ControlGroup()
        self._out_of_memory: set[Post] = set()  # whose last process the kernel ended for want of memory
        self._stopping = asyncio.Event()
        self._failure: str | None = None
        self._announced = False

    async def run(self) -> int:
        """Starts everything, keeps it running, and drains at a signal or when it gives up; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        fronts = [asyncio.create_task(self._keep(post)) for post in self._fronts]
        keepers = [*(asyncio.create_task(self._keep(post)) for post in self._workers), *fronts]
        stopping = asyncio.create_task(self._stopping.wait())
        others = [stopping, asyncio.create_task(self._watch())]
        try:
            await asyncio.wait([*others, *keepers], return_when=asyncio.FIRST_COMPLETED)
            for task in (*others, *keepers):
                if task.done():
                    task.result()
            await self._drain(fronts)
            return 0 if self._failure is None else _refuse(self._failure)
        except CannotStart as error:
            return _refuse(str(error))
        finally:
            for task in (*keepers, *others):
                task.cancel()
            await asyncio.gather(*keepers, *others, return_exceptions=True)
            children = [post.child for post in self._posts if post.child is not None]
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

    async def _keep(self, post: Post) -> None:
        """Fills a post again and again."""
        while not (self._stopping.is_set() and post in self._fronts):  # the listener is closed then
            child = await post.start(post.restarts)
            post.began(child, time.monotonic())
            self._out_of_memory.discard(post)
            kills = self._group.out_of_memory_kills()
            if self._stopping.is_set() and post in self._fronts:
                child.command("drain")  # it was not there yet when the others were told
            reason = await self._listen(post, child)
            code = post.code = await child.wait()
            if code == -signal.SIGKILL and self._group.out_of_memory_kills() > kills:
                self._out_of_memory.add(post)
                reason = "the memory of the service is used up"
            self._bury(post)
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

    async def _pause(self, post: Post, seconds: float) -> None:
        """Before a post is filled again. An HTTP process need not be once the service is stopping."""
        if post in self._workers:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _listen(self, post: Post, child: Child) -> str | None:
        """Reads the reports of a child until it ends; the reason, if it gave one."""
        reason = None
        async for report in child.reports():
            post.heard(report, time.monotonic())
            if report["event"] == "ready":
                self._announce()
            elif report["event"] == "failed":
                reason = report["reason"]
        return reason

    def _announce(self) -> None:
        if not self._announced and all(post.ready for post in self._posts):
            self._announced = True
            host, port = self._listener.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            print(
                f"iqa-service is ready at http://{host}:{port} (interface: http://{host}:{port}/docs)",
                flush=True,
            )

    async def _watch(self) -> None:
        """Kills what hangs, restores the folder, and gives up where nothing helps."""
        looked = time.monotonic()
        idleness = {post: Idleness() for post in self._posts}
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            if (late_s := now - looked - _LOOK_S) > _LATE_S:
                for post in self._posts:
                    post.excuse(late_s)
            looked = now
            for post in self._posts:
                if post.child is None:
                    continue
                if fault := post.overdue(now, idleness[post].seconds(post.child.pid, now)):
                    _log.error("the %s %s and is killed", post.name, fault)
                    post.child.kill()
            if not self._stopping.is_set():
                self._look_after_folder()
                self._give_up_if_unready(now)

    def _look_after_folder(self) -> None:
        """Replaces what was deleted from the private folder; sockets are the workers' to make again."""
        try:
            restored = self._folder.restore()
        except OSError as error:
            self._give_up(f"The private folder {self._folder.path} is gone: {error.strerror or error}.")
            return
        if restored:
            self._share_metrics()
        affected = [
            post
            for post, endpoint in zip(self._workers, self._endpoints, strict=True)
            if post.ready and not Path(endpoint.address.removeprefix("ipc://")).exists()
        ]
        # The files of their metrics went with it.
        if restored and self._settings.http_processes > 1:
            affected += self._fronts
        for post in affected:
            if post.child is not None:
                _log.error("files of the %s in %s are gone; it is restarted", post.name, self._folder.path)
                post.ready = False
                post.child.kill()

    def _give_up_if_unready(self, now: float) -> None:
        """Ends a service that does not get well by restarts, so that its operator's tools can act."""
        limit_s = self._settings.unready_exit_s
        if not self._announced or not limit_s:
            return
        for post in self._posts:
            if post.unwell_s(now) > limit_s:
                self._give_up(f"The {post.name} has not been ready for {limit_s:g} s (IQA_UNREADY_EXIT_S).")
                return

    def _give_up(self, why: str) -> None:
        self._failure = why
        self._stopping.set()

    @property
    def _posts(self) -> list[Post]:
        return [*self._workers, *self._fronts]

    def _worker(self, number: int, device: str, count: int) -> Callable[[int], Awaitable[Child]]:
        threads = self._settings.threads
        if threads is None and "OMP_NUM_THREADS" not in os.environ:
            threads = max(1, cores() // count)
        orders = {
            "settings": json.loads(self._settings.model_dump_json()),
            "endpoint": asdict(self._endpoints[number]),
            "device": device,
            "threads": threads,
        }
        # Each thread that computes would keep freed memory to itself: 0.2 GB more after images of many sizes.
        environment = {"MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2")}

        def start(restarts: int) -> Awaitable[Child]:
            starved = self._workers[number] in self._out_of_memory
            told = {**orders, "restarts": restarts, "out_of_memory": starved}
            return Child.start("app.inference.worker", told, environment=environment)

        return start

    def _share_metrics(self) -> None:
        """Reserves the files of the metrics, where there are several HTTP processes."""
        if self._settings.http_processes == 1:
            return
        try:
            metric_files.reserve_files(self._folder.path, self._settings.http_processes)
            self._metrics_shared = True
        except OSError as error:
            self._metrics_shared = False
            _log.error(
                "the HTTP processes cannot share metrics in %s, so each answers /metrics for itself: %s",
                self._folder.path,
                error.strerror or error,
            )

    def _front(self, place: int) -> Callable[[int], Awaitable[Child]]:
        orders = {
            "settings": json.loads(self._settings.model_dump_json()),
            "endpoints": [asdict(endpoint) for endpoint in self._endpoints],
            "policies": self._policies,
            "socket": self._listener.fileno(),
            "admin_socket": self._admin[0].fileno() if self._admin else None,
        }

        async def start(restarts: int) -> Child:
            environment = {}
            if self._metrics_shared:
                environment[metric_files.FOLDER_VARIABLE] = str(self._folder.path)
                environment[metric_files.PLACE_VARIABLE] = str(place)
            sockets = [each.fileno() for each in (self._listener, *self._admin)]
            return await Child.start("app.server", orders, sockets=sockets, environment=environment)

        return start

    def _bury(self, post: Post) -> None:
        """Takes a dead HTTP process's gauges out of the metrics."""
        if self._metrics_shared and post in self._fronts:
            metric_files.forget_gauges(self._folder.path, self._fronts.index(post))


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


def _why_not_bound(where: str, name: str, error: OSError) -> str:
    flag = name.lower().replace("_", "-")
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is already in use; choose another port with IQA_{name} or --{flag}."
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
    if not has_gpu():
        return ["cpu"]
    command = [sys.executable, "-P", "-c", "import torch; print(torch.cuda.device_count())"]
    with contextlib.suppress(OSError, ValueError):
        count = int(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        if count:
            return [f"cuda:{number}" for number in range(count)]
    return ["cpu"]
