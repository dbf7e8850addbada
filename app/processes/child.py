"""The supervisor's end of a child process: starting it, hearing from it, telling it, ending it."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

_PATIENCE_S = 5.0  # from asking a process to end to killing it


class Child:
    """A running ``python -m MODULE`` that holds to :mod:`app.processes.parent_link`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls,
        module: str,
        orders: Mapping[str, Any],
        *,
        sockets: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> "Child":
        """Starts a child with its orders; it inherits the file descriptors of `sockets`."""
        # The child finds what this process finds, and nothing that happens to lie in the current folder.
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100 ('' is the folder)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=sockets,
            env={**os.environ, **(environment or {}), "PYTHONPATH": path},
            start_new_session=True,  # the terminal's Ctrl-C is the parent's to handle
        )
        child = cls(process)
        child._write(orders)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    async def reports(self) -> AsyncIterator[dict[str, Any]]:
        """What the child says, until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            with contextlib.suppress(ValueError):  # cut off in the middle by a kill
                yield json.loads(line)

    async def wait(self) -> int:
        """Its exit code; negative for the signal that ended it."""
        return await self._process.wait()

    def command(self, command: str) -> None:
        """Tells the child; nothing happens if it has ended."""
        self._write({"command": command})

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Closes its input, which ends it, and kills it if it stays."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
