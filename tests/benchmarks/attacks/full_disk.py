"""The folder for temporary files is full, before the service starts and while it runs; two HTTP processes.

No process may die of that, and no request be lost. It needs the right to mount a small file system (root).
Figures: what good clients are answered, the deaths, and whether one that is killed is replaced all the same.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.app.running import Server, eventually, running
from tests.benchmarks.chaos.bystanders import bystander, photograph, probe
from tests.benchmarks.chaos.clients import address_of
from tests.benchmarks.chaos.story import Environment, Story, arguments, play_chosen

_SIZE = "8m"
_PIECE = 1 << 16
_HTTP, _WORKER = "app.server", "app.inference.worker"
FROM_THE_START = "full from the start"
WHEN = FROM_THE_START, "full while it runs"


def tell(
    story: Story,
    environment: Environment,
    image: bytes,
    *,
    seconds: float,
    when: Sequence[str] = WHEN,
    kills: bool = True,
) -> None:
    """Good clients ask for so many seconds; with `kills`, a process of each kind is killed then."""
    for each in when:
        with small_disk() as folder:
            if each == FROM_THE_START:
                fill(folder)
            settings = {**environment, "IQA_HTTP_PROCESSES": "2", "TMPDIR": str(folder)}
            with running(settings) as (server, client):
                fill(folder)
                _watch(story, server, client, image, each, seconds)
                if kills:
                    _kill(story, server, client, image, each)
                server.signal(signal.SIGTERM)
                story.expect(server.wait() == 0, f"{each}: it does not end with 0")


def _watch(
    story: Story, server: Server, client: httpx.Client, image: bytes, when: str, seconds: float
) -> None:
    """Two good clients and a probe. Each request has a connection of its own: both processes answer."""
    address = address_of(client.base_url)
    with (
        bystander(f"{when}: a good client", address, photograph(image), anew=True) as good,
        bystander(f"{when}: another", address, photograph(image), anew=True) as another,
        bystander(f"{when}: a probe", address, probe, anew=True) as probing,
    ):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            metrics = httpx.get(f"{client.base_url}/metrics", timeout=10)
            story.expect(metrics.status_code == 200, f"{when}: /metrics is answered {metrics.status_code}")
            time.sleep(0.2)
    for each in (good, another, probing):
        each.tell(story)
    deaths = [entry for entry in server.entries() if "ended with code" in entry["message"]]
    story.figure(f"{when}: deaths", len(deaths))
    story.expect(not deaths, f"{when}: a process died")


def _kill(story: Story, server: Server, client: httpx.Client, image: bytes, when: str) -> None:
    for module in (_HTTP, _WORKER):
        before = server.children(module)
        os.kill(before[0], signal.SIGKILL)
        began = time.monotonic()
        eventually(lambda module=module, before=before: _whole(server, client, module, before))  # type: ignore[misc]
        story.figure(f"{when}: {module} again", f"{time.monotonic() - began:.1f} s")
    for _ in range(4):
        status = httpx.post(f"{client.base_url}/score", content=image, timeout=30).status_code
        story.expect(status == 200, f"{when}: afterwards an image is answered with {status}")


def _whole(server: Server, client: httpx.Client, module: str, before: list[int]) -> bool:
    now = server.children(module)
    if before[0] in now or len(now) != len(before):
        return False
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{client.base_url}/readyz", timeout=5).status_code == 200
    return False


def can_mount() -> bool:
    """Whether this process may mount a file system."""
    try:
        with small_disk():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of a few megabytes while the block runs.

    Raises:
        OSError, subprocess.CalledProcessError: this process may not mount it.
    """
    with tempfile.TemporaryDirectory(prefix="iqa-small-") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0777", "tmpfs", folder]
        subprocess.run(mount, check=True, capture_output=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


def fill(folder: Path) -> None:
    """Writes until nothing more can be written."""
    for piece in (_PIECE, 1):
        with contextlib.suppress(OSError), (folder / f"filling-{time.monotonic_ns()}").open("wb", 0) as file:
            while True:
                file.write(bytes(piece))


def main() -> int:
    chosen = arguments(__doc__, {"seconds": 15.0})
    return play_chosen("the folder for temporary files is full", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
