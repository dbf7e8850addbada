"""Photographs are dropped on the page: scores, the map, sorting, filters, the table, many at once."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.bulk.file_formats import Csv
from app.bulk.rows import Row, flat
from app.errors import Overloaded
from app.schemas.columns import Column, columns
from models.vocabulary import DIMENSIONS
from tests.app.files import encoded
from tests.app.web.browser import await_counts, card, drop, hundred, names, opened, solo
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
        # Without a calibration a dimension deviates below one half; the two lowest are shown.
        low = sorted((value, each) for each, value in answer["dimensions"].items() if each != "overall")
        wanted = [(each, value) for value, each in low if value < 0.5][:2]
        bars = shown.locator(".bar").evaluate_all(
            "(bars) => bars.map((bar) => [bar.dataset.dimension, Number(bar.querySelector('data').value)])"
        )
        assert [tuple(bar) for bar in bars] == wanted
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


def test_the_map_tints_what_lies_clearly_below_the_median_and_nothing_else(
    page: Page, answers: Answers
) -> None:
    answer = answers["coffee.jpg"]
    rows, columns = np.array(answer["quality_map"]["values"]).shape
    values = np.full((rows, columns), 0.8)
    # Nearly as the rest, below it, and far below it; the middles are far from the smoothed edges.
    values[1:4, 1:4], values[1:4, 8:11], values[5:8, 5:8] = 0.75, 0.6, 0.2
    drawn, summary = page.evaluate(
        """async (answer) => {
            const { drawMap, summary } = await import("./web/display/map.js");
            const canvas = document.createElement("canvas");
            drawMap(canvas, answer);
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const alpha = ([row, column]) =>
                data[4 * ((32 * row + 16) * canvas.width + 32 * column + 16) + 3] / 255;
            return [
                [canvas.width, canvas.height, ...[[6, 1], [2, 2], [2, 9], [6, 6]].map(alpha)],
                summary(answer.quality_map.values),
            ];
        }""",
        answer | {"quality_map": {"width": columns, "height": rows, "values": values.tolist()}},
    )
    seen = answer["models"]["bpclip"]["scored"]
    assert drawn[:2] == [seen["width"], seen["height"]]
    # From 0.08 below the median the tint rises from 0.3 to all of it at 0.3 below.
    assert drawn[2:] == pytest.approx([0, 0, 0.3 + 0.7 * 0.12 / 0.22, 1], abs=0.02)
    assert summary == pytest.approx(
        {"median": 0.8, "least": 0.2, "from": 0.72, "to": 0.5, "share": 18 / (rows * columns)}
    )


def test_the_set_is_sorted_and_filtered(scored: Page, answers: Answers) -> None:
    def by(value: Callable[[Any], Any]) -> list[str]:
        return sorted(answers, key=lambda name: value(answers[name]))

    scored.get_by_role("button", name="Sort and filter").click()
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


def test_the_worst_come_first_on_request(scored: Page, answers: Answers) -> None:
    worst = scored.get_by_role("button", name="Worst first")
    worst.click()
    expect(worst).to_have_attribute("aria-pressed", "true")
    assert names(scored) == sorted(answers, key=lambda name: answers[name]["score"])
    worst.click()
    expect(worst).to_have_attribute("aria-pressed", "false")
    assert names(scored) == list(answers)


def test_one_photograph_is_shown_large_before_its_answer_comes(
    page: Page, photographs: dict[str, bytes]
) -> None:
    held: list[Route] = []
    page.route("**/score?*", lambda route: held.append(route))
    drop(page, {"coffee.jpg": photographs["coffee.jpg"]})
    expect(solo(page).locator(".busy")).to_have_text("Scoring")
    image = solo(page).locator("img")
    expect(image).to_be_visible()
    before = image.bounding_box()
    assert before["width"] > 700
    image.evaluate("(image) => (image.dataset.same = 'yes')")
    held[0].continue_()
    await_counts(page, "1 of 1 scored")
    # The answer neither moves nor replaces it.
    assert image.get_attribute("data-same") == "yes"
    assert image.bounding_box() == pytest.approx(before, abs=1)


def test_faults_are_marked_where_they_are_and_facts_are_listed(
    page: Page, photographs: dict[str, bytes]
) -> None:
    faults = [
        {
            "fault": "blur",
            "severity": "strong",
            "confidence": 0.934,
            "region": "right",
            "message": "the right half is soft",
        },
        {"fault": "noise", "severity": "slight", "confidence": 0.6, "region": "whole", "message": "grainy"},
        {"fault": "dull", "severity": "slight", "confidence": 0.5, "message": "slightly dull"},
    ]
    facts = {"jpeg_quality": 92, "detail": {"enlarged": True, "entropy": 7.312}, "clipped_shadows": 0.05}
    said = {"faults": faults, "facts": facts, "percentile": 23.4, "reading": "poor", "summary": "Soft."}
    page.route("**/score?*", lambda route: route.fulfill(json=route.fetch().json() | said))
    drop(page, {"coffee.jpg": photographs["coffee.jpg"]})
    await_counts(page, "1 of 1 scored")
    expect(solo(page).locator("[data-part=score]")).to_have_text("Poor")
    expect(solo(page).locator("[data-part=standing]")).to_have_text("Better than 23 of 100 photographs")
    expect(solo(page).locator(".faults li")).to_have_text(
        ["The right half is soft93\u00a0% sure", "Grainy60\u00a0% sure", "Slightly dull50\u00a0% sure"]
    )
    mark = solo(page).locator(".mark")
    expect(mark).to_have_text(["The right half is soft"])
    frame, box = (part.bounding_box() for part in (solo(page).locator(".stage-frame"), mark))
    assert box["x"] > frame["x"] + frame["width"] / 2
    assert box["width"] == pytest.approx(frame["width"] / 2, abs=20)
    rows = dict(
        zip(
            *(solo(page).locator(f".facts {tag}").all_text_contents() for tag in ("dt", "dd")),
            strict=True,
        )
    )
    wanted = {"JPEG quality": "92", "Enlarged": "yes", "Entropy": "7.31", "Black shadows": "5.0\u00a0%"}
    assert rows | wanted == rows


def exported(page: Page, button: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_bytes().decode("utf-8-sig")


def test_the_set_is_exported_as_the_command_line_writes_it(scored: Page, answers: Answers) -> None:
    drop(scored, {'=1+1,"x".jpg': b"no image at all"})
    await_counts(scored, "3 of 4 scored, 1 problem")
    rows = {row["file"]: row for row in json.loads(exported(scored, "JSON"))}
    table = io.StringIO(exported(scored, "Export CSV"), newline="")
    lines = {line["file"]: line for line in csv.DictReader(table)}
    known = columns(("qualiclip", "bpclip"))
    assert len(rows) == len(lines) == 4
    for name, answer in answers.items():
        wanted = flat({"file": name, **answer})
        assert list(rows[name]) == list(lines[name]) == list(wanted) == [column.name for column in known]
        assert rows[name] == wanted
        written = written_by_the_command_line(wanted, known)
        assert numbers(lines[name], known) == numbers(written, known)
    # A spreadsheet would run a name that begins like a formula.
    assert lines['\'=1+1,"x".jpg']["problem"].startswith("unsupported-media-type: ")
    assert lines['\'=1+1,"x".jpg']["score"] == ""


def written_by_the_command_line(row: Row, known: Sequence[Column]) -> dict[str, str]:
    file = io.BytesIO()
    Csv().write([row], known, file, "")
    return next(csv.DictReader(io.StringIO(file.getvalue().decode(), newline="")))


def numbers(line: dict[str, str], known: Sequence[Column]) -> Row:
    """A line with its numbers as such: Python writes 1.0 what JavaScript writes 1."""
    is_number = {column.name for column in known if column.kind == "number"}
    return {name: float(text) if text and name in is_number else text for name, text in line.items()}


def test_the_details_of_a_photograph(scored: Page, answers: Answers) -> None:
    card(scored, "coffee.jpg").get_by_role("button", name="Look at coffee.jpg").click()
    dialog = scored.get_by_role("dialog", name="coffee.jpg")
    dialog.locator("summary").click()
    for dimension in DIMENSIONS:
        value = dialog.locator(f".everything [data-dimension={dimension}] data").get_attribute("value")
        assert float(value) == answers["coffee.jpg"]["dimensions"][dimension]
    expect(dialog.locator("table")).to_have_count(7)  # six dimensions, and the prompts
    words = [text for text in dialog.locator("tbody th").all_text_contents() if not text.startswith("“")]
    assert len(words) == 20
    dialog.get_by_role("switch", name="Quality map").check()
    expect(dialog.locator("canvas")).to_be_visible()
    box = dialog.locator(".stage-frame").bounding_box()
    scored.mouse.move(box["x"] + 5, box["y"] + 5)
    corner = answers["coffee.jpg"]["quality_map"]["values"][0][0]
    expect(dialog.locator("#map-read")).to_contain_text(f"Local quality here: {hundred(corner)} of 100")
    dialog.locator(".everything summary").last.click()
    expect(dialog.locator("pre")).to_contain_text(answers["coffee.jpg"]["image"]["sha256"])
    scored.keyboard.press("Escape")
    card(scored, "coffee.jpg").get_by_role("button", name="Look at coffee.jpg").click()
    scored.keyboard.press("ArrowRight")
    expect(scored.get_by_role("dialog", name="chelsea.png")).to_be_visible()
    scored.keyboard.press("Escape")
    expect(scored.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("beside", [True, False])
def test_the_measurements_of_a_model_without_adjectives(
    page: Page, photographs: dict[str, bytes], answers: Answers, beside: bool
) -> None:
    answer = answers["coffee.jpg"]
    (name, worded), *_ = answer["models"].items()
    plain = worded | {"score": 0.387, "adjectives": [], "dimensions": None, "prompt_pairs": []}
    if beside:
        said = answer | {"models": {**answer["models"], "mean-brightness": plain}}
    else:
        said = answer | {"models": {name: plain}, "model": name, "dimensions": None, "adjectives": []}
    page.route("**/score?*", lambda route: route.fulfill(json=said))
    drop(page, {"coffee.jpg": photographs["coffee.jpg"]})
    await_counts(page, "1 of 1 scored")
    solo(page).locator(".everything summary").first.click()
    expect(solo(page).locator(".everything li", has_text="0.387 of 1.")).to_be_visible()
    expect(solo(page).get_by_role("heading", name="Adjectives")).to_have_count(int(beside))
    expect(solo(page).get_by_role("heading", name="Dimensions")).to_have_count(int(beside))


def test_a_format_that_the_browser_cannot_show_is_scored_all_the_same(page: Page) -> None:
    drop(page, {"rocket.tif": encoded(named()["rocket"][:200, :300], "TIFF")})
    await_counts(page, "1 of 1 scored")
    expect(solo(page).locator(".unseen-text")).to_have_text(
        "TIFF cannot be shown by this browser; it is scored all the same."
    )
    expect(solo(page).locator("[data-part=standing]")).to_have_text(re.compile(r"^Score \d+ of 100$"))
    drop(page, {"other.tif": encoded(named()["rocket"][200:, :300], "TIFF")})
    await_counts(page, "2 of 2 scored")
    expect(card(page, "rocket.tif").locator("[data-part=placeholder]")).to_have_text("TIFF")


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
    drop(page, {name: encoded(named()["chelsea"][64:128, :64]) for name in ("a.jpg", "b.jpg")})
    await_counts(page, "3 of 3 scored")
    card(page, "image.png").hover()
    page.get_by_role("button", name="Remove image.png").click()
    expect(page.locator("#cards > li")).to_have_count(2)
    card(page, "a.jpg").hover()
    page.get_by_role("button", name="Remove a.jpg").click()
    expect(solo(page).locator(".file-name")).to_have_text("b.jpg")  # the last one is shown large
    expect(page.locator("#cards")).to_be_hidden()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#set")).to_be_hidden()
    expect(page.locator("#invitation")).to_be_visible()
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
    page.get_by_label("Check against").select_option("strict")
    expect(page.locator("#policy-note")).to_have_text("For tests.")
    expect(page.locator(".verdict:visible")).to_have_count(3)
    expect(page.locator(".verdict:visible").first).to_have_text("? ReviewThe photograph is not sharp enough.")
    page.locator("#cards img:visible").first.click()
    expect(page.locator("dialog:visible .verdict")).to_have_text(
        "Against strict? ReviewThe photograph is not sharp enough. BPCLIP 31, limit 40"
        "The photograph is not sharp enough. QualiCLIP 20, limit 40"
    )
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Sort and filter").click()
    page.get_by_role("combobox", name="Show").select_option("fail")
    expect(page.locator("#cards > li")).to_have_count(0)
    page.get_by_role("combobox", name="Show").select_option("review")
    expect(page.locator("#cards > li")).to_have_count(3)


def test_the_built_in_policy_judges(page: Page, photographs: dict[str, bytes], service: httpx.Client) -> None:
    drop(page, photographs)
    await_counts(page, "3 of 3 scored")
    page.get_by_label("Check against").select_option(label="upload rules")
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
    page.get_by_role("button", name="Sort and filter").click()
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
    expect(solo(page).locator(".busy")).to_have_text("The service is busy; trying again in 1 s")
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
