"""The picture in README.md shows the page as it is; and what the page says of photographs is true of them."""

import io
import re
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from playwright.sync_api import Page, expect

from tests.app.files import encoded
from tests.app.web.browser import card, drop
from tests.app.web.screenshot import PICTURE, SIZE, digest, digest_of, shown, take
from tests.photographs import named

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def bundled(browser_is_there: None) -> Iterator[tuple[Page, httpx.Client]]:
    with shown() as found:
        yield found


def test_the_picture_is_of_the_page_as_it_is() -> None:
    picture = PICTURE.read_bytes()
    assert digest_of(picture) == digest(), "out of date: run python -m tests.app.web.screenshot"
    assert len(picture) <= 300_000
    assert Image.open(io.BytesIO(picture)).size == (SIZE["width"], SIZE["height"])


def test_the_command_makes_it(bundled: tuple[Page, httpx.Client]) -> None:
    page, _ = bundled
    picture = take(page)
    assert digest_of(picture) == digest()
    assert len(picture) <= 300_000
    assert Image.open(io.BytesIO(picture)).size == (SIZE["width"], SIZE["height"])
    sentences = {
        name: card(page, name).locator(".sentence").text_content()
        for name in ("coffee.jpg", "temple-blurred.jpg", "coffee-dark.jpg", "cat-noisy.jpg")
    }
    assert sentences == {
        "coffee.jpg": "Sharp and clean, with good contrast.",
        "temple-blurred.jpg": "Slightly soft.",
        "coffee-dark.jpg": "Underexposed and slightly low in contrast.",
        "cat-noisy.jpg": "Noisy.",
    }


def test_good_photographs_are_not_blamed_and_spoilt_ones_are(bundled: tuple[Page, httpx.Client]) -> None:
    page, client = bundled

    def says(image: Image.Image) -> tuple[str, str]:
        answer = client.post("/score", content=encoded(image, quality=92)).json()
        sentence, reading = page.evaluate(
            """async (answer) => {
                const words = await import("./web/display/words.js");
                return [words.sentence(answer), words.reading(answer.models[answer.model])];
            }""",
            answer,
        )
        return sentence, reading

    photos = {name: Image.fromarray(pixels) for name, pixels in named().items()}
    for name, photo in photos.items():
        sentence, reading = says(photo)
        assert reading in ("Good", "Excellent"), name
        assert not re.search("blur|soft|noisy|exposed|low in|dull|over", sentence.lower()), (name, sentence)
    for name in ("astronaut", "chelsea", "china"):
        sentence, reading = says(photos[name].filter(ImageFilter.GaussianBlur(3)))
        assert sentence.startswith("Blurry"), (name, sentence)
        assert reading in ("Poor", "Bad"), name
        flat = says(ImageEnhance.Contrast(photos[name]).enhance(0.2))
        assert "ow in contrast" in flat[0], (name, flat)


def test_a_comparison_names_what_changed(bundled: tuple[Page, httpx.Client]) -> None:
    page, _ = bundled
    temple = Image.fromarray(named()["china"])
    blurred = temple.filter(ImageFilter.GaussianBlur(2))
    page.get_by_role("link", name="Compare").click()
    drop(page, {"a.jpg": encoded(temple, quality=92), "b.jpg": encoded(blurred, quality=92)})
    expect(page.locator("#comparison .result .reading")).to_have_text(re.compile("annoying"))
    expect(page.locator("#comparison [data-dimension=sharpness] .bar-word")).to_have_text("worse")
    expect(page.locator(".changes")).to_contain_text("More blurry +")
    page.get_by_role("link", name="Score").click()
