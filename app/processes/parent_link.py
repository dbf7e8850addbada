"""The bond between a child process and the parent that supervises it.

The parent writes JSON lines to the child's standard input: first its orders, later commands. The child
answers with JSON lines on what was its standard output. If the parent dies, the input ends, and so does the
child; it never outlives its parent.
"""

import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class Lifeline:
    """The child's end. Makes standard output a copy of standard error, so that stray prints harm nothing."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._lock = threading.Lock()
        die_with_parent()
        # Some send their signals to all processes of a service (systemd does); the parent says when to end.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        # Not sys.stdin: the interpreter could not shut down while a thread waits for it.
        self._commands = os.fdopen(os.dup(sys.stdin.fileno()))
        self.orders: dict[str, Any] = json.loads(self._commands.readline() or "{}")

    def report(self, event: str, **fields: Any) -> None:
        """Tells the parent; nothing happens if it is gone."""
        try:
            with self._lock:
                self._answers.write(json.dumps({"event": event, **fields}) + "\n")
        except (BrokenPipeError, ValueError):
            pass

    def watch(self, on_command: Callable[[str], None]) -> None:
        """Calls `on_command` from a thread for each command; ends the process when the parent is gone."""
        threading.Thread(target=self._read, args=(on_command,), name="lifeline", daemon=True).start()

    def _read(self, on_command: Callable[[str], None]) -> None:
        for line in self._commands:
            on_command(json.loads(line)["command"])
        os._exit(0)


def die_with_parent() -> None:
    """Asks the kernel too, where it can be asked: a thread stuck in native code reads no input."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
