"""What the page says of each problem, and what it does about it; the key with it."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.auth.api_keys import ApiKey, digest_of
from app.errors import PROBLEMS, TemporaryError
from tests.app.files import encoded, png_header
from tests.app.running import running
from tests.app.web.browser import await_counts, card, drop, opened, solo
from tests.app.web.conftest import MAX_BODY_BYTES
from tests.photographs import named

pytestmark = pytest.mark.system

_KEY = "iqa_key-of-the-tests"
# Of a file that nothing is wrong with, and that needs no key.
_ANSWERED = [slug for slug in PROBLEMS if slug != "unauthorized"]


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        yield page


@pytest.fixture(scope="module")
def small() -> bytes:
    return encoded(named()["coffee"][:100, :120])


@pytest.fixture(scope="module")
def locked(weights_environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A client, without the key, of a service that asks for one."""
    line = ApiKey("tests", digest_of(_KEY.encode())).line()
    with running({"IQA_API_KEYS": line} | weights_environment) as (_, client):
        yield client


def test_every_problem_of_the_contract_has_words_of_its_own(page: Page) -> None:
    said = page.evaluate(
        """async (slugs) => {
            const { explained } = await import("./web/service/problems.js");
            const bare = { title: "its own", detail: "", fields: {}, retryAfter: null };
            return slugs.map((slug) => explained({ ...bare, slug }));
        }""",
        [*PROBLEMS, "of-a-later-version"],
    )
    *known, unknown = said
    assert len({each["title"] for each in known}) >= len(known) - 2
    for slug, each in zip(PROBLEMS, known, strict=True):
        assert each["title"] != "its own", slug
        assert len(each["text"]) > 20, slug
        assert "undefined" not in each["text"], slug
    assert unknown == {"title": "its own", "text": "The service gave no reason.", "again": False}


@pytest.mark.parametrize(
    ("suffixes", "taken"),
    [
        ([".jpg", ".heic"], ["a.JPG", "b.heic", "c"]),
        ([], ["a.JPG", "b.heic", "c", "e.cfg"]),  # not known yet, or of a service before it named them
        (None, ["a.JPG", "b.heic", "c", "e.cfg"]),
    ],
)
def test_the_images_of_a_folder_are_told_by_what_the_service_takes(
    page: Page, suffixes: list[str] | None, taken: list[str]
) -> None:
    chosen = page.evaluate(
        """async (suffixes) => {
            const { imagesOnly } = await import("./web/photographs/files.js");
            const types = { "a.JPG": "", "b.heic": "", c: "image/png", "d.txt": "text/plain", "e.cfg": "" };
            const files = Object.entries(types).map(([name, type]) => new File(["x"], name, { type }));
            return imagesOnly(files, suffixes && { suffixes }).map((file) => file.name);
        }""",
        suffixes,
    )
    assert chosen == taken


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"reason": "no-image"}, True),
        ({"reason": "decoder-missing"}, True),
        ({"reason": "unknown-format"}, False),
        ({}, False),  # of a service before it gave reasons, or of the page itself
    ],
)
def test_why_a_format_is_not_read_is_shown_where_the_service_knows(
    page: Page, fields: dict[str, str], shown: bool
) -> None:
    said = page.evaluate(
        """async (fields) => {
            const { explained } = await import("./web/service/problems.js");
            const { Problem } = await import("./web/service/service.js");
            // The sentence may be worded in any way: it decides nothing.
            const detail = "HEIC. The body.";
            return explained(new Problem("unsupported-media-type", { detail, fields })).text;
        }""",
        fields,
    )
    assert (said == "HEIC. The body.") is shown


def test_each_problem_is_shown_on_its_photograph(page: Page) -> None:
    def answer(route: Route) -> None:
        slug = (route.request.post_data_buffer or b"").decode()
        # Longer than the page waits by itself.
        wait = {"retry_after": 600} if issubclass(PROBLEMS[slug], TemporaryError) else {}
        problem = PROBLEMS[slug](**wait)
        route.fulfill(
            status=problem.status,
            json=problem.body("id-of-" + slug),
            headers=problem.headers,
        )

    page.route("**/score?*", answer)
    drop(page, {f"{slug}.jpg": slug.encode() for slug in _ANSWERED})
    await_counts(page, f"0 of {len(_ANSWERED)} scored, {len(_ANSWERED)} problems")
    for slug in _ANSWERED:
        problem = card(page, f"{slug}.jpg").locator(f".problem[data-slug={slug}]")
        expect(problem).to_have_count(1)  # those that are far down the page are not drawn
        if issubclass(PROBLEMS[slug], TemporaryError):
            expect(problem.locator("button")).to_have_text("Try again")
    waits = card(page, "rate-limited.jpg").locator(".problem")
    expect(waits).to_contain_text("Try again in 10 minutes.")
    expect(card(page, "internal-error.jpg").locator(".problem")).to_contain_text("id-of-internal-error")


def test_files_that_the_service_refuses(page: Page) -> None:
    photo = encoded(named()["chelsea"])
    files = {
        "text.jpg": (b"This is no image at all. " * 10, "Not a photograph that can be read"),
        "cut.jpg": (photo[: len(photo) // 2], "The file is damaged"),
        "tiny.png": (encoded(named()["coffee"][:16, :16], "PNG"), "The photograph is too small"),
        "huge.png": (png_header(5000, 5000), "The photograph has too many pixels"),
    }
    drop(page, {name: data for name, (data, _) in files.items()})
    await_counts(page, "0 of 4 scored, 4 problems")
    for name, (_, title) in files.items():
        expect(card(page, name).locator(".problem-title")).to_have_text(f"! {title}")
    expect(card(page, "tiny.png").locator(".problem")).to_contain_text("32 pixels or more; it has 16 × 16")


def test_what_is_sure_to_be_refused_is_not_sent(page: Page, small: bytes) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    expect(page.locator("#limits")).to_contain_text("JPEG")
    drop(page, {"large.jpg": small + bytes(MAX_BODY_BYTES), "empty.jpg": b""})
    await_counts(page, "0 of 2 scored, 2 problems")
    expect(card(page, "large.jpg").locator(".problem")).to_contain_text("Files may have 391\u00a0KB.")
    expect(card(page, "empty.jpg").locator(".problem-title")).to_have_text("! The file is damaged")
    assert [each for each in sent if "/score" in each] == []


def test_without_a_network_photographs_stay_and_are_tried_again(page: Page, small: bytes) -> None:
    page.route("**/score?*", lambda route: route.abort("connectionrefused"))
    drop(page, {"a.jpg": small})
    expect(solo(page).locator(".busy")).to_have_text("The service cannot be reached; trying again in 1 s")
    expect(solo(page).locator(".problem-title")).to_have_text("! The service cannot be reached")
    page.unroute("**/score?*")
    solo(page).get_by_role("button", name="Try again").click()
    await_counts(page, "1 of 1 scored")


def test_an_answer_from_something_in_between(page: Page, small: bytes) -> None:
    page.route("**/score?*", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
    drop(page, {"a.jpg": small})
    problem = solo(page).locator(".problem")
    expect(problem).to_contain_text("Something in between answered")
    expect(problem).to_contain_text("502")


def test_a_key_is_asked_for_once_kept_and_forgotten(
    browser: Browser, locked: httpx.Client, small: bytes
) -> None:
    with opened(browser, str(locked.base_url)) as page:
        dialog = page.get_by_role("dialog", name="This service asks for a key")
        expect(dialog).to_be_visible()
        expect(page.get_by_label("Key", exact=True)).to_be_focused()
        # Without one, nothing is scored and nothing is lost.
        page.keyboard.press("Escape")
        drop(page, {"a.jpg": small, "b.jpg": small[:-2] + b"\0\xff\xd9"})
        expect(dialog).to_be_visible()
        page.get_by_role("button", name="Not now").click()
        expect(page.locator(".problem-title").first).to_have_text("! A key is needed")
        page.get_by_role("button", name="Enter key").click()
        page.get_by_label("Key", exact=True).fill("iqa_wrong")
        page.keyboard.press("Enter")
        # It is only known to be wrong when it is used.
        expect(page.locator("#key-wrong")).to_have_text(
            "The service does not know the last key. Look at it once more."
        )
        page.get_by_label("Key", exact=True).fill(_KEY)
        page.keyboard.press("Enter")
        await_counts(page, "2 of 2 scored")
        expect(page.locator("#limits")).to_contain_text("JPEG")
        page.reload()
        expect(page.locator("#limits")).to_contain_text("JPEG")
        drop(page, {"a.jpg": small})
        await_counts(page, "1 of 1 scored")
        expect(dialog).to_be_hidden()
        page.get_by_role("button", name="Forget key").click()
        drop(page, {"c.jpg": small + b"\0"})
        expect(dialog).to_be_visible()
