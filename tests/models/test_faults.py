"""The table of faults holds together, and faults are found by their thresholds alone."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from models.calibration import Thresholds, find_faults
from models.faults import EXCLUSIVE, FAULTS, FaultName
from models.vocabulary import ADJECTIVES, WORDS
from tests.calibrations import calibration

SILENT = dict.fromkeys(WORDS, 0.1)
ROOT = Path(__file__).parents[2]


def test_the_table_names_each_fault_once_by_bad_words_of_its_dimension() -> None:
    assert [fault.name for fault in FAULTS] == list(get_args(FaultName))
    known = {each.word: each for each in ADJECTIVES}
    for fault in FAULTS:
        for adjective in fault.adjectives:
            assert known[adjective].polarity == "negative"
            assert known[adjective].dimension == fault.dimension
    phrases = [phrase for fault in FAULTS for phrase in (fault.slight, fault.strong)]
    assert len(set(phrases)) == len(phrases)


def test_the_strength_is_the_mean_probability() -> None:
    (noise,) = (fault for fault in FAULTS if fault.name == "noise")
    words = SILENT | {"noisy": 0.9, "grainy": 0.6, "speckled": 0.3}
    assert noise.strength(words) == pytest.approx(0.6)
    with pytest.raises(KeyError):
        noise.strength({"noisy": 1.0})


def test_strong_faults_come_first_then_the_stronger_ones() -> None:
    words = SILENT | {"overexposed": 0.55, "oversaturated": 0.61, "blocky": 0.7}
    words |= {"noisy": 0.5, "grainy": 0.5, "speckled": 0.5}
    found = find_faults(0.5, words, calibration())
    assert [(fault.name, fault.strong, fault.phrase) for fault in found] == [
        ("compression", True, "blocky"),
        ("oversaturated", True, "oversaturated"),
        ("overexposed", False, "slightly overexposed"),
        ("noise", False, "slightly noisy"),
    ]
    assert [fault.strength for fault in found] == pytest.approx([0.7, 0.61, 0.55, 0.5])


def test_a_strength_at_the_threshold_is_no_fault() -> None:
    assert find_faults(0.5, SILENT | {"blocky": 0.4}, calibration()) == ()
    (found,) = find_faults(0.5, SILENT | {"blocky": 0.6}, calibration())
    assert (found.phrase, found.dimension) == ("slightly blocky", "overall")


def test_what_scores_well_needs_more_evidence_for_a_strong_fault() -> None:
    noise = Thresholds(slight=0.4, strong=0.6, strong_from_fair=0.9)
    found = calibration(faults={"noise": noise})
    fair = found.readings.fair
    words = SILENT | {"noisy": 0.8, "grainy": 0.8, "speckled": 0.8}

    def is_strong(score: float) -> bool:
        (fault,) = find_faults(score, words, found)
        return fault.strong

    assert (is_strong(fair - 0.001), is_strong(fair)) == (True, False)
    words |= {"noisy": 1.0, "grainy": 1.0, "speckled": 1.0}
    assert is_strong(fair)


def test_faults_without_thresholds_and_weights_without_a_calibration_name_none() -> None:
    everything = dict.fromkeys(WORDS, 1.0)
    assert len(find_faults(0.5, everything, calibration())) == len(FAULTS) - len(EXCLUSIVE)
    only = calibration(faults={"noise": Thresholds(slight=0.4, strong=0.6)})
    assert [fault.name for fault in find_faults(0.5, everything, only)] == ["noise"]
    assert find_faults(0.5, everything, None) == ()


@pytest.mark.process
def test_neither_needs_torch() -> None:
    command = "import sys, models.calibration; print('torch' in sys.modules, 'numpy' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert found.stdout.split() == ["False", "False"]
