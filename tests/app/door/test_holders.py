"""Clients that send much and fall silent: good requests of the same address are answered."""

import socket
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.app.door.wire import address_of
from tests.app.running import eventually, metric, running

pytestmark = pytest.mark.process

_INTAKE = 4_000_000
_HELD = 450_000  # by each of the holders, eight of which hold nearly all
_FORM = "multipart/form-data; boundary=xx"
_PART = b'--xx\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'


def _holder(address: tuple[str, int]) -> socket.socket:
    """A batch of which half a file has come."""
    connection = socket.create_connection(address, timeout=30)
    head = (
        f"POST /score/batch HTTP/1.1\r\nHost: x\r\nContent-Type: {_FORM}\r\nContent-Length: 7000000\r\n\r\n"
    )
    connection.sendall(head.encode() + _PART + bytes(_HELD))
    return connection


def test_silent_holders_give_way(weights_environment: dict[str, str], photo: bytes) -> None:
    limits = {"IQA_INTAKE_BYTES": str(_INTAKE), "IQA_MAX_BODY_BYTES": "1000000"}
    with running({**weights_environment, **limits}) as (server, client), ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(_holder(address_of(client.base_url)))
        eventually(lambda: metric(client, "iqa_intake_bytes") > _INTAKE / 3, 30)
        time.sleep(2.5)  # after so long a body is slow
        for _ in range(5):
            assert httpx.post(f"{client.base_url}/score", content=photo, timeout=30).status_code == 200
        # And soon they are sent away, whoever needs the room.
        eventually(lambda: metric(client, "iqa_intake_bytes") == 0, 30)
        assert [entry for entry in server.entries() if entry["level"] == "error"] == []
