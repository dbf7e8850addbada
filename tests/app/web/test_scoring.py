"""Photographs are dropped on the page: scores, the map, sorting, filters, the table, many at once."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.errors import Overloaded
from app.imaging import heatmap
from models.vocabulary import DIMENSIONS
from tests.app.files import encoded
from tests.app.web.browser import await_counts, card, drop, hundred, names, opened
from tests.photographs import named

pytestmark = pytest.mark.system

Answers = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def answers(service: httpx.Client, photographs: dict[str, bytes]) -> Answers:
    """What the interface says of the three photographs."""
    return {
        name: service.post("/score?quality_map=true", content=data).json()
        for name, data in photographs.items()
    }


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        yield page


@pytest.fixture
def scored(page: Page, photographs: dict[str, bytes]) -> Page:
    drop(page, photographs)
    await_counts(page, "3 of 3 scored")
    return page


def test_dropped_photographs_show_what_the_interface_answers(scored: Page, answers: Answers) -> None:
    for name, answer in answers.items():
        shown = card(scored, name)
        score = shown.locator("[data-part=score]")
        assert float(score.get_attribute("value")) == answer["score"]
        expect(score).to_have_text(hundred(answer["score"]))
        for dimension in DIMENSIONS:
            value = shown.locator(f"[data-dimension={dimension}] data")
            assert float(value.get_attribute("value")) == answer["dimensions"][dimension]
        image = answer["image"]
        expect(shown.locator("[data-part=facts]")).to_contain_text(
            f"{image['width']}\u00a0×\u00a0{image['height']}"
        )
        expect(shown.locator("[data-part=sentence]")).to_have_text(
            "These weights have no calibration, so no faults are named."
        )
        expect(shown.locator("img")).to_be_visible()
    expect(scored.locator("#spoken")).to_have_text("3 of 3 scored.")


def test_the_map_lies_over_the_photographs_when_it_is_switched_on(scored: Page) -> None:
    maps = scored.locator("#cards canvas")
    expect(maps.first).to_be_hidden()
    switch = scored.get_by_role("switch", name="Quality map")
    switch.check()
    for i in range(3):
        expect(maps.nth(i)).to_be_visible()
    switch.uncheck()
    expect(maps.first).to_be_hidden()


def test_the_map_has_the_colours_of_the_services_own(page: Page, answers: Answers) -> None:
    scale = page.evaluate("import('./web/map.js').then((map) => map.scale())")
    assert np.abs(np.array(scale) - heatmap.scale()).max() <= 1
    # The middle of a cell has that cell's colour, whatever is drawn between the middles.
    answer = answers["coffee.jpg"]
    drawn = page.evaluate(
        """async (answer) => {
            const { drawMap } = await import("./web/map.js");
            const canvas = document.createElement("canvas");
            drawMap(canvas, answer);
            const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const at = 4 * ((5 * 32 + 16) * width + 7 * 32 + 16);
            return [canvas.width, canvas.height, [...data.slice(at, at + 3)]];
        }""",
        answer,
    )
    seen = answer["models"]["bpclip"]["scored"]
    assert drawn[:2] == [seen["width"], seen["height"]]
    badness = 1 - answer["quality_map"]["values"][5][7]
    wanted = heatmap.scale()[round(badness * 255)].astype(int)
    assert np.abs(np.array(drawn[2]) - wanted).max() <= 6


def test_the_set_is_sorted_and_filtered(scored: Page, answers: Answers) -> None:
    def by(value: Callable[[Any], Any]) -> list[str]:
        return sorted(answers, key=lambda name: value(answers[name]))

    sort, direction = scored.get_by_label("Sort by"), scored.locator("#direction")
    assert names(scored) == list(answers)
    sort.select_option("name")
    expect(scored.locator("#cards h3").first).to_have_text("chelsea.png")
    assert names(scored) == sorted(answers)
    orders = {
        "score": by(lambda answer: answer["score"]),
        "contrast": by(lambda answer: answer["dimensions"]["contrast"]),
    }
    for key, wanted in orders.items():
        sort.select_option(key)
        expect(direction).to_have_text("Highest first")
        assert names(scored) == wanted[::-1]
        direction.click()
        expect(direction).to_have_text("Lowest first")
        assert names(scored) == wanted

    scored.get_by_label("Name contains").fill("C")
    expect(scored.locator("#cards > li")).to_have_count(3)
    scored.get_by_label("Name contains").fill("ch")
    expect(scored.locator("#cards > li")).to_have_count(2)
    best = max(answers, key=lambda name: answers[name]["score"])
    scored.get_by_label("Name contains").fill("")
    scored.get_by_label("Score from").fill(hundred(answers[best]["score"]))
    at_least = [
        name for name in answers if hundred(answers[name]["score"]) == hundred(answers[best]["score"])
    ]
    expect(scored.locator("#cards > li")).to_have_count(len(at_least))
    scored.get_by_role("combobox", name="Show").select_option("problem")
    expect(scored.locator("#nothing")).to_be_visible()
    scored.get_by_role("button", name="Show all").click()
    expect(scored.locator("#cards > li")).to_have_count(3)


def test_the_set_is_exported_as_a_table(scored: Page, answers: Answers) -> None:
    drop(scored, {'=1+1,"x".jpg': b"no image at all"})
    await_counts(scored, "3 of 4 scored, 1 problem")
    with scored.expect_download() as download:
        scored.get_by_role("button", name="Export CSV").click()
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert len(rows) == 4
    for name, answer in answers.items():
        row = rows[name]
        assert float(row["score"]) == answer["score"]
        assert float(row["qualiclip_score"]) == answer["models"]["qualiclip"]["score"]
        assert {key: float(row[key]) for key in DIMENSIONS} == answer["dimensions"]
        assert (row["width"], row["sha256"]) == (str(answer["image"]["width"]), answer["image"]["sha256"])
        assert row["problem"] == ""
    # A spreadsheet would run a name that begins like a formula.
    assert rows['\'=1+1,"x".jpg']["problem"].startswith("unsupported-media-type: ")
    assert rows['\'=1+1,"x".jpg']["score"] == ""


def test_the_details_of_a_photograph(scored: Page, answers: Answers) -> None:
    card(scored, "coffee.jpg").get_by_role("button", name="Look at coffee.jpg").click()
    dialog = scored.get_by_role("dialog", name="coffee.jpg")
    expect(dialog.locator("table")).to_have_count(7)  # six dimensions, and the prompts
    words = [text for text in dialog.locator("tbody th").all_text_contents() if not text.startswith("“")]
    assert len(words) == 20
    dialog.get_by_role("switch", name="Quality map").check()
    expect(dialog.locator("canvas")).to_be_visible()
    box = dialog.locator(".stage-frame").bounding_box()
    scored.mouse.move(box["x"] + 5, box["y"] + 5)
    corner = answers["coffee.jpg"]["quality_map"]["values"][0][0]
    expect(dialog.locator("#map-read")).to_have_text(f"Local quality here: {hundred(corner)} of 100.")
    dialog.locator("summary").click()
    expect(dialog.locator("pre")).to_contain_text(answers["coffee.jpg"]["image"]["sha256"])
    scored.keyboard.press("Escape")
    card(scored, "coffee.jpg").get_by_role("button", name="Look at coffee.jpg").click()
    scored.keyboard.press("ArrowRight")
    expect(scored.get_by_role("dialog", name="chelsea.png")).to_be_visible()
    scored.keyboard.press("Escape")
    expect(scored.get_by_role("dialog")).to_have_count(0)


def test_a_format_that_the_browser_cannot_show_is_scored_all_the_same(page: Page) -> None:
    drop(page, {"rocket.tif": encoded(named()["rocket"][:200, :300], "TIFF")})
    await_counts(page, "1 of 1 scored")
    expect(card(page, "rocket.tif").locator("[data-part=placeholder]")).to_have_text("TIFF")
    expect(card(page, "rocket.tif").locator("[data-part=score]")).to_have_text(re.compile(r"^\d+$"))


def test_pasted_and_removed(page: Page) -> None:
    page.evaluate(
        """(bytes) => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        list(encoded(named()["chelsea"][:64, :64], "PNG")),
    )
    await_counts(page, "1 of 1 scored")
    page.get_by_role("button", name="Remove image.png").click()
    expect(page.locator("#cards > li")).to_have_count(0)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#set")).to_be_hidden()
    expect(page.locator("#choose")).to_be_focused()


def test_photographs_are_judged_by_a_policy(page: Page, photographs: dict[str, bytes]) -> None:
    reason = {
        "measure": "dimension", "model": "bpclip", "dimension": "sharpness", "adjective": None,
        "outcome": "review", "value": 0.31, "limit": 0.4, "message": "The photograph is not sharp enough.",
    }  # fmt: skip
    reasons = [reason, reason | {"model": "qualiclip", "value": 0.2}]

    def with_verdict(route: Route) -> None:
        asked = "policy=strict" in route.request.url
        answer = route.fetch(url=route.request.url.replace("&policy=strict", "")).json()
        verdict = {"policy": "strict", "outcome": "review", "reasons": reasons} if asked else None
        route.fulfill(json=answer | {"verdict": verdict})

    policies = {"policies": [{"name": "strict", "description": "For tests.", "models": [], "limits": []}]}
    page.route("**/policies", lambda route: route.fulfill(json=policies))
    page.route("**/score?*", with_verdict)
    page.reload()
    drop(page, photographs)
    await_counts(page, "3 of 3 scored")
    expect(page.locator(".verdict:visible")).to_have_count(0)
    page.get_by_label("Judge by").select_option("strict")
    expect(page.locator("#policy-note")).to_have_text("For tests.")
    expect(page.locator(".verdict:visible")).to_have_count(3)
    expect(page.locator(".verdict:visible").first).to_have_text(
        "? ReviewThe photograph is not sharp enough. (31; the limit is 40)"
    )
    page.locator("#cards img:visible").first.click()
    expect(page.locator("dialog:visible .verdict")).to_have_text(
        "? ReviewThe photograph is not sharp enough. (BPCLIP: 31; the limit is 40)"
        "The photograph is not sharp enough. (QualiCLIP: 20; the limit is 40)"
    )
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Show").select_option("fail")
    expect(page.locator("#cards > li")).to_have_count(0)
    page.get_by_role("combobox", name="Show").select_option("review")
    expect(page.locator("#cards > li")).to_have_count(3)


def test_the_built_in_policy_judges(page: Page, photographs: dict[str, bytes], service: httpx.Client) -> None:
    drop(page, photographs)
    await_counts(page, "3 of 3 scored")
    page.get_by_label("Judge by").select_option("upload")
    outcomes = [
        service.post("/score?policy=upload", content=photo).json()["verdict"]["outcome"]
        for photo in photographs.values()
    ]
    marks = page.locator(".verdict:visible .outcome")
    expect(marks).to_have_text([re.compile(f"{each.capitalize()}$") for each in outcomes])


def test_fifty_at_once_are_all_scored_once_and_the_page_answers_meanwhile(page: Page) -> None:
    photo = named()["coffee"]
    files = {f"{i:02}.jpg": encoded(photo[i : i + 64, i : i + 96]) for i in range(50)}
    held: list[Route] = []
    bodies: list[bytes] = []

    def hold_the_first(route: Route) -> None:
        bodies.append(route.request.post_data_buffer or b"")
        if len(held) < 2:
            held.append(route)
        else:
            route.continue_()

    page.route("**/score?*", hold_the_first)
    drop(page, files)
    await_counts(page, "48 of 50 scored")  # the work is not over, as two of it are held
    page.get_by_label("Name contains").fill("07")
    expect(page.locator("#cards > li")).to_have_count(1)
    page.get_by_role("switch", name="Quality map").check()
    expect(card(page, "07.jpg").locator("canvas")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    await_counts(page, "48 of 50 scored")
    for route in held:
        route.continue_()
    await_counts(page, "50 of 50 scored")
    page.get_by_label("Name contains").fill("")
    expect(page.locator("#cards > li")).to_have_count(50)
    assert names(page) == list(files)
    assert sorted(bodies) == sorted(files.values())


def test_what_is_refused_for_the_moment_comes_again_by_itself(
    page: Page, photographs: dict[str, bytes]
) -> None:
    asked = 0

    def refuse_once(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            route.continue_()
            return
        busy = Overloaded(retry_after=1)
        route.fulfill(status=busy.status, json=busy.body("7d3c"), headers=busy.headers)

    page.route("**/score?*", refuse_once)
    drop(page, {"coffee.jpg": photographs["coffee.jpg"]})
    expect(card(page, "coffee.jpg").locator(".busy")).to_have_text("The service is busy; trying again in 1 s")
    await_counts(page, "1 of 1 scored")
    assert asked == 2


def test_work_is_cancelled_and_taken_up_again(page: Page, photographs: dict[str, bytes]) -> None:
    page.route("**/score?*", lambda route: None)  # no answer comes
    drop(page, photographs)
    page.get_by_role("button", name="Cancel").click()
    await_counts(page, "0 of 3 scored, 3 not scored")
    page.unroute("**/score?*")
    page.get_by_role("button", name="Try 3 again").click()
    await_counts(page, "3 of 3 scored")
