"""Two photographs are held against each other on the page."""

import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Page, expect

from models.measures.difference import NOTICEABLE, difference_map
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
    page.get_by_role("switch", name="Difference map").check()
    expect(page.locator(".viewer")).to_contain_text("No part differs by more than is noticed side by side.")
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


def test_an_example_pair_shows_its_map_in_one_click(page: Page, pair: Pair) -> None:
    page.get_by_role("button", name="Try an example pair").click()
    expect(page.locator("#name-reference")).to_contain_text("coffee-good.jpg")
    expect(page.locator("#name-distorted")).to_contain_text("coffee-compressed.jpg")
    expect(page.locator(".viewer canvas")).to_be_visible()
    expect(page.locator(".viewer")).to_contain_text("of the picture")
    expect(page.get_by_role("button", name="Try an example pair")).to_be_hidden()
    page.get_by_role("switch", name="Difference map").uncheck()
    expect(page.locator("#divider")).to_be_visible()
    # Of what is put in its place the divider is shown first, as always.
    drop(page.get_by_role("group", name="Copy"), {"copy.jpg": pair[1]})
    expect(page.locator("#name-distorted")).to_contain_text("copy.jpg")
    expect(page.get_by_role("switch", name="Difference map")).not_to_be_checked()


def test_the_grade_of_the_answer_is_said_where_it_has_one(page: Page, pair: Pair) -> None:
    page.route(
        "**/compare?*",
        lambda route: route.fulfill(json=route.fetch().json() | {"grade": "slightly annoying"}),
    )
    drop(page, {"original.jpg": pair[0], "copy.jpg": pair[1]})
    expect(page.locator(".result .reading")).to_have_text("Slightly annoying")
    expect(page.locator("#compare-state")).to_contain_text("Compared: Slightly annoying; ")


def test_the_map_of_differences_marks_where_the_copy_differs(page: Page) -> None:
    photo = named()["coffee"][:240, :360]
    changed = photo.copy()
    changed[100:200, 200:300] = 255 - changed[100:200, 200:300]
    drop(page, {"original.png": encoded(photo, "PNG"), "copy.png": encoded(changed, "PNG")})
    canvas = page.locator(".viewer canvas")
    expect(canvas).to_be_hidden()
    page.get_by_role("switch", name="Difference map").check()
    expect(canvas).to_be_visible()
    expect(page.locator("#divider")).to_be_hidden()
    alphas = canvas.evaluate(
        """(canvas) => {
            const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [[250, 150], [250, 220], [50, 150]].map(([x, y]) => data[4 * (y * width + x) + 3]);
        }"""
    )
    assert alphas[0] > 0
    assert alphas[1:] == [0, 0]
    share = (difference_map(photo, changed) >= NOTICEABLE).mean()
    expect(page.locator(".viewer")).to_contain_text(f"in {100 * share:.1f}\u00a0% of the picture")
    slider = page.get_by_role("slider", name="Opacity of the tint")
    slider.fill("20")
    assert canvas.evaluate("(canvas) => canvas.style.opacity") == "0.2"


def test_a_copy_of_another_size_has_a_map_of_differences_too(page: Page, pair: Pair) -> None:
    smaller = Image.open(io.BytesIO(pair[1])).resize((300, 200))
    drop(page, {"original.jpg": pair[0], "copy.jpg": encoded(smaller)})
    page.get_by_role("button", name="Bring it to the original’s size").click()
    page.get_by_role("switch", name="Difference map").check()
    expect(page.locator(".viewer canvas")).to_be_visible()
