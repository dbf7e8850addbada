"""Debian's Chromium, driven for tests of the page; and what a test does with the page again and again."""

import base64
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

CHROMIUM: Final = Path("/usr/bin/chromium")
PATIENCE_MS: Final = 20_000
# The browser's own line about an answer that is no success; what the page makes of it is what is tested.
_NETWORK_LINE: Final = "Failed to load resource"
_DROP: Final = """
([element, files]) => {
    const transfer = new DataTransfer();
    for (const { name, type, content } of files) {
        const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type }));
    }
    const event = (kind) =>
        new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
    for (const kind of ["dragenter", "dragover", "drop"]) element.dispatchEvent(event(kind));
}
"""
_TYPES: Final = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tif": "image/tiff"}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    expect.set_options(timeout=PATIENCE_MS)
    # Its sandbox is not to be had by root, as in containers.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page in a profile of its own, and at the end of the block the assertion that it never complained.

    Args:
        browser: to open it in.
        url: of the page.
        options: of the profile, such as `viewport`.
    """
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_NETWORK_LINE):
            complaints.append(message.text)

    with browser.new_context(viewport=options.pop("viewport", {"width": 1280, "height": 900}), **options) as (
        profile
    ):
        page = profile.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", on_console)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        # From the beginning: who only listens when a chooser is about to open may be too late.
        page.on("filechooser", lambda chooser: None)
        page.goto(url)
        yield page
    assert complaints == []


def drop(target: Page | Locator, files: Mapping[str, bytes]) -> None:
    """Drops files, by their names, on the page or on a part of it."""
    element = (target.locator("body") if isinstance(target, Page) else target).element_handle()
    content = [
        {
            "name": name,
            "type": _TYPES.get(name.rpartition(".")[2], ""),
            "content": base64.b64encode(data).decode(),
        }
        for name, data in files.items()
    ]
    page = target if isinstance(target, Page) else target.page
    page.evaluate(_DROP, [element, content])


def card(page: Page, name: str) -> Locator:
    """The card of the photograph with this name."""
    return page.locator("#cards > li").filter(
        has=page.get_by_role("button", name=f"Remove {name}", exact=True)
    )


def solo(page: Page) -> Locator:
    """The report of the only photograph of the set, which is shown large and not as a card."""
    return page.locator("#solo")


def names(page: Page) -> list[str]:
    """Of the cards, in their order."""
    return page.locator("#cards h3").all_text_contents()


def await_counts(page: Page, text: str | re.Pattern[str], patience_ms: float = PATIENCE_MS) -> None:
    """Waits until the line of progress says this."""
    expect(page.locator("#counts")).to_have_text(text, timeout=patience_ms)


def hundred(value: float) -> str:
    """A value in [0, 1] as the page writes it: halves are rounded up, as JavaScript does."""
    return str(int(100 * value + 0.5))
