"""A name server for tests: it tells HAProxy where the replicas are, as Docker's own does."""

import socket
import struct
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

_A: Final = 1
_ANSWERED: Final = 0x8580  # an answer, authoritative, recursion asked for and available
_HEAD_BYTES: Final = 12
_MOST_BYTES: Final = 4096


class Names:
    """Answers every question for a name with the same IPv4 addresses, while the ``with`` block runs.

    Attributes:
        addresses: that it gives; may be replaced at any time.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)  # looks up now and then whether it is to end
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="names")

    @property
    def where(self) -> str:
        """ADDRESS:PORT."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                asked, who = self._socket.recvfrom(_MOST_BYTES)
            except OSError:  # nobody asked, or who did has gone (ICMP)
                continue
            self._socket.sendto(self._answer(asked), who)

    def _answer(self, asked: bytes) -> bytes:
        end = asked.index(b"\0", _HEAD_BYTES) + 5  # behind the name: its end, type and class
        (kind,) = struct.unpack("!H", asked[end - 4 : end - 2])
        addresses = self.addresses if kind == _A else ()
        # RFC 1035, 4.1: the name is a pointer to the question's; valid for no time.
        records = [
            struct.pack("!HHHIH", 0xC000 | _HEAD_BYTES, _A, 1, 0, 4) + socket.inet_aton(address)
            for address in addresses
        ]
        head = asked[:2] + struct.pack("!HHHHH", _ANSWERED, 1, len(records), 0, 0)
        return head + asked[_HEAD_BYTES:end] + b"".join(records)
