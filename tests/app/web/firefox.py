"""Debian's Firefox, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

Playwright drives only a Firefox of its own, which Debian has not.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

FIREFOX: Final = Path("/usr/bin/firefox-esr")
PATIENCE_S: Final = 60
_ADDRESS: Final = "WebDriverBiDiServer.json"  # the file in the profile that says where it listens


class Firefox:
    """A Firefox without a window, with one page."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._last = 0
        self.complaints: list[str] = []
        self._send("session.new", capabilities={})
        self._send("session.subscribe", events=["log.entryAdded"])
        self._page = self._send("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, url: str) -> None:
        """Loads a page; returns when its scripts have run."""
        self._send("browsingContext.navigate", context=self._page, url=url, wait="complete")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, or what it promises: text, number, truth value, or None."""
        answer = self._send(
            "script.evaluate", expression=expression, target={"context": self._page}, awaitPromise=True
        )
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of an expression as soon as it is true."""
        until = time.monotonic() + PATIENCE_S
        while not (value := self.run(expression)):
            assert time.monotonic() < until, f"{expression} stays {value}"
            time.sleep(0.05)
        return value

    def choose_files(self, selector: str, *files: Path) -> None:
        """Gives files to an input, as its dialog does."""
        answer = self._send(
            "script.evaluate",
            expression=f"document.querySelector({selector!r})",
            target={"context": self._page},
            awaitPromise=False,
        )
        element = {"sharedId": answer["result"]["sharedId"]}
        self._send("input.setFiles", context=self._page, element=element, files=[str(file) for file in files])

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=PATIENCE_S))
            if message["type"] == "event":
                entry = message["params"]
                if entry["level"] in ("error", "warn"):
                    self.complaints.append(entry["text"])
            elif message["id"] == self._last:
                assert message["type"] == "success", message
                result: dict[str, Any] = message["result"]
                return result


@contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """A started Firefox, and at the end of the block the assertion that no page complained.

    Args:
        profile: an empty folder for what it keeps.
    """
    command = [FIREFOX, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_address(profile), max_size=None, compression=None) as connection:
                started = Firefox(connection)
                yield started
                assert started.complaints == []
        finally:
            process.terminate()


def _address(profile: Path) -> str:
    """Where it listens, as soon as it does."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            said = json.loads((profile / _ADDRESS).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            assert time.monotonic() < until, "Firefox does not start"
            time.sleep(0.05)
        else:
            return f"ws://{said['ws_host']}:{said['ws_port']}/session"
