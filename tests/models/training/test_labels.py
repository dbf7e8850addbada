import pytest

from models.training.labels import BAD, GOOD, NAMES, UNKNOWN, pair_labels, pair_severities
from models.vocabulary import PAIRS


def label(positive: str, *faults: tuple[str, int]) -> int:
    place = [pair.positive for pair in PAIRS].index(positive)
    return int(pair_labels(faults)[place])


def test_an_untouched_photograph_is_good_in_every_pair() -> None:
    assert (pair_labels([]) == GOOD).all()
    assert (pair_labels([("gaussian-blur", 1)]) == GOOD).all(), "an identity level touches nothing"


def test_blur_is_blurry_and_says_nothing_against_the_light() -> None:
    blur = ("gaussian-blur", 5)
    assert label("clear", blur) == BAD
    assert label("sharp", blur) == BAD
    assert label("bright", blur) == GOOD
    assert label("good", blur) == BAD
    assert label("crisp", blur) == UNKNOWN, "of the same dimension, but no motion"


@pytest.mark.parametrize("level", [2, 3])
def test_a_weak_fault_is_no_evidence_against_its_own_word(level: int) -> None:
    expected = UNKNOWN if level < 3 else BAD
    assert label("clean", ("white-noise", level)) == expected
    assert label("good", ("white-noise", level)) == UNKNOWN


def test_a_fault_beneath_another_counts_too() -> None:
    assert label("clear", ("jpeg", 5), ("lens-blur", 4)) == BAD
    assert label("bright", ("jpeg", 5), ("lens-blur", 4)) == GOOD
    assert label("bright", ("jpeg", 5), ("mean-shift", 5)) == UNKNOWN, "a shift of the mean is in no row"


def test_words_are_ranked_only_where_the_fault_concerns_them() -> None:
    places = {pair.positive: i for i, pair in enumerate(PAIRS)}
    contrast = pair_severities("linear-contrast", range(6))
    assert contrast[places["contrasty"]].tolist() == [0, 0, -1, 3, -1, 5], "more contrast does not flatten"
    saturation = pair_severities("hsv-saturation", range(6))
    assert saturation[places["colorful"]].tolist() == [0, 1, 2, 3, 4, -1], "inverted colors are not dull"
    assert (contrast[places["clean"]] == -1).all()


def test_every_pair_can_be_learned() -> None:
    for place, pair in enumerate(PAIRS):
        assert any(pair_labels([(name, level)])[place] == BAD for name in NAMES for level in range(1, 6)), (
            pair
        )
        if pair.positive != "good":  # which any fault speaks against; only untouched photographs are good
            assert any(
                pair_labels([(name, level)])[place] == GOOD for name in NAMES for level in range(3, 6)
            ), pair
