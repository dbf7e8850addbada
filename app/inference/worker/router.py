"""The worker's end of the connections to all HTTP processes."""

import contextlib
import errno
import math
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import zmq


class Router:
    """A socket that knows its clients by their identities, and a way to be woken from waiting for them.

    Args:
        endpoint: ipc address to listen on.

    Attributes:
        clients: the identities of the clients that have been heard and are not known to be gone.
    """

    def __init__(self, endpoint: str) -> None:
        self.clients: set[bytes] = set()
        self._wake, self._waker = socket.socketpair()
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        # Admission bounds what can be queued; a message dropped here would be a request lost.
        self._socket.set_hwm(0)
        self._socket.setsockopt(zmq.LINGER, 0)
        # To be told when a client is not there any more, and to know it again when it comes back.
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.bind(endpoint)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._wake.fileno(), zmq.POLLIN)

    def wait(self, seconds: float) -> None:
        """Returns when there is a message, when :meth:`wake` was called, or after a time."""
        readable = dict(self._poller.poll(math.ceil(seconds * 1000)))
        if self._wake.fileno() in readable:
            self._wake.recv(4096)

    def wake(self) -> None:
        """Ends :meth:`wait`; from any thread."""
        with contextlib.suppress(OSError):  # closed just now
            self._waker.send(b"\0")

    def receive(self) -> Iterator[tuple[bytes, list[zmq.Frame]]]:
        """The messages that have arrived, each with the identity of its client."""
        while True:
            try:
                identity, *frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self.clients.add(identity.bytes)
            yield identity.bytes, frames

    def send(self, client: bytes, frames: Sequence[Any]) -> bool:
        """Whether the client was there to be sent to; otherwise it is no longer among :attr:`clients`."""
        try:
            self._socket.send_multipart([client, *frames])
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self.clients.discard(client)
            return False
        return True

    def close(self) -> None:
        self._socket.close()
        self._wake.close()
        self._waker.close()
