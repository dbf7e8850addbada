"""The service as in a container: on a read-only root, with nothing but /tmp, without rights, below tini."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from socket import create_server

import httpx
import pytest
from PIL import Image

from tests.app.running import eventually
from tests.photographs import named

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 60
_CONTAINER = """
mount -t tmpfs -o size=64m,mode=1777,noexec,nosuid,nodev tmpfs /tmp
mount -o remount,bind,ro /
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
"""
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


def _cannot() -> str:
    """Why there can be no container here; "" if there can."""
    missing = [program for program in ("tini", "unshare", "setpriv") if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    probe = [*_UNSHARE, "sh", "-euc", _CONTAINER, "sh", "true"]
    found = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    return f"no mounts of our own are allowed here: {found.stderr.strip()}" if found.returncode else ""


@dataclass
class Container:
    """A running one.

    Attributes:
        outer: the process that waits for it.
        client: of the service in it.
        port: of that.
    """

    outer: subprocess.Popen[bytes]
    client: httpx.Client
    port: int

    @property
    def init(self) -> int:
        """What is process 1 inside."""
        (child,) = _children(self.outer.pid)
        return child

    def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return self.client.get("/readyz").status_code == 200
        return False

    def processes(self) -> dict[int, str]:
        """All that are in it, and how they were started; "" for those that ended and nobody asked after."""
        found, left = {}, [self.init]
        while left:
            pid = left.pop()
            with suppress(OSError):  # gone meanwhile
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")
                left += _children(pid)
        return found

    def running(self, module: str) -> list[int]:
        return [pid for pid, command in self.processes().items() if f"-m {module} " in command]


def _children(pid: int) -> list[int]:
    """Of all its threads: decoders are started by others than the first."""
    lists = [path.read_text(encoding="utf-8") for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for child in " ".join(lists).split()]


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    if reason := _cannot():
        pytest.skip(reason)
    with create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    inside = ("tini", "--", sys.executable, "-m", "app.cli", "serve", "--port", str(port))
    environment = {name: text for name, text in os.environ.items() if name != "TMPDIR"} | {
        "PYTHONPATH": str(_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "IQA_DEVICES": "cpu",
        "IQA_DRAIN_DELAY_S": "0",
    }
    outer = subprocess.Popen(
        [*_UNSHARE, "sh", "-euc", _CONTAINER, "sh", *inside],
        env=environment,
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_PATIENCE_S) as client:
            container = Container(outer, client, port)
            eventually(container.is_ready)
            yield container
    finally:
        outer.kill()  # and the kernel ends all that is inside
        outer.wait(_PATIENCE_S)


@pytest.mark.slow
def test_it_scores_without_a_place_to_write_and_without_rights(container: Container) -> None:
    status = Path(f"/proc/{container.init}/status").read_text(encoding="utf-8")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    mounts = Path(f"/proc/{container.init}/mountinfo").read_text(encoding="utf-8").splitlines()
    options = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    assert "ro" in options["/"]
    assert "rw" in options["/tmp"]

    file = BytesIO()
    Image.fromarray(named()["coffee"]).save(file, "JPEG")
    answer = container.client.post("/score", content=file.getvalue())
    assert answer.status_code == 200
    assert 0 < answer.json()["score"] < 1


@pytest.mark.slow
def test_what_a_killed_process_leaves_behind_is_reaped(container: Container) -> None:
    (front,) = container.running("app.serving")
    decoders = set(container.running("app.decoding"))
    assert decoders, "they are the orphans"
    os.kill(front, signal.SIGKILL)
    # Nobody is left of the old ones, not even as a zombie, which would keep its number.
    eventually(lambda: not {front, *decoders} & container.processes().keys(), _PATIENCE_S)
    eventually(container.is_ready)
    assert container.running("app.decoding"), "the new process has its own"


@pytest.mark.slow
def test_sigterm_arrives_and_ends_it_in_order(container: Container) -> None:
    os.kill(container.init, signal.SIGTERM)
    assert container.outer.wait(_PATIENCE_S) == 0
