"""The four examples: where their photograph comes from, what the page says of each, and what they weigh."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.app.web.browser import await_counts, card, drop, opened, solo
from tests.app.web.screenshot import shown
from tests.photographs import named

pytestmark = pytest.mark.system

_PHOTOGRAPH = Path(__file__).parents[3] / "app" / "web" / "example.jpg"
_MOST_BYTES = 200_000
_EXPECTED = {  # the faults that must be found, and the readings that are right
    "good": (set(), {"Good", "Excellent"}),
    "blurred": ({"blur"}, {"Fair", "Poor", "Bad"}),
    "dark": ({"underexposed"}, {"Fair", "Poor", "Bad"}),
    "compressed": ({"compression"}, {"Fair", "Poor", "Bad"}),
}


@pytest.fixture(scope="module")
def bundled(browser_is_there: None) -> Iterator[tuple[Page, httpx.Client]]:
    with shown() as found:
        yield found


def test_the_photograph_is_the_one_that_the_notice_names() -> None:
    ours = np.asarray(Image.open(io.BytesIO(_PHOTOGRAPH.read_bytes())).convert("RGB")).astype(float)
    error = np.mean((ours - named()["coffee"]) ** 2)
    assert 10 * np.log10(255**2 / error) > 32


@pytest.mark.parametrize("kind", _EXPECTED)
def test_one_click_shows_what_is_wrong_with_it(bundled: tuple[Page, httpx.Client], kind: str) -> None:
    page, _ = bundled
    page.locator(f"[data-example={kind}]").click()
    expect(solo(page).locator(".file-name")).to_have_text(f"coffee-{kind}.jpg")
    await_counts(page, "1 of 1 scored")
    faults, readings = _EXPECTED[kind]
    assert solo(page).locator("[data-part=score]").inner_text() in readings
    found = set(
        solo(page).locator(".faults .strong").evaluate_all("(all) => all.map((each) => each.dataset.fault)")
    )
    assert found >= faults
    assert faults or not found
    expect(page.locator(f"[data-example={kind}]")).to_have_attribute("aria-pressed", "true")


def test_all_four_are_a_set_and_make_way_for_photographs(
    bundled: tuple[Page, httpx.Client], photographs: dict[str, bytes]
) -> None:
    page, _ = bundled
    page.get_by_role("button", name="Score all four").click()
    await_counts(page, "4 of 4 scored")
    page.get_by_role("button", name="Worst first").click()
    expect(page.locator("#cards h3").last).to_have_text("coffee-good.jpg")
    drop(page, photographs)
    await_counts(page, "3 of 3 scored")
    expect(card(page, "coffee-good.jpg")).to_have_count(0)
    expect(page.locator("#examples")).to_be_hidden()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#examples")).to_be_visible()


def test_the_page_with_its_examples_weighs_little(bundled: tuple[Page, httpx.Client]) -> None:
    open_page, client = bundled
    with opened(open_page.context.browser, str(client.base_url)) as page:
        expect(page.locator(".example img[src]")).to_have_count(4)
        expect(page.locator("#about")).not_to_be_empty()
        weights = page.evaluate(
            """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
                .filter(({ name }) => !name.startsWith("blob:"))
                .map(({ name, transferSize }) => [name, transferSize])"""
        )
    assert any(name.endswith("/example.jpg") for name, _ in weights)
    assert all(weight > 0 for _, weight in weights), weights
    assert sum(weight for _, weight in weights) < _MOST_BYTES, weights


def test_the_example_pair_is_graded_in_words_beside_its_map(bundled: tuple[Page, httpx.Client]) -> None:
    open_page, client = bundled
    with opened(open_page.context.browser, f"{client.base_url}#compare") as page:
        page.get_by_role("button", name="Try an example pair").click()
        expect(page.locator(".result .reading")).to_have_text("Very annoying")
        expect(page.locator(".viewer canvas")).to_be_visible()
        expect(page.locator("#sides img")).to_have_count(2)
