"""The page shows the words of the answer; it has none of its own for scores and faults."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from models.calibration import Thresholds
from tests.app.running import running
from tests.app.web.browser import await_counts, card, drop, opened
from tests.calibrations import calibrated

pytestmark = pytest.mark.system

_SAY = """
async (answers) => {
    const words = await import("./web/display/words.js");
    return answers.map((answer) => [
        words.reading(answer), words.sentence(answer), words.standing(answer), words.cautions(answer),
    ]);
}
"""


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        page.locator("#about:not(:empty)").wait_for(state="attached")  # it knows the models' titles then
        yield page


def say(page: Page, *answers: dict[str, Any]) -> list[list[Any]]:
    """Reading, sentence, standing among photographs, and cautions of answers."""
    found: list[list[Any]] = page.evaluate(
        _SAY, [{"score": 0.412, "warnings": [], **answer} for answer in answers]
    )
    return found


def test_an_answer_is_said_as_it_is(page: Page) -> None:
    (said,) = say(page, {"reading": "poor", "summary": "Blurry and noisy.", "percentile": 12.4})
    assert said == ["Poor", "Blurry and noisy.", "Better than 12 of 100 photographs", []]


def test_how_many_score_lower(page: Page) -> None:
    said = say(page, *({"percentile": each} for each in (0.3, 1.0, 50.4, 99.0, None)))
    assert [standing for _, _, standing, _ in said] == [
        "Below nearly all photographs",
        "Better than 1 of 100 photographs",
        "Better than 50 of 100 photographs",
        "Better than nearly all photographs",
        "Score 41 of 100",
    ]


def test_an_answer_of_the_version_before_has_no_words(page: Page) -> None:
    assert say(page, {}) == [["", "", "Score 41 of 100", []]]


def test_a_disagreement_is_a_caution(page: Page) -> None:
    reasons = [
        "models-disagree: qualiclip says good, bpclip says bad.",
        "almost-uniform: known from the warning.",
    ]
    given = {
        "confidence": {"level": "low", "reasons": reasons},
        "warnings": ["almost-uniform: there is nothing.", "scaled-down: it saw less."],
    }
    (said,) = say(page, given)
    assert said[3] == ["QualiCLIP says good, BPCLIP says bad.", "There is next to nothing in it to judge."]


@pytest.fixture(scope="module")
def calibrated_url(
    weights_environment: dict[str, str], weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A service whose BPCLIP calls everything noisy."""
    always = {"noise": Thresholds(slight=0.0, strong=0.0)}
    folder = tmp_path_factory.mktemp("calibrated")
    path = calibrated(weights_folder / "bpclip.safetensors", "bpclip", folder, faults=always)
    with running(weights_environment | {"IQA_BPCLIP_WEIGHTS": str(path)}) as (_, client):
        yield str(client.base_url)


def test_photographs_are_described_by_the_calibration_of_the_weights(
    browser: Browser, calibrated_url: str, photographs: dict[str, bytes]
) -> None:
    with opened(browser, calibrated_url) as page:
        drop(page, photographs)
        await_counts(page, "3 of 3 scored")
        for name in photographs:
            expect(card(page, name).locator("[data-part=sentence]")).to_have_text("Noisy.")
            expect(card(page, name).locator("[data-part=reading]")).to_have_text(
                re.compile("^(Fair|Poor|Bad)$")
            )
        page.get_by_role("button", name="Look at coffee.jpg").click()
        dialog = page.get_by_role("dialog", name="coffee.jpg")
        expect(dialog.locator("[data-part=standing]")).to_have_text(re.compile(r"photographs$"))
