"""The page is for everybody: by keyboard, in the dark, on a phone, read aloud; and under any address."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.app.files import encoded
from tests.app.web.browser import await_counts, card, drop, opened, solo
from tests.photographs import named

pytestmark = pytest.mark.system

_SERIOUS = ("serious", "critical")
_MOST_STEPS = 40  # of the Tab key, from anywhere to anywhere


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        yield page


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    photo = named()["coffee"][:200, :300]
    return {"coffee.jpg": encoded(photo, quality=90), "copy.jpg": encoded(photo, quality=10)}


def _faults(page: Page, scheme: str) -> list[str]:
    """What axe finds in the view as it is."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    found = Axe().run(page).response
    assert found["passes"] or found["violations"]
    return [
        f"{fault['id']}: {node['html'][:120]} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in _SERIOUS
        for node in fault["nodes"]
    ]


def _tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Goes on by keyboard until this has the focus, which then is to be seen."""
    for _ in range(_MOST_STEPS):
        page.keyboard.press(key)
        focused = page.locator(f"{selector}:focus")
        if focused.count():
            shown = focused.evaluate(
                """(element) => [element, element.nextElementSibling].filter(Boolean).some((each) =>
                    [null, "::after"].some((part) => getComputedStyle(each, part).outlineStyle !== "none"))"""
            )
            assert shown, f"{selector} has the focus, and does not show it"
            return
    raise AssertionError(f"{selector} is not reached by {key}")


def test_axe_finds_no_fault_in_any_view(page: Page, files: dict[str, bytes]) -> None:
    faults = {}

    def look(view: str) -> None:
        for scheme in ("light", "dark"):
            if found := _faults(page, scheme):
                faults[f"{view}, {scheme}"] = found

    expect(page.locator("#about")).not_to_be_empty()
    expect(page.locator(".example img[src]")).to_have_count(4)
    look("the invitation")
    page.get_by_role("button", name="Blurred").click()
    await_counts(page, "1 of 1 scored")
    solo(page).get_by_role("switch", name="Quality map").check()
    look("an example")
    drop(page, files | {"broken.jpg": b"no image"})
    await_counts(page, "2 of 3 scored, 1 problem")
    page.get_by_role("button", name="Sort and filter").click()
    page.get_by_role("switch", name="Quality map").check()
    page.get_by_label("Check against").select_option("upload")
    expect(page.locator("#cards .verdict:visible")).to_have_count(2)
    look("the set")
    page.get_by_role("button", name="Groups", exact=True).click()
    expect(page.locator(".group .card")).to_have_count(2)
    look("groups")
    page.get_by_role("button", name="Groups", exact=True).click()
    card(page, "coffee.jpg").get_by_role("button", name="Look at").click()
    page.get_by_role("dialog").locator("summary").click()
    page.get_by_role("dialog").locator(".everything summary").last.click()
    look("a photograph")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Compare").click()
    look("two empty sides")
    drop(page, files)
    expect(page.locator("#divider")).to_be_visible()
    look("a comparison")
    page.get_by_role("switch", name="Difference map").check()
    look("a map of differences")
    page.locator("#key").evaluate("(dialog) => dialog.showModal()")
    look("the key")
    assert faults == {}


def test_a_photograph_is_scored_by_keyboard_alone(page: Page, files: dict[str, bytes]) -> None:
    photo = {"name": "coffee.jpg", "mimeType": "image/jpeg", "buffer": files["coffee.jpg"]}
    _tab_to(page, "#choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([photo])
    await_counts(page, "1 of 1 scored")
    reading, standing, sentence = (
        solo(page).locator(f"[data-part={part}]").inner_text() for part in ("score", "standing", "sentence")
    )
    expect(page.locator("#spoken")).to_have_text(f"coffee.jpg: {reading}. {standing}. {sentence}")
    _tab_to(page, "#detail-map")
    page.keyboard.press("Space")
    expect(solo(page).locator("canvas")).to_be_visible()


def test_many_photographs_are_looked_through_by_keyboard_alone(page: Page, files: dict[str, bytes]) -> None:
    drop(page, files)
    await_counts(page, "2 of 2 scored")
    _tab_to(page, "#worst")
    page.keyboard.press("Space")
    expect(page.locator("#worst")).to_have_attribute("aria-pressed", "true")
    _tab_to(page, "#maps")
    page.keyboard.press("Space")
    expect(page.locator("#cards canvas").first).to_be_visible()
    _tab_to(page, "#cards .picture")
    page.keyboard.press("Enter")
    name = page.locator("#cards h3").first.inner_text()
    expect(page.get_by_role("dialog", name=name)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#cards .picture").first).to_be_focused()


def test_an_example_is_scored_by_keyboard_alone(page: Page) -> None:
    expect(page.locator(".example img[src]")).to_have_count(4)
    _tab_to(page, "[data-example=dark]")
    page.keyboard.press("Enter")
    await_counts(page, "1 of 1 scored")
    expect(page.locator("[data-example=dark]")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(solo(page).locator(".file-name")).to_have_text("coffee-compressed.jpg")


def test_a_pair_is_compared_by_keyboard_alone(page: Page, files: dict[str, bytes]) -> None:
    _tab_to(page, "nav [data-view=compare]")
    page.keyboard.press("Enter")
    for side, name in (("reference", "coffee.jpg"), ("distorted", "copy.jpg")):
        _tab_to(page, f"#choose-{side}")
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files([{"name": name, "mimeType": "image/jpeg", "buffer": files[name]}])
    expect(page.locator("#divider")).to_be_visible()
    _tab_to(page, "#divider")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#divider")).to_have_value("49")


def test_a_phone_needs_no_scrolling_sideways(page: Page, files: dict[str, bytes]) -> None:
    page.set_viewport_size({"width": 360, "height": 740})

    def fits(selector: str = "html") -> None:
        width, room = page.locator(selector).evaluate("(each) => [each.scrollWidth, each.clientWidth]")
        assert width <= room, selector

    fits()
    page.get_by_role("button", name="Good").click()
    await_counts(page, "1 of 1 scored")
    fits()
    name = "a-name-that-is-far-too-long-for-a-phone-" * 4 + ".jpg"
    drop(page, {name: files["coffee.jpg"], "broken.jpg": b"no image"})
    await_counts(page, "1 of 2 scored, 1 problem")
    page.get_by_role("button", name="Sort and filter").click()
    expect(page.get_by_label("Sort by")).to_be_visible()
    fits()
    page.locator(".picture").first.click()
    page.get_by_role("dialog").locator("summary").click()
    expect(page.locator("#detail table").first).to_be_visible()
    fits("#detail")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Compare").click()
    drop(page, files)
    expect(page.locator("#divider")).to_be_visible()
    fits()


def test_in_the_dark_the_ground_is_dark(page: Page) -> None:
    def lightness() -> float:
        color = page.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
        return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")) / 765

    page.emulate_media(color_scheme="light")
    assert lightness() > 0.9
    page.emulate_media(color_scheme="dark")
    assert lightness() < 0.15


@pytest.mark.parametrize("prefix", ["v1/", "iqa/"])
def test_the_page_works_under_a_prefix(
    browser: Browser, url: str, files: dict[str, bytes], prefix: str
) -> None:
    asked: list[str] = []

    def behind(route: Route) -> None:
        """As a proxy does that shows the service under a path of its own."""
        route.fulfill(response=route.fetch(url=route.request.url.replace("/iqa/", "/")))

    with opened(browser, "about:blank") as page:
        page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        page.route("**/iqa/**", behind)
        page.goto(url + prefix)
        drop(page, {"coffee.jpg": files["coffee.jpg"]})
        await_counts(page, "1 of 1 scored")
        page.goto(f"{url}{prefix}#compare")
        drop(page, files)
        expect(page.locator("#compare-score")).to_be_visible()
    paths = {path for path in asked if not path.startswith("null")}
    assert {f"/{prefix}score", f"/{prefix}compare", f"/{prefix}web/app.js"} <= paths
    assert [path for path in paths if path.startswith("/") and not path.startswith(f"/{prefix}")] == []
