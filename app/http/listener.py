"""Closing a listening socket without cutting off clients that are connected already.

Closing a listener resets the connections that the kernel has accepted and the process has not. They can be
accepted first, but more arrive before the next instruction. So new connections are blocked before that: a
filter on the socket drops their first packet, and the kernel rejects them when they repeat it a second later.
"""

import contextlib
import ctypes
import socket
import struct
import sys
from typing import Final

_SO_ATTACH_FILTER: Final = 26  # linux/asm-generic/socket.h
_KEEP: Final = 0xFFFFFFFF
# Classic BPF (linux/filter.h: code, jump if true, jump if false, operand) on the TCP header.
_NO_NEWCOMERS: Final = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # of them, SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, _KEEP),
)


def turn_newcomers_away(listener: socket.socket) -> None:
    """Blocks new connections, in all processes; handshakes in progress still complete. Linux only."""
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in _NO_NEWCOMERS))
    described = struct.pack("HL", len(_NO_NEWCOMERS), ctypes.addressof(program))
    with contextlib.suppress(OSError):  # not every kernel has it; then the window is that of any other server
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def accepted(listener: socket.socket) -> list[socket.socket]:
    """Connections that wait to be taken."""
    connections = []
    with contextlib.suppress(OSError):  # no more
        while True:
            connections.append(listener.accept()[0])
    return connections
