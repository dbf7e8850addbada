"""The real load balancer, for tests and benchmarks: HAProxy with the product's very file, on loopback.

Replicas have addresses of their own (127.0.0.2, ...) and one port, as containers have, and are found by DNS.
"""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tests.app.running import Server, eventually
from tests.docker.names import Names

FILE: Final = Path(__file__).parents[2] / "docker" / "haproxy.cfg"
ADDRESSES: Final = ("127.0.0.2", "127.0.0.3")
_ENDS_S: Final = 20.0


class Balancer:
    """A running HAProxy, and the name server that tells it of the replicas, inside the ``with`` block.

    Args:
        port: of each replica.
        addresses: that the name server gives.
        settings: of docker/haproxy.cfg, over what makes it run on loopback.
        file: another one than the product's.

    Attributes:
        url: for clients.
        operators: for the statistics.
        names: the name server.
    """

    def __init__(
        self,
        port: int,
        addresses: Sequence[str] = ADDRESSES,
        settings: Mapping[str, str] | None = None,
        file: Path = FILE,
    ) -> None:
        clients, operators = free_ports("127.0.0.1", 2)
        self.url, self.operators = (f"http://127.0.0.1:{each}" for each in (clients, operators))
        self.names = Names(addresses)
        self._log: list[str] = []
        self._file = file
        self._settings = {
            "LB_ADDRESS": "127.0.0.1",
            "LB_PORT": str(clients),
            "LB_STATS_PORT": str(operators),
            "LB_DNS": self.names.where,
            "LB_SERVICE_PORT": str(port),
            "LB_ADMIN_PORT": str(port),  # replicas of tests have no other
            "LB_CONNECTIONS": "512",
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        self.names.__enter__()
        # With a master, as in the container: it reloads at SIGUSR2, and its workers end when it does.
        self.process = subprocess.Popen(
            [program(), "-W", "-db", "-f", str(self._file)],
            env={**os.environ, **self._settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            eventually(self._answers, 30)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self.process)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.names.__exit__(kind, error, trace)

    def reload(self) -> None:
        """Reads its file again; returns when the new process serves."""
        before = self.log().count("Loading success.")
        self.process.send_signal(signal.SIGUSR2)
        eventually(lambda: self.log().count("Loading success.") > before, 30)

    def log(self) -> str:
        """All that it has written."""
        return "".join(list(self._log))

    def requests(self) -> list[dict[str, Any]]:
        """Its log of requests, in the order of their ends."""
        return [json.loads(line) for line in list(self._log) if line.startswith("{")]

    def request(self, id: str) -> dict[str, Any]:
        """The log's line of one request."""
        eventually(lambda: any(each["id"] == id for each in self.requests()), 10)
        (found,) = (each for each in self.requests() if each["id"] == id)
        return found

    def replicas(self) -> dict[str, str]:
        """The names of those that get requests, by address."""
        text = httpx.get(f"{self.operators}/;csv", timeout=30).text.removeprefix("# ")
        return {
            row["addr"].partition(":")[0]: row["svname"]
            for row in csv.DictReader(text.splitlines())
            if row["pxname"] == "replicas" and row["svname"] != "BACKEND" and row["status"].startswith("UP")
        }

    def wait_for(self, *addresses: str) -> None:
        """Until requests go to these replicas and no others."""
        eventually(lambda: set(self.replicas()) == set(addresses), 60)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"HAProxy ended with {self.process.returncode}: {self.log()}")
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.operators}/healthz", timeout=5).status_code == 200
        return False

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._log.extend(self.process.stdout)


def program() -> str:
    """Where HAProxy is; empty where it is not installed."""
    # Debian puts it where only administrators look.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    return shutil.which("haproxy", path=path) or ""


def free_ports(address: str, count: int = 1) -> list[int]:
    """Ports that nobody has at an address."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((address, 0))
        return [probe.getsockname()[1] for probe in probes]


def begun(address: str, port: int, environment: Mapping[str, str | None]) -> Server:
    """A replica that starts; in a container it would listen on all addresses, here each has its own."""
    own = {"IQA_HOST": address, "IQA_PORT": str(port)}
    return Server({"IQA_DRAIN_DELAY_S": None, **environment, **own})


@contextmanager
def replica(address: str, port: int, environment: Mapping[str, str | None]) -> Iterator[Server]:
    """A replica at its address, ready."""
    server = begun(address, port, environment)
    try:
        server.wait_ready()
        yield server
    finally:
        server.close()


def kill(server: Server) -> None:
    """All processes of a replica at once, as a container dies; returns when none is left."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}
    doomed = {server.process.pid}
    while more := {pid for pid, parent in parents.items() if parent in doomed} - doomed:
        doomed |= more
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.wait()
    eventually(lambda: not any(_lives(pid) for pid in doomed), 30)


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(") ")[2][0] != "Z"  # its parent has to bury it; it holds nothing any more


def end(process: "subprocess.Popen[Any]") -> None:
    """Asks a program to end, and kills it if it stays."""
    process.terminate()
    try:
        process.wait(_ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
