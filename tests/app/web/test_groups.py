"""The set in groups of near duplicates: what is kept and why, what goes, what is beyond the limit."""

import json
import re
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.app.files import encoded
from tests.app.web.browser import await_counts, drop, opened
from tests.photographs import named

pytestmark = pytest.mark.system


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        yield page


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """A photograph and two smaller copies, and another photograph."""
    coffee = Image.fromarray(named()["coffee"])
    smaller = [np.asarray(coffee.resize(size)) for size in ((450, 300), (300, 200))]
    return {
        "china.jpg": encoded(named()["china"], quality=60),
        "small.jpg": encoded(smaller[0], quality=85),
        "coffee.jpg": encoded(np.asarray(coffee), quality=90),
        "tiny.jpg": encoded(smaller[1], quality=85),
    }


def _grouped(page: Page, files: dict[str, bytes]) -> Page:
    drop(page, files)
    await_counts(page, f"{len(files)} of {len(files)} scored")
    page.get_by_role("button", name="Groups", exact=True).click()
    return page


def test_a_group_shows_the_one_to_keep_and_why_not_the_others(
    page: Page, service: httpx.Client, files: dict[str, bytes]
) -> None:
    answer = service.post("/pick", files=[("images", each) for each in files.items()]).json()
    (group,) = (each for each in answer["groups"] if len(each["images"]) > 1)
    _grouped(page, files)
    expect(page.locator("#groups-state")).to_have_text(
        "1 group of near duplicates among 4 photographs. With the best of each, 2 are left."
    )
    expect(page.locator("#cards")).to_be_hidden()
    best = page.locator(".group .best")
    expect(best.locator("h3")).to_have_text(list(files)[group["keep"]])
    expect(best.locator(".picked")).to_have_text(f"✓ Keep {group['reason']}")
    others = [list(files)[each] for each in group["images"] if each != group["keep"]]
    assert page.locator(".group .others h3").all_text_contents() == others
    assert all(page.locator(".group .others .picked").all_text_contents())
    expect(page.get_by_role("list", name="Photographs without").locator("h3")).to_have_text(["china.jpg"])
    sizes = [page.locator(f".group {each} .picture").first.bounding_box() for each in (".best", ".others")]
    assert sizes[0]
    assert sizes[1]
    assert sizes[0]["width"] > 1.5 * sizes[1]["width"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Groups as CSV").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0] == "file,group,keep,reason,score"
    assert [line.split(",")[2] for line in lines[1:]].count("yes") == 2
    page.get_by_role("button", name="Keep only the best here").click()
    await_counts(page, "2 of 2 scored")
    expect(page.locator("#groups-state")).to_have_text("No near duplicates among 2 photographs.")
    page.get_by_role("button", name="Groups", exact=True).click()
    expect(page.locator("#cards > li")).to_have_count(2)


def test_what_changes_after_grouping_is_told_and_can_be_grouped(page: Page, files: dict[str, bytes]) -> None:
    first = dict(list(files.items())[1:])
    _grouped(page, first)
    expect(page.locator(".group .card")).to_have_count(3)
    again = page.get_by_role("button", name="Group again")
    expect(again).to_be_hidden()
    page.locator(".group .others .card").first.get_by_role("button", name="Remove").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".group .card")).to_have_count(2)
    expect(page.locator("#groups-list button:focus")).to_have_count(1)
    expect(again).to_be_hidden()
    drop(page, {"china.jpg": files["china.jpg"]})
    await_counts(page, "3 of 3 scored")
    again.click()
    expect(page.locator("#groups-state")).to_contain_text("1 group of near duplicates among 3 photographs")
    expect(again).to_be_hidden()


def test_no_more_are_sent_than_the_service_takes(page: Page, url: str, files: dict[str, bytes]) -> None:
    sent: list[int] = []

    def fewer(route: Route) -> None:
        answer = route.fetch().json()
        answer["limits"]["max_files"] = 3
        route.fulfill(content_type="application/json", body=json.dumps(answer))

    def noted(route: Route) -> None:
        sent.append((route.request.post_data_buffer or b"").count(b'name="images"'))
        route.continue_()

    page.route("**/models", fewer)
    page.route("**/pick", noted)
    page.goto(url)
    page.reload()
    expect(page.locator("#about")).not_to_be_empty()
    _grouped(page, files)
    expect(page.locator("#groups-limit")).to_have_text(
        re.compile("compares 3 photographs at a time: these are the first 3 of 4")
    )
    assert sent == [3]
    page.get_by_role("button", name="Sort and filter").click()
    page.get_by_label("Name contains").fill("tiny")
    expect(page.locator("#groups-state")).to_have_text("Nothing that is shown was compared yet.")
    expect(page.locator("#groups-list .card")).to_have_count(0)
    page.get_by_label("Name contains").fill("")
    expect(page.locator("#groups-list .card")).to_have_count(3)


def test_a_rejected_question_says_why_and_can_be_asked_again(page: Page, files: dict[str, bytes]) -> None:
    page.route("**/pick", lambda route: route.abort())
    _grouped(page, files)
    problem = page.locator("#groups-state .problem")
    expect(problem).to_contain_text("The service cannot be reached")
    page.unroute("**/pick")
    problem.get_by_role("button", name="Try again").click()
    expect(page.locator(".group .card")).to_have_count(3)
