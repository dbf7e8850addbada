"""The bond between a child process and the parent that supervises it.

The parent writes JSON lines to the child's standard input: first its orders, later commands. The child
answers with JSON lines on what was its standard output. If the parent dies, the input ends, and so does the
child; it never outlives its parent.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from app.processes.linux import die_with_parent, hide_memory

BEAT_S: Final = 1.0
"""How often a child reports that it lives, about."""


class Lifeline:
    """The child's end. Makes standard output a copy of standard error, so that stray prints harm nothing.

    Other processes of the same user cannot read the memory of the child from here on.
    """

    def __init__(self) -> None:
        hide_memory()
        self._answers = os.dup(sys.stdout.fileno())
        os.set_blocking(self._answers, False)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        die_with_parent()
        # Some send their signals to all processes of a service (systemd does); the parent says when to end.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        # Not sys.stdin: the interpreter could not shut down while a thread waits for it.
        self._commands = os.fdopen(os.dup(sys.stdin.fileno()))
        self.orders: dict[str, Any] = json.loads(self._commands.readline() or "{}")

    def report(self, event: str, **fields: Any) -> None:
        """Tells the parent; nothing happens if it is gone, or does not read: no child waits for it.

        A report must be shorter than what a pipe takes in one piece, 4 KiB.
        """
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self._answers, json.dumps({"event": event, **fields}).encode() + b"\n")

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Reports from a thread that the process lives, for as long as it cannot do so itself."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_S):
                self.report("beat")

        threading.Thread(target=beat, name="beat", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def watch(self, on_command: Callable[[str], None], at_end: Callable[[], None] = lambda: None) -> None:
        """Calls `on_command` from a thread for each command; ends the process when the parent is gone.

        Args:
            on_command: called with the command.
            at_end: called before the process ends; it may take a few seconds.
        """
        threading.Thread(target=self._read, args=(on_command, at_end), name="lifeline", daemon=True).start()

    def _read(self, on_command: Callable[[str], None], at_end: Callable[[], None]) -> None:
        for line in self._commands:
            on_command(json.loads(line)["command"])
        at_end()
        os._exit(0)
