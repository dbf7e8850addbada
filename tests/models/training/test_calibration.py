"""A calibration is measured: readings on real photographs, thresholds on clean and on spoilt ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.faults import FAULTS, Fault
from models.loading import load_model
from models.training import distortions
from models.training.calibration import (
    LEAST_SLIGHT,
    Measured,
    Seen,
    calibrate,
    causes,
    measure_calibration,
    threshold,
)
from models.training.photos import DataError, list_photos
from models.vocabulary import DIMENSIONS, WORDS

Values = NDArray[np.float64]
BLOCKY = WORDS.index("blocky")


def seen(scores: Values) -> Seen:
    return Seen(scores, np.tile(scores[:, None], (1, len(DIMENSIONS))), np.full((len(scores), 40), 0.1))


def words(blocky: Values) -> Values:
    """Probabilities of photographs of which nothing is true, but for how blocky they are."""
    rows = np.full((len(blocky), 40), 0.1)
    rows[:, BLOCKY] = blocky
    return rows


def of_compression(clean: Values, spoilt: Values) -> Measured:
    real = seen(np.linspace(0, 1, 201))
    return measure_calibration(real, words(clean), {"compression": words(spoilt)}, "tests")


def test_readings_and_percentiles_are_those_of_the_real_photographs() -> None:
    scores = np.random.default_rng(1).permutation(np.linspace(0.2, 0.8, 601))
    found = measure_calibration(seen(scores), words(np.full(50, 0.1)), {}, "six hundred").calibration
    assert (found.photographs, found.source) == (601, "six hundred")
    assert found.readings.steps == pytest.approx((0.74, 0.56, 0.38, 0.26))
    assert found.score_percentiles == pytest.approx(np.linspace(0.2, 0.8, 101), abs=1e-5)
    assert set(found.dimension_percentiles) == set(DIMENSIONS)
    assert found.dimension_percentiles["contrast"] == pytest.approx(np.linspace(0.2, 0.8, 21), abs=1e-5)
    assert [found.reading(score) for score in (0.75, 0.6, 0.4, 0.3, 0.2)] == [
        "excellent", "good", "fair", "poor", "bad",
    ]  # fmt: skip
    assert found.faults == {}  # no photographs show whether any is told


def test_few_clean_photographs_are_blamed() -> None:
    clean = np.linspace(0, 0.9, 1000)
    found = of_compression(clean, np.full(20, 0.95))
    limits = found.calibration.faults["compression"]
    assert (clean > limits.slight).mean() <= 0.05
    assert (clean > limits.strong).mean() <= 0.01
    # Lower by more than the margin, they would blame too many.
    assert (clean > limits.slight - 0.03).mean() > 0.05
    assert (clean > limits.strong - 0.03).mean() > 0.01
    rates = found.rates["compression"]
    assert (rates.clean, rates.slight, rates.strong, rates.named) == (
        pytest.approx((clean > limits.slight).mean()), 1.0, 1.0, True,
    )  # fmt: skip


def test_a_strong_fault_is_rare_among_the_best_real_photographs() -> None:
    # The clean ones may have been learned by heart: 1,000 photographs, of which the best 400 look up to .8
    # blocky.
    real = seen(np.linspace(0, 1, 1000))
    real.probabilities[:, BLOCKY] = np.where(real.scores >= 0.6, (real.scores - 0.6) * 2, 1.0)
    found = measure_calibration(
        real, words(np.full(100, 0.02)), {"compression": words(np.full(20, 0.9))}, "tests"
    )
    limits = found.calibration.faults["compression"]
    assert limits.slight == 0.35
    best = real.probabilities[600:, BLOCKY]
    assert limits.strong == 0.5
    assert limits.strong_from_fair is not None
    assert (best > limits.strong_from_fair - 0.03).sum() > 0
    assert (best > limits.strong_from_fair).mean() <= 0.005
    assert limits.strong_from_fair < 0.85  # the bad ones, all of which look blocky, do not raise it
    assert found.rates["compression"].strong_from_fair == 1.0


def test_where_no_clean_photograph_comes_near_the_words_must_win_all_the_same() -> None:
    limits = of_compression(np.full(100, 0.02), np.full(20, 0.9)).calibration.faults["compression"]
    assert (limits.slight, limits.strong) == (0.35, 0.5)


def test_a_fault_that_the_words_do_not_tell_is_not_named() -> None:
    spoilt = np.array([0.9] + [0.1] * 9)
    found = of_compression(np.full(100, 0.1), spoilt)
    assert "compression" not in found.calibration.faults
    rates = found.rates["compression"]
    assert (rates.slight, rates.named) == (pytest.approx(0.1), False)
    always = of_compression(np.full(100, 0.999), np.full(20, 1.0))  # nothing exceeds a threshold of one
    assert always.calibration.faults == {}


@pytest.mark.parametrize("count", [1, 7, 20, 100, 101, 1000])
@pytest.mark.parametrize("share", [0.01, 0.05])
def test_thresholds_allow_no_more_than_the_share(count: int, share: float) -> None:
    strengths = np.random.default_rng(count).uniform(0, 1, count)
    found = threshold(strengths, share, LEAST_SLIGHT)
    assert LEAST_SLIGHT <= found <= 1
    assert (strengths > found).sum() <= share * count + 1e-9


def test_a_threshold_is_the_next_strength_and_a_margin() -> None:
    strengths = np.arange(100) / 100
    assert threshold(strengths, 0.05, 0.35) == pytest.approx(0.96)  # five exceed 0.94
    assert threshold(strengths, 0.0, 0.35) == pytest.approx(0.995)  # near 1, half of what is left
    assert threshold(strengths / 10, 0.05, 0.35) == 0.35


@pytest.mark.parametrize("scores", [np.empty(0), np.full(50, 0.5)])
def test_too_little_to_measure_on_is_refused(scores: Values) -> None:
    with pytest.raises(ValueError, match="photographs"):
        measure_calibration(seen(scores), words(np.full(5, 0.1)), {}, "tests")


def test_without_clean_photographs_there_is_none() -> None:
    with pytest.raises(ValueError, match="clean"):
        measure_calibration(seen(np.linspace(0, 1, 9)), np.empty((0, 40)), {}, "tests")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_has_distortions_that_cause_it(fault: Fault) -> None:
    found = causes(fault)
    assert found
    assert len(set(found)) == len(found)
    for cause in found:
        assert cause.distortion in distortions.DISTORTIONS | distortions.EXTRA_FAULTS
        assert set(cause.levels) <= set(distortions.LEVELS)


@pytest.mark.parametrize("name", ["qualiclip", "bpclip"])
def test_a_model_is_calibrated_on_photographs(name: str, weights_folder: Path, photo_folder: Path) -> None:
    loaded = load_model(name, weights_folder / f"{name}.safetensors")  # type: ignore[arg-type]
    preprocessing = loaded.metadata.preprocessing.model_copy(update={"longest_side": 96})
    real = list_photos(photo_folder)
    found = calibrate(loaded.module, preprocessing, real, real[:2], source="tests", quiet=True)
    calibration = found.calibration
    assert (calibration.photographs, calibration.source) == (len(real), "tests")
    assert calibration.score_percentiles[0] < calibration.score_percentiles[-1]
    assert set(found.rates) == {fault.name for fault in FAULTS}
    assert set(calibration.faults) == {each for each, rates in found.rates.items() if rates.named}
    again = calibrate(loaded.module, preprocessing, real, real[:2], source="tests", quiet=True)
    assert again == found
    with torch.no_grad():
        fewer = calibrate(loaded.module, preprocessing, real, real, source="tests", photographs=2, quiet=True)
    assert fewer.calibration.photographs == len(real)  # the bound is for the clean ones


def test_one_photograph_is_too_few(weights_folder: Path, photo_folder: Path) -> None:
    loaded = load_model("bpclip", weights_folder / "bpclip.safetensors")
    photos = list_photos(photo_folder)[:1]
    with pytest.raises(DataError, match="too much alike"):
        calibrate(loaded.module, loaded.metadata.preprocessing, photos, photos, source="tests", quiet=True)
