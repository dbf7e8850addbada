"""Two photographs are held against each other on the page."""

import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Page, expect

from models.vocabulary import DIMENSIONS
from tests.app.files import encoded
from tests.app.web.browser import await_counts, drop, hundred, opened
from tests.photographs import named

pytestmark = pytest.mark.system

Pair = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def pair() -> Pair:
    photo = Image.fromarray(named()["coffee"])
    return encoded(photo, quality=90), encoded(photo.filter(ImageFilter.GaussianBlur(2)), quality=60)


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, f"{url}#compare") as page:
        yield page


def test_a_pair_shows_what_the_interface_answers(page: Page, service: httpx.Client, pair: Pair) -> None:
    answer = service.post("/compare", files=dict(zip(("reference", "distorted"), pair, strict=True))).json()
    drop(page.get_by_role("group", name="Original"), {"original.jpg": pair[0]})
    expect(page.locator("#compare-state")).to_have_text("Now the copy.")
    drop(page.get_by_role("group", name="Copy"), {"copy.jpg": pair[1]})
    score = page.locator("#compare-score")
    expect(score).to_have_text(hundred(answer["score"]))
    assert float(score.get_attribute("value")) == answer["score"]
    for dimension in DIMENSIONS:
        value = page.locator(f"#comparison [data-dimension={dimension}] data").get_attribute("value")
        assert float(value) == answer["differences"]["dimensions"][dimension]
    signal = page.locator(".signal")
    expect(signal).to_contain_text(f"{answer['signal']['psnr_db']:.1f} dB")
    expect(signal).to_contain_text(f"{answer['signal']['ssim']:.3f}")


def test_the_divider_moves_by_pointer_and_by_keyboard(page: Page, pair: Pair) -> None:
    drop(page, {"original.jpg": pair[0], "copy.jpg": pair[1]})
    divider = page.get_by_role("slider", name="Divider between original and copy")
    expect(divider).to_have_value("50")
    divider.focus()
    page.keyboard.press("ArrowRight")
    expect(divider).to_have_value("51")
    page.keyboard.press("Home")
    expect(divider).to_have_value("0")
    expect(divider).to_have_attribute("aria-valuetext", "0 % original")
    divider.scroll_into_view_if_needed()
    box = divider.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 200, steps=3)
    page.mouse.up()
    expect(divider).to_have_value("75")
    # The original is seen to the left of it, and the copy to the right.
    clip = page.locator(".divider > .reference").evaluate("(image) => getComputedStyle(image).clipPath")
    assert clip in ("inset(0px 25% 0px 0px)", "inset(0px calc(25%) 0px 0px)"), clip


def test_a_copy_of_another_size_is_brought_to_the_originals(page: Page, pair: Pair) -> None:
    smaller = Image.open(io.BytesIO(pair[1])).resize((300, 200))
    drop(page, {"original.jpg": pair[0], "copy.jpg": encoded(smaller)})
    expect(page.locator(".problem")).to_contain_text("One has 600 × 400 pixels, the other 300 × 200.")
    page.get_by_role("button", name="Bring it to the original’s size").click()
    expect(page.locator(".care")).to_have_text(
        "The distorted image was brought from 300 x 200 to 600 x 400 pixels for the comparison."
    )


def test_identical_pictures_and_a_file_that_is_none(page: Page, pair: Pair) -> None:
    drop(page, {"original.jpg": pair[0], "copy.jpg": pair[0]})
    expect(page.locator(".signal")).to_contain_text("identical")
    expect(page.locator("#comparison")).to_contain_text("No word describes the copy much better or worse")
    drop(page.get_by_role("group", name="Copy"), {"copy.jpg": b"no image"})
    expect(page.locator(".problem-title")).to_have_text("! Not a photograph that can be read")
    expect(page.locator("#comparison > *")).to_have_count(0)


def test_photographs_of_the_set_are_compared(page: Page, pair: Pair) -> None:
    page.get_by_role("link", name="Score").click()
    drop(page, {"original.jpg": pair[0], "copy.jpg": pair[1]})
    await_counts(page, "2 of 2 scored")
    page.get_by_role("button", name="Look at original.jpg").click()
    page.get_by_role("button", name="Compare as original").click()
    page.get_by_role("group", name="Copy").get_by_role("combobox").select_option("copy.jpg")
    expect(page.locator("#compare-score")).to_be_visible()
