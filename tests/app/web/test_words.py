"""The page puts numbers into words by the calibration that GET /models gives, as the command line does."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from models.calibration import Calibration, Thresholds, describe
from models.faults import FAULTS
from models.vocabulary import ADJECTIVES, DIMENSIONS
from tests.app.running import running
from tests.app.web.browser import await_counts, card, drop, opened
from tests.calibrations import calibrated, calibration

pytestmark = pytest.mark.system

_SAY = """
async ([said, answers]) => {
    const words = await import("./web/words.js");
    words.learn(said);
    return answers.map((answer) => {
        const model = answer.models[answer.model];
        return {
            reading: words.reading(model),
            faults: words.faults(model).map((fault) => fault.word),
            better: words.betterThan(model),
            sentence: words.sentence(answer),
        };
    });
}
"""


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        yield page


def models(found: Calibration | None) -> dict[str, Any]:
    """What GET /models says of weights with the digest a4, in so far as words need it."""
    dumped = None if found is None else found.model_dump(mode="json")
    faults = [
        {"name": fault.name, "dimension": fault.dimension, "adjectives": list(fault.adjectives),
         "slight": fault.slight, "strong": fault.strong}
        for fault in FAULTS
    ]  # fmt: skip
    return {"models": [{"weights": {"sha256": "a4"}, "calibration": dumped}], "faults": faults}


def answer(score: float, dimensions: float = 0.5, otherwise: float = 0.1, **words: float) -> dict[str, Any]:
    """An answer with these probabilities of adjectives, and `otherwise` for the others."""
    adjectives = [
        {"adjective": each.word, "probability": words.get(each.word.replace("-", "_"), otherwise)}
        for each in ADJECTIVES
    ]
    adjectives.append({"adjective": "moody", "probability": None})  # one beyond the 40
    values = dict.fromkeys(DIMENSIONS, dimensions)
    model = {"score": score, "weights": {"sha256": "a4"}, "dimensions": values, "adjectives": adjectives}
    return {"model": "bpclip", "models": {"bpclip": model}, "dimensions": values}


def say(page: Page, said: dict[str, Any], *answers: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(_SAY, [said, list(answers)])
    return found


def test_the_page_and_the_command_line_agree(page: Page) -> None:
    draw = random.Random(1)
    answers = [
        answer(draw.random(), **{each.word.replace("-", "_"): draw.random() ** 2 for each in ADJECTIVES})
        for _ in range(200)
    ]
    thresholds = {
        fault.name: Thresholds(
            slight=0.3 + 0.02 * number,
            strong=0.5 + 0.02 * number,
            strong_from_fair=None if number % 2 else 0.6 + 0.02 * number,
        )
        for number, fault in enumerate(FAULTS[:-1])
    }
    for found in (calibration(faults=thresholds), None):
        wholes = []
        for each, spoken in zip(answers, say(page, models(found), *answers), strict=True):
            model = each["models"]["bpclip"]
            probabilities = {word["adjective"]: word["probability"] for word in model["adjectives"]}
            wanted = describe(model["score"], probabilities, found)
            assert spoken["reading"] == wanted.reading.capitalize()
            assert spoken["faults"] == wanted.phrases
            if wanted.percentile is None:
                assert spoken["better"] is None
            elif 1 <= wanted.percentile < 99:
                assert abs(int(re.search(r"\d+", spoken["better"])[0]) - wanted.percentile) <= 0.51
            wholes.append(wanted)
        assert {whole.reading for whole in wholes} >= {"good", "fair", "poor", "bad"}
        assert any(whole.faults for whole in wholes) == (found is not None)


@pytest.mark.parametrize(
    ("given", "sentence", "reading"),
    [
        (answer(0.66, 0.9), "Sharp and clean, with good contrast.", "Excellent"),
        (answer(0.66, 0.5), "Nothing stands out as a fault.", "Excellent"),
        (answer(0.3, 0.9), "No single fault stands out.", "Poor"),
        (answer(0.66, blocky=0.7), "Blocky.", "Fair"),
        (answer(0.6, blocky=0.5), "Slightly blocky.", "Good"),
        (answer(0.1, blocky=0.7, dark=0.9, underexposed=0.7), "Underexposed and blocky.", "Bad"),
        (
            answer(0.6, blocky=0.5, overexposed=0.45, oversaturated=0.9, dark=0.6, underexposed=0.5),
            "Oversaturated, slightly underexposed and slightly blocky.",
            "Fair",
        ),
    ],
)
def test_sentences(page: Page, given: dict[str, Any], sentence: str, reading: str) -> None:
    (spoken,) = say(page, models(calibration()), given)
    assert (spoken["sentence"], spoken["reading"]) == (sentence, reading)


def test_how_many_score_lower(page: Page) -> None:
    said = say(page, models(calibration()), *(answer(score) for score in (0.1, 0.25, 0.4512, 0.7)))
    assert [each["better"] for each in said] == [
        "hardly any",
        "about 10 of 100",
        "about 50 of 100",
        "nearly all",
    ]


def test_without_a_calibration_no_fault_is_named(page: Page) -> None:
    said = say(page, models(None), *(answer(score, otherwise=1.0) for score in (0.8, 0.6, 0.4, 0.2, 0.1)))
    assert [each["reading"] for each in said] == ["Excellent", "Good", "Fair", "Poor", "Bad"]
    assert {each["sentence"] for each in said} == {
        "These weights have no calibration, so no faults are named."
    }
    assert all(each["faults"] == [] and each["better"] is None for each in said)


def test_of_weights_that_nothing_is_known_of_nothing_is_said(page: Page) -> None:
    (spoken,) = say(page, {"models": [], "faults": []}, answer(0.5))
    assert (spoken["sentence"], spoken["better"]) == ("", None)


@pytest.fixture(scope="module")
def calibrated_url(
    weights_environment: dict[str, str], weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A service whose BPCLIP calls everything blocky."""
    always = {"compression": Thresholds(slight=0.0, strong=0.0)}
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
            expect(card(page, name).locator("[data-part=sentence]")).to_have_text("Blocky.")
            expect(card(page, name).locator("[data-part=reading]")).to_have_text(
                re.compile("^(Fair|Poor|Bad)$")
            )
        page.get_by_role("button", name="Look at coffee.jpg").click()
        dialog = page.get_by_role("dialog", name="coffee.jpg")
        expect(dialog).to_contain_text(re.compile(r"Of ordinary photographs, .* score lower \(BPCLIP\)\."))


def test_photographs_that_were_scored_before_the_calibration_came_are_described_then(
    browser: Browser, calibrated_url: str, photographs: dict[str, bytes]
) -> None:
    held: list[Route] = []
    with opened(browser, calibrated_url) as page:
        page.route("**/models", lambda route: held.append(route))
        page.reload()
        drop(page, photographs)
        await_counts(page, "3 of 3 scored")
        sentence = card(page, "coffee.jpg").locator("[data-part=sentence]")
        expect(sentence).to_have_text("")
        for route in held:
            route.continue_()
        expect(sentence).to_have_text("Blocky.")


def test_new_weights_are_asked_for_once(
    browser: Browser, calibrated_url: str, photographs: dict[str, bytes]
) -> None:
    asked: list[int] = []

    def of_other_weights(route: Route) -> None:
        asked.append(len(asked))
        said = route.fetch().json()
        if len(asked) == 1:  # as before the service was started anew
            for model in said["models"]:
                model["weights"]["sha256"] = "b5"
        route.fulfill(json=said)

    with opened(browser, calibrated_url) as page:
        page.route("**/models", of_other_weights)
        page.reload()
        expect(page.locator("#about")).to_contain_text("Scored by")
        drop(page, photographs)
        await_counts(page, "3 of 3 scored")
        for name in photographs:
            expect(card(page, name).locator("[data-part=sentence]")).to_have_text("Blocky.")
        assert len(asked) == 2
