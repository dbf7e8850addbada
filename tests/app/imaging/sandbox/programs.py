"""Decoder processes that misbehave at a mark in the file, for tests; the code in production has no hook.

They are not locked down: what they do besides, such as touching files, is how they talk with a test. What a
decoder that is locked down cannot do is in :mod:`tests.app.imaging.sandbox.probes`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

_WRAPPED = """
import os, signal, socket, sys, time
from pathlib import Path
from app.imaging import decode as decoding
from app.imaging.sandbox import __main__ as child, lockdown, protocol
lockdown.lock_down = lambda: lockdown.Lockdown(landlock=1, seccomp=True)
decode = decoding.Opened.decode
def misbehaving(opened, least):
    {body}
    return decode(opened, least)
decoding.Opened.decode = misbehaving
sys.exit(child.main(sys.argv[1:]))
"""


def misbehaving(body: str) -> Sequence[str]:
    """The command of a decoder that first runs `body`, in which ``opened`` is the file that it decodes."""
    return (sys.executable, "-P", "-c", _WRAPPED.format(body=body.replace("\n", "\n    ")))


def held_until(gate: Path) -> str:
    """What has a decoder wait until there is such a file."""
    return f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)"


MARK = b"a mark that ends a decoder"


def marked(data: bytes) -> bytes:
    """A JPEG file with the mark in a comment behind its end, where no reader looks."""
    return data + MARK


ON_MARK = f"marked = {MARK!r} in opened._data"
