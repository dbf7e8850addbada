"""The worker's end of the connections to all HTTP processes."""

import contextlib
import errno
import math
import socket
from collections.abc import Iterator, Sequence
from secrets import compare_digest
from typing import Any, Final

import zmq

from app.inference.endpoint import Endpoint

_AUTHENTICATOR: Final = "inproc://zeromq.zap.01"
"""Where libzmq asks whether to let a connection in (ZAP, https://rfc.zeromq.org/spec/27)."""
_ACCEPTED: Final = b"200"
_REJECTED: Final = b"400"


class Router:
    """A socket that knows its clients by their identities, and a way to be woken from waiting for them.

    Args:
        endpoint: to listen on; connections without its secret are rejected.

    Attributes:
        clients: the identities of the clients that have been heard and are not known to be gone.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.clients: set[bytes] = set()
        self._wake, self._waker = socket.socketpair()
        self._secret = endpoint.secret.encode()
        self._context = zmq.Context()
        self._authenticator: zmq.Socket[bytes] = self._context.socket(zmq.REP)
        self._authenticator.bind(_AUTHENTICATOR)
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.PLAIN_SERVER, 1)
        self._socket.setsockopt(zmq.ZAP_DOMAIN, b"worker")
        # Admission bounds what can be queued; a message dropped here would be a request lost.
        self._socket.set_hwm(0)
        self._socket.setsockopt(zmq.LINGER, 0)
        # To be told when a client is not there any more, and to know it again when it comes back.
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.bind(endpoint.address)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._authenticator, zmq.POLLIN)
        self._poller.register(self._wake.fileno(), zmq.POLLIN)

    def wait(self, seconds: float) -> None:
        """Returns when there is a message, when :meth:`wake` was called, or after a time."""
        readable = dict(self._poller.poll(math.ceil(seconds * 1000)))
        if self._wake.fileno() in readable:
            self._wake.recv(4096)
        if self._authenticator in readable:
            self._authenticate()

    def _authenticate(self) -> None:
        """Lets in the connections that know the secret."""
        while True:
            try:
                version, request, *_, mechanism, _, password = self._authenticator.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            known = mechanism == b"PLAIN" and compare_digest(password, self._secret)
            status = _ACCEPTED if known else _REJECTED
            self._authenticator.send_multipart([version, request, status, b"", b"", b""])

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
        self._authenticator.close(0)
        self._context.term()
        self._wake.close()
        self._waker.close()
