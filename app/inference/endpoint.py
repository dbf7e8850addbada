"""Where a worker listens, and what it asks for before it answers."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """The socket of one worker.

    A connection is let in by a password (ZeroMQ's PLAIN mechanism): other processes of the same user get no
    answer. Messages are not encrypted, since they do not leave the kernel. The supervisor makes a password at
    each start and hands it to its children through their pipes.

    Attributes:
        address: of ZeroMQ, as ``ipc:///tmp/iqa-1/worker-0``.
        secret: ASCII text.
    """

    address: str
    secret: str = field(repr=False)
