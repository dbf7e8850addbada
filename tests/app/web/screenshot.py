"""The picture of the page that README.md shows, made from photographs that installed packages carry.

    python -m tests.app.web.screenshot

The picture carries a digest of the page's files, so that a test can say when it is out of date.
"""

import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, PngImagePlugin
from playwright.sync_api import Page, expect

from tests.app.files import encoded
from tests.app.running import running
from tests.app.web.browser import await_counts, chromium, drop, opened
from tests.photographs import named

PICTURE: Final = Path(__file__).with_name("page.png")
SIZE: Final = {"width": 1280, "height": 880}
_PATIENCE_MS: Final = 120_000  # ten photographs at full size, on a machine that does much besides
_DIGEST: Final = "Page"
_WEB: Final = Path(__file__).parents[3] / "app" / "web"


def photographs() -> dict[str, bytes]:
    """Good ones, and some that were distorted on purpose, as files by name."""
    coffee, temple, cat, flower, rocket, astronaut = (
        Image.fromarray(named()[name])
        for name in ("coffee", "china", "chelsea", "flower", "rocket", "astronaut")
    )
    grain = np.random.default_rng(0).normal(0, 25, np.asarray(cat).shape)
    noisy = Image.fromarray((np.asarray(cat) + grain).clip(0, 255).astype(np.uint8))
    return {
        "coffee.jpg": encoded(coffee, quality=92),
        "temple-blurred.jpg": encoded(temple.filter(ImageFilter.GaussianBlur(1.4)), quality=90),
        "coffee-dark.jpg": encoded(ImageEnhance.Brightness(coffee).enhance(0.3), quality=90),
        "cat-noisy.jpg": encoded(noisy, quality=92),
        "rocket.jpg": encoded(rocket, quality=92),
        "flower-blocky.jpg": encoded(flower, quality=9),
        "astronaut.jpg": encoded(astronaut, quality=92),
        "temple-bright.jpg": encoded(ImageEnhance.Brightness(temple).enhance(1.9), quality=90),
        "flower.jpg": encoded(flower, quality=92),
        "rocket-dull.jpg": encoded(ImageEnhance.Contrast(rocket).enhance(0.3), quality=90),
    }


@contextmanager
def shown() -> Iterator[tuple[Page, httpx.Client]]:
    """The page as visitors of a service with the bundled weights see it, and a client of that service."""
    with (
        running({}) as (_, client),
        chromium() as browser,
        opened(browser, str(client.base_url), viewport=SIZE, color_scheme="light") as page,
    ):
        yield page, client


def take(page: Page) -> bytes:
    """The page with the photographs dropped on it, checked against a policy and sorted, as a PNG file."""
    count = len(photographs())
    drop(page, photographs())
    await_counts(page, f"{count} of {count} scored", _PATIENCE_MS)
    page.get_by_label("Check against").select_option("upload")
    expect(page.locator("#cards .verdict:visible")).to_have_count(count, timeout=_PATIENCE_MS)
    page.get_by_role("button", name="Worst first").click()
    page.mouse.move(0, 0)
    expect(page.locator("#cards img:visible")).to_have_count(count)
    taken = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    file = io.BytesIO()
    text = PngImagePlugin.PngInfo()
    text.add_text(_DIGEST, digest())
    # A palette makes it a third as large, which nobody sees at this size.
    taken.quantize(256).save(file, "PNG", optimize=True, pnginfo=text)
    return file.getvalue()


def digest() -> str:
    """Of all files of the page."""
    found = hashlib.sha256()
    for path in sorted(path for path in _WEB.rglob("*") if path.is_file()):
        found.update(path.relative_to(_WEB).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def digest_of(picture: bytes) -> str | None:
    """Of the files that a picture shows, as it says itself."""
    with Image.open(io.BytesIO(picture)) as image:
        found = image.info.get(_DIGEST)
        return found if isinstance(found, str) else None


def main() -> int:
    with shown() as (page, _):
        PICTURE.write_bytes(take(page))
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
