"""Closing a listener: who is connected is served, who is not is turned away."""

import asyncio
import ctypes
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.http.listener import accepted, end_of_handshakes, handshakes, turn_newcomers_away

linux = pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # linux/asm-generic/socket.h
# Drops a packet with the flags SYN and ACK: the answer to a client that is connecting.
_DEAF = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x12), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


@contextmanager
def half_connected(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A client that does not hear the answer to its first packet, as long as its filter is on."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in _DEAF))
    with socket.socket() as client:
        described = struct.pack("HL", len(_DEAF), ctypes.addressof(program))
        client.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.connect(address)
        yield client


def test_those_who_wait_are_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        assert accepted(listener) == []
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        taken = accepted(listener)
    assert len(taken) == 3
    for connection in taken:
        connection.sendall(b"still here")
        connection.close()
    for client in clients:
        with client:
            assert client.recv(100) == b"still here"


@linux
def test_newcomers_are_turned_away_and_the_connected_are_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = listener.getsockname()
        with socket.create_connection(address) as early:
            turn_newcomers_away(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.2)
            (taken,) = accepted(listener)
            with taken:
                early.sendall(b"heard")
                taken.settimeout(5)
                assert taken.recv(100) == b"heard"


@linux
def test_a_handshake_in_progress_is_seen_and_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert handshakes(listener) == 0
        with socket.create_connection(listener.getsockname()):
            assert handshakes(listener) == 0
    with socket.create_server(("127.0.0.1", 0)) as listener, half_connected(listener.getsockname()) as client:
        listener.setblocking(False)
        turn_newcomers_away(listener)
        assert handshakes(listener) == 1
        assert accepted(listener) == []

        async def hears_at_last() -> float:
            began = time.monotonic()
            asyncio.get_running_loop().call_later(
                0.1, client.setsockopt, socket.SOL_SOCKET, _SO_DETACH_FILTER, 0
            )
            await end_of_handshakes(listener, 20.0)
            return time.monotonic() - began

        assert asyncio.run(hears_at_last()) < 15  # the kernel answers again after one second, two, and four
        (taken,) = accepted(listener)
        with taken:
            client.sendall(b"heard")
            taken.settimeout(5)
            assert taken.recv(100) == b"heard"


@linux
def test_the_wait_for_handshakes_has_a_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, half_connected(listener.getsockname()):
        turn_newcomers_away(listener)
        asyncio.run(asyncio.wait_for(end_of_handshakes(listener, 0.3), timeout=30))
        assert handshakes(listener) == 1
