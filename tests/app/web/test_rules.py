"""Rules from one's own photographs on the page: too few, limits with their pictures, the file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Page, expect

from app.policies import load
from tests.app.files import encoded
from tests.app.web.browser import drop, opened
from tests.photographs import named

pytestmark = pytest.mark.system

_GOOD = 21


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, f"{url}#rules") as page:
        expect(page.locator("#about")).not_to_be_empty()
        yield page


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    """Parts of photographs."""
    chance = np.random.default_rng(0)
    found = {}
    for number in range(_GOOD):
        photo = named()[("coffee", "china", "flower")[number % 3]]
        top, left = chance.integers(0, [photo.shape[0] - 128, photo.shape[1] - 128])
        found[f"good-{number:02}.jpg"] = encoded(photo[top : top + 128, left : left + 128], quality=90)
    return found


def test_good_photographs_become_a_policy(page: Page, good: dict[str, bytes], tmp_path: Path) -> None:
    names = list(good)
    drop(page, {name: good[name] for name in names[:2]})
    expect(page.locator("#rules-state")).to_contain_text("2 good photographs are too few")
    expect(page.locator(".found")).to_have_count(0)
    drop(page.locator("[data-kind=good]"), {name: good[name] for name in names[2:]})
    blurred = Image.fromarray(named()["china"][:128, :128]).filter(ImageFilter.GaussianBlur(3))
    drop(page.locator("[data-kind=bad]"), {"bad.jpg": encoded(blurred, quality=60), "no.jpg": b"no image"})
    expect(page.locator("[data-kind=good] .small")).to_have_text(f"{_GOOD} of {_GOOD} scored")
    expect(page.locator("[data-kind=bad] .small")).to_have_text(
        "1 of 2 scored, 1 problem (Not a photograph that can be read)"
    )
    expect(page.locator(".expected .care")).to_contain_text("No promise below 4.5 % can be made with 21 good")
    page.get_by_label("5 %").check()
    expect(page.locator(".expected .care")).to_have_count(0)
    page.get_by_label("Name of the policy").fill("shop")
    page.keyboard.press("Enter")
    expect(page.locator("#rules-download")).to_have_text("Download shop.toml")
    rows = page.locator(".found tbody tr")
    expect(rows.first.locator("th")).to_have_text("Score")
    expect(rows.first.locator("td").last).to_contain_text("of 1")
    expect(page.locator(".found .nearest .shots").last.locator("img")).to_have_count(6)
    with page.expect_download() as download:
        page.locator("#rules-download").click()
    assert download.value.suggested_filename == "shop.toml"
    path = tmp_path / "shop.toml"
    download.value.save_as(path)
    policy = load(path)["shop"]
    assert len(policy.limits) == rows.count()
    page.get_by_label("Name of the policy").fill("My Shop")
    page.keyboard.press("Enter")
    expect(page.locator("#rules-state")).to_contain_text("`name` has 1 to 64 small letters")
    page.locator("[data-kind=good]").get_by_role("button", name="Remove all").click()
    expect(page.locator("#rules-good")).to_be_focused()


def test_the_rules_are_for_everybody(page: Page, good: dict[str, bytes]) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    drop(page, good)
    expect(page.locator(".found")).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    page.locator("#rules-good").focus()
    for _ in range(9):
        page.keyboard.press("Tab")
        if page.locator("[name=reject]:focus").count():
            break
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("5 %")).to_be_checked()
    expect(page.locator(".found")).to_be_visible()
