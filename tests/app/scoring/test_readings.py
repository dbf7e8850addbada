"""The answer in words, from a model's result and its card."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.tasks import ModelResult
from app.schemas.measured.exposure import MeasuredExposure
from app.schemas.measured.regions import FaultRegions
from app.schemas.score import NamedFault
from app.scoring import readings
from models.calibration import READINGS
from models.faults import Region
from models.vocabulary import ADJECTIVES
from tests.app.bulk.rows import answer
from tests.app.inference.test_protocol import CARD, RESULT
from tests.calibrations import calibration

MIDDLING = MeasuredExposure(0.3, 0.9, 0.0, 0.0)
CALIBRATED = replace(CARD, calibration=calibration())


def result(score: float, **words: float) -> ModelResult:
    """What a model says of a good image, but for some words."""
    probabilities = tuple(
        words.get(each.word.replace("-", "_"), 0.9 if each.polarity == "positive" else 0.1)
        for each in ADJECTIVES
    )
    return replace(RESULT, score=score, dimensions=(0.9,) * 6, probabilities=probabilities)


def test_a_result_is_put_into_words() -> None:
    assert readings.in_words(result(0.6), CALIBRATED) == {
        "reading": "good",
        "percentile": 80.0,
        "summary": "Sharp and clean, with good contrast.",
        "faults": [],
    }
    spoilt = readings.in_words(result(0.6, blocky=0.7, dark=0.5, underexposed=0.5), CALIBRATED)
    assert spoilt["reading"] == "fair"
    assert spoilt["summary"] == "Blocky and slightly underexposed."
    assert spoilt["faults"] == [
        NamedFault(fault="compression", severity="strong", confidence=0.7, message="blocky"),
        NamedFault(fault="underexposed", severity="slight", confidence=0.5, message="slightly underexposed"),
    ]


def test_without_adjectives_or_a_calibration_no_fault_is_named() -> None:
    plain = replace(result(0.6), dimensions=(), similarities=(), probabilities=())
    assert readings.in_words(plain, CALIBRATED)["reading"] == "good"
    found = readings.in_words(result(0.6, blocky=0.9), CARD)
    assert (found["reading"], found["percentile"], found["faults"]) == ("good", None, [])


def test_want_of_color_is_no_fault_of_a_monochrome_image() -> None:
    gray = result(0.6, dull=0.9, faded=0.9, blocky=0.5)
    assert readings.in_words(gray, CALIBRATED)["summary"] == "Dull in color and slightly blocky."
    found = readings.in_words(gray, CALIBRATED, monochrome=True)
    assert (found["summary"], found["reading"]) == ("Slightly blocky.", "good")


SOFT = {"blurry": 0.9, "soft": 0.9, "defocused": 0.9, "smeared": 0.9}


def test_a_white_background_is_no_fault() -> None:
    pale = [result(0.6, overexposed=0.9, dull=0.9, faded=0.9)]
    for clipped, cut_out, excluded in (
        (0.01, True, {"overexposed", "dull"}),
        (0.3, True, set()),
        (0.01, False, set()),
    ):
        exposure = MeasuredExposure(0.4, 0.9, 0.0, clipped)
        seen = readings.in_pixels(FaultRegions(cut_out=cut_out), exposure, pale)
        assert set(seen.excluded) == {"compression", *excluded}  # of which there is no sign
    seen = readings.in_pixels(FaultRegions(cut_out=True), MIDDLING, pale)
    assert readings.in_words(pale[0], CALIBRATED, seen=seen)["faults"] == []


def test_what_another_model_doubts_is_not_praised() -> None:
    soft = dict.fromkeys(SOFT, 0.95)
    for models, summary in (
        ([result(0.6), result(0.6, **soft)], "Clean, with good contrast."),
        ([result(0.6), result(0.6, **SOFT)], "Clean, with good contrast."),
        ([result(0.6), result(0.6, **dict.fromkeys(SOFT, 0.6))], "Clean, with good contrast."),
        ([result(0.6), result(0.6, **dict.fromkeys(SOFT, 0.4))], "Sharp and clean, with good contrast."),
    ):
        seen = readings.in_pixels(FaultRegions(), MIDDLING, models)
        assert readings.in_words(models[0], CALIBRATED, seen=seen)["summary"] == summary


def test_a_fault_with_a_place_is_evident_where_a_model_thinks_it_possible() -> None:
    regions = FaultRegions(blur="right", noise="top", compression="background")
    doubtful = result(0.6, blurry=0.5, soft=0.5, defocused=0.5, smeared=0.5)
    seen = readings.in_pixels(regions, MIDDLING, [doubtful, doubtful])
    assert list(seen.evident) == ["blur"]
    assert seen.regions == {
        "blur": "right",
        "noise": "top",
        "underexposed": "whole",
        "compression": "background",
    }
    found = readings.in_words(result(0.6), CALIBRATED, seen=seen)
    assert found["summary"] == "The right half is slightly soft."
    assert found["faults"] == [
        NamedFault(
            fault="blur",
            severity="slight",
            confidence=found["faults"][0].confidence,
            region="right",
            message="the right half is slightly soft",
        )
    ]
    # One model is enough for noise, but not for blur, which may be intended.
    gritty = result(0.6, noisy=0.3, grainy=0.3, speckled=0.3)
    assert list(readings.in_pixels(regions, MIDDLING, [result(0.6), gritty]).evident) == ["noise"]
    one_of_two = readings.in_pixels(regions, MIDDLING, [result(0.6), result(0.6, **SOFT)])
    assert not one_of_two.evident
    assert one_of_two.regions["blur"] == "whole"
    without_words = replace(result(0.6), dimensions=(), similarities=(), probabilities=())
    assert not readings.in_pixels(regions, MIDDLING, [without_words]).evident


def messages(regions: FaultRegions, *said: ModelResult) -> list[str]:
    """What is named as faults by the first of models."""
    seen = readings.in_pixels(regions, MIDDLING, said)
    return [fault.message for fault in readings.in_words(said[0], CALIBRATED, seen=seen)["faults"]]


def test_the_blur_around_a_sharp_subject_is_no_fault() -> None:
    soft = result(0.6, **SOFT)
    assert messages(FaultRegions(), soft) == ["blurry"]
    assert messages(FaultRegions(sharp_subject=True), soft) == []
    assert messages(FaultRegions(sharp_subject=True, blur="left"), soft) == ["the left half is blurry"]
    # Noise has sharp edges of its own, and so have blocks.
    assert messages(FaultRegions(sharp_subject=True, blocks=True), soft) == ["blurry"]
    noisy = result(0.6, **SOFT, noisy=0.9, grainy=0.9, speckled=0.9)
    assert messages(FaultRegions(sharp_subject=True), noisy) == ["blurry", "noisy"]


def test_compression_is_named_where_pixels_show_blocks_or_all_models_are_certain() -> None:
    blocky, certain = result(0.6, blocky=0.9), result(0.6, blocky=0.98)
    assert messages(FaultRegions(), blocky) == []
    assert messages(FaultRegions(blocks=True), blocky) == ["blocky"]
    assert messages(FaultRegions(compression="top"), blocky) == ["the top half is blocky"]
    assert messages(FaultRegions(compression="top"), result(0.6, blocky=0.7)) == []
    assert messages(FaultRegions(), certain) == messages(FaultRegions(), certain, certain) == ["blocky"]
    assert messages(FaultRegions(), certain, blocky) == []
    # What is built of rows has steps, too; and what is ruined otherwise looks blocky to models.
    assert messages(FaultRegions(blocks=True), blocky, result(0.6, blocky=0.8)) == []
    assert messages(FaultRegions(compression="top"), blocky, result(0.6, blocky=0.7)) == []
    dark = {"blocky": 0.98, "dark": 0.9, "underexposed": 0.9}
    assert messages(FaultRegions(), result(0.6, **dark)) == ["underexposed"]
    assert messages(FaultRegions(), result(0.6, **dark), certain) == ["blocky", "underexposed"]

    def of_file(quality: int | None) -> bool:
        return "compression" not in readings.in_pixels(FaultRegions(), MIDDLING, [blocky], quality).excluded

    assert [of_file(quality) for quality in (None, 90, 61, 60, 10)] == [False, False, False, True, True]


def test_noise_all_over_is_evident_where_a_model_thinks_it_possible() -> None:
    doubtful = result(0.6, noisy=0.25, grainy=0.25, speckled=0.25)
    assert messages(FaultRegions(), doubtful) == []
    assert messages(FaultRegions(grainy=True), doubtful) == ["slightly noisy"]
    assert messages(FaultRegions(grainy=True), result(0.6)) == []
    both = result(0.6, blocky=0.9, noisy=0.25, grainy=0.25, speckled=0.25)
    assert messages(FaultRegions(grainy=True, blocks=True), both) == ["slightly noisy"]


def test_what_is_vivid_is_not_dull_and_what_has_contrast_is_not_flat() -> None:
    pale = result(0.6, dull=0.9, faded=0.9, oversaturated=0.8, flat=0.9, washed_out=0.9, murky=0.9)
    assert messages(FaultRegions(), pale) == ["low in contrast", "dull in color"]
    assert messages(FaultRegions(vivid=True), pale) == ["low in contrast"]  # nor is it oversaturated
    assert messages(FaultRegions(contrasty=True), pale) == ["dull in color"]
    assert messages(FaultRegions(vivid=True), result(0.6, oversaturated=0.9)) == ["oversaturated"]


def models(*percentiles: float | None) -> dict[str, Any]:
    one = answer().models["bpclip"]
    return {
        f"model-{number}": one.model_copy(update={"percentile": value})
        for number, value in enumerate(percentiles)
    }


@pytest.mark.parametrize("percentiles", [(), (50.0,), (None, 5.0), (None, None), (70.0, 70.0 - 39.9)])
def test_models_that_agree_are_relied_on(percentiles: tuple[float | None, ...]) -> None:
    found = readings.confidence(models(*percentiles), ["scaled-down: it saw less."])
    assert (found.level, found.reasons) == ("high", [])


def test_a_disagreement_is_named() -> None:
    found = readings.confidence(models(90.0, 20.0, None), [])
    assert found.level == "low"
    (reason,) = found.reasons
    assert reason == (
        "models-disagree: model-0 places the image above 90 of 100 real photographs, model-1 above 20."
    )


def test_what_the_models_do_not_know_is_uncertain() -> None:
    warnings = [
        "outside-validated-sizes: bpclip ...",
        "outside-validated-sizes: qualiclip ...",
        "drawing-or-screenshot: ...",
    ]
    found = readings.confidence(models(50.0, 55.0), warnings)
    assert found.level == "low"
    assert [reason.partition(":")[0] for reason in found.reasons] == [
        "outside-validated-sizes",
        "drawing-or-screenshot",
    ]


def test_the_exposure_rules_faults_out() -> None:
    both = result(0.6, overexposed=0.9, dark=0.9, underexposed=0.9)

    def faults(exposure: MeasuredExposure, dark: Region = "left") -> list[str]:
        seen = readings.in_pixels(FaultRegions(underexposed=dark), exposure, [both])
        return [fault.fault for fault in readings.in_words(both, CALIBRATED, seen=seen)["faults"]]

    assert faults(MIDDLING) == ["underexposed", "overexposed"]
    assert faults(MeasuredExposure(0.17, 0.9, 0.1, 0.04)) == ["underexposed"]
    assert faults(MeasuredExposure(0.17, 0.9, 0.1, 0.06)) == ["underexposed", "overexposed"]
    bright = MeasuredExposure(0.51, 0.9, 0.1, 0.0)
    assert faults(bright, "whole") == ["overexposed"]
    assert faults(bright, "left") == ["underexposed", "overexposed"]  # one half can be dark


def test_models_that_find_opposite_faults_disagree() -> None:
    one = answer().models["bpclip"].model_copy(update={"percentile": 50.0})

    def found(*faults: str) -> list[str]:
        said = {
            f"model-{number}": one.model_copy(
                update={"faults": [NamedFault(fault=fault, severity="strong", confidence=1, message="")]}
            )
            for number, fault in enumerate(faults)
        }
        return readings.confidence(said, []).reasons

    assert found("overexposed", "underexposed") == [
        "models-disagree: model-1 finds the image underexposed, model-0 finds it overexposed."
    ]
    assert found("overexposed", "overexposed") == found("overexposed", "dull") == []


@given(
    score=st.floats(0, 1),
    probabilities=st.lists(st.floats(0, 1), min_size=len(ADJECTIVES), max_size=len(ADJECTIVES)),
    regions=st.builds(
        FaultRegions, blur=..., noise=..., compression=..., sharp_subject=..., blocks=..., grainy=...
    ),
    monochrome=st.booleans(),
)
def test_reading_faults_and_summary_never_contradict_one_another(
    score: float, probabilities: list[float], regions: FaultRegions, monochrome: bool
) -> None:
    said = replace(result(score), probabilities=tuple(probabilities))
    seen = readings.in_pixels(regions, MIDDLING, [said])
    found = readings.in_words(said, CALIBRATED, monochrome=monochrome, seen=seen)
    faults: list[NamedFault] = found["faults"]
    strong = [fault for fault in faults if fault.severity == "strong"]
    assert not strong or READINGS.index(found["reading"]) >= READINGS.index("fair")
    assert not (faults and found["reading"] == "excellent")
    assert faults[: len(strong)] == strong
    assert len({fault.fault for fault in faults}) == len(faults)
    praise = ("Sharp", "Clean", "Nothing stands out")
    assert not (faults and found["summary"].startswith(praise))
    assert not (found["reading"] in ("poor", "bad") and found["summary"].startswith(praise))
    for fault in faults[:3]:
        assert fault.message.rpartition(" is ")[2].lower() in found["summary"].lower()
    names = {fault.fault for fault in faults}
    if regions.sharp_subject and not regions.blocks and regions.blur == "whole" and "blur" in names:
        assert {"noise", "compression"} & names
    assert not (monochrome and {"dull", "oversaturated"} & names)
