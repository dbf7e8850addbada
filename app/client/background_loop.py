"""An event loop in a thread of its own, for callers that have none."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from app.client.errors import ClientError

_T = TypeVar("_T")

_CLOSED: Final = "The client has been closed."
_LONGEST_END_S: Final = 10.0  # of what is only to be cancelled


class BackgroundLoop:
    """Runs coroutines for any thread. It ends with :meth:`stop`, and never keeps the interpreter from ending.

    Args:
        last: the coroutine that runs when all others have ended.
    """

    def __init__(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._last = last
        self._process = os.getpid()
        self._stopped = False
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="iqa-client", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """Whether it runs, in this process: threads do not live through a fork."""
        return self._process == os.getpid() and not self._stopped

    @property
    def awaitable(self) -> bool:
        """Whether it can be waited for here. Its own thread cannot, where the garbage collector may call."""
        return self.usable and threading.current_thread() is not self._thread

    def submit(self, work: Coroutine[Any, Any, _T]) -> "concurrent.futures.Future[_T]":
        """Begins a coroutine.

        Raises:
            ClientError: the loop has been stopped.
        """
        with self._lock:  # what is submitted after the end would wait for ever
            if not self.usable:
                work.close()
                raise ClientError(_CLOSED)
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of a coroutine; it is cancelled where the wait for it is broken off, as by Ctrl-C.

        Raises:
            ClientError: the loop has been stopped.
        """
        future = self.submit(work)
        try:
            return result_of(future)
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancels what is left, and ends the thread. Repeated, it does nothing."""
        with self._lock:
            if not self.usable:
                return
            self._stopped = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:  # where the garbage collector calls, it may be
            self._thread.join(_LONGEST_END_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=_LONGEST_END_S))
            self._loop.run_until_complete(asyncio.wait_for(self._last(), _LONGEST_END_S))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()


def result_of(future: "concurrent.futures.Future[_T]") -> _T:
    """Waits for it.

    Raises:
        ClientError: the loop has been stopped meanwhile.
    """
    try:
        return future.result()
    except concurrent.futures.CancelledError:
        raise ClientError(_CLOSED) from None
