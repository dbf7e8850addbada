"""Closing a listening socket without cutting off clients that are connected already.

Closing a listener resets the connections that the kernel has accepted and the process has not. They can be
accepted first, but more arrive before the next instruction. So new connections are blocked before that: a
filter on the socket drops their first packet, and the kernel rejects them when they repeat it a second later.
Handshakes that have begun take a round trip, and on a busy machine as long as the client's process waits for
a processor: the kernel's table says when there are none.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

_SO_ATTACH_FILTER: Final = 26  # linux/asm-generic/socket.h
_KEEP: Final = 0xFFFFFFFF
_SYN_RECV: Final = "03"  # net/tcp_states.h, in hexadecimal as the kernel's table has it
_FIRST_LOOK_S: Final = 0.05
_LOOK_S: Final = 0.02
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


def accepted(listener: socket.socket, most: int | None = None) -> list[socket.socket]:
    """Connections that wait to be taken, so many at most."""
    connections: list[socket.socket] = []
    with contextlib.suppress(OSError):  # no more
        while len(connections) != most:
            connections.append(listener.accept()[0])
    return connections


async def end_of_handshakes(listener: socket.socket, most_s: float) -> None:
    """Waits until nobody is connecting any more, so many seconds at most.

    Newcomers have to be turned away before. Where the kernel's table cannot be read it waits for a twentieth
    of a second.
    """
    began = time.monotonic()
    await asyncio.sleep(_FIRST_LOOK_S)  # a packet from before the filter may be in work
    while await asyncio.to_thread(handshakes, listener) and time.monotonic() - began < most_s:
        await asyncio.sleep(_LOOK_S)


def handshakes(listener: socket.socket) -> int:
    """Clients that the kernel has answered, and that have not confirmed. Linux only: 0 elsewhere."""
    table = Path("/proc/net/tcp6" if listener.family == socket.AF_INET6 else "/proc/net/tcp")
    port = f":{listener.getsockname()[1]:04X}"
    try:
        lines = table.read_text("ascii").splitlines()[1:]
    except OSError:
        return 0
    fields = (line.split(maxsplit=4) for line in lines)  # number, local and remote address, state
    return sum(state == _SYN_RECV and local.endswith(port) for _, local, _, state, _ in fields)
