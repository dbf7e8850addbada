"""A real server of buckets on loopback, for tests."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from tests.docker.balancing import free_ports

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class BucketServer:
    """A server that runs; ``s3://BUCKET`` is there with its `environment`."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that programs find it by."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def put(self, path: str, content: bytes = b"") -> None:
        """Makes a bucket, or an object in one: ``photos``, ``photos/a.jpg``."""
        httpx.put(f"{self.url}/{quote(path)}", content=content).raise_for_status()


@contextmanager
def bucket_server(log: Path) -> Iterator[BucketServer]:
    """Starts one, and ends it."""
    (port,) = free_ports("127.0.0.1")
    server = BucketServer(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            _until_it_listens(server.url)
            yield server
        finally:
            process.kill()


def _until_it_listens(url: str) -> None:
    began = time.monotonic()
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            assert time.monotonic() - began < _PATIENCE_S, "the server of buckets does not start"
            time.sleep(0.1)
        else:
            return
