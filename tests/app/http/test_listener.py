"""Closing a listener: who is connected is served, who is not is turned away."""

import socket
import sys

import pytest

from app.http.listener import accepted, turn_newcomers_away


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


@pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")
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
