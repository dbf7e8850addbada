"""Figures of robustness on models that are made up, whose figures are known beforehand."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from models.correlation import srcc
from models.preprocessing import Pixels
from models.training.distortions import DISTORTIONS, EXTRA_FAULTS
from models.training.labels import BAD, NAMES, UNKNOWN, pair_labels
from models.training.robustness import (
    HARMLESS,
    ORDERED,
    Examined,
    Judge,
    Opinion,
    Opinions,
    answers,
    examine,
    figures,
    full_reference,
    images_of_each,
    levels_of,
    order,
    seed_of,
    spoilt,
    steadiness,
    words,
)
from models.vocabulary import PAIRS
from tests.photographs import named

ZEROS = (0.0,) * 40
FEW = ("gaussian-blur", "white-noise", "linear-contrast", "haze")


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return np.ascontiguousarray(named()["coffee"][100:196, 200:328])


def judge_by(score: Callable[[Pixels, Pixels | None], float], seen: list[Pixels] | None = None) -> Judge:
    """A judge with one model, which keeps what it saw."""

    def judge(images: Sequence[Pixels], reference: Pixels | None) -> list[Opinions]:
        if seen is not None:
            seen.extend(images)
        return [{"model": Opinion(score(image, reference), ZEROS)} for image in images]

    return judge


def said(levels: Sequence[float], similarities: Sequence[float] = ZEROS) -> list[Opinions]:
    return [{"model": Opinion(score, similarities)} for score in levels]


def examined(untouched: float = 1.0, **spoilt: list[float]) -> Examined:
    """A photograph whose scores by distortion are given; underscores stand for dashes."""
    (alone,) = said([untouched])
    levels = {name.replace("_", "-"): said(scores) for name, scores in spoilt.items()}
    return Examined("photo", alone, levels, {}, {})


def test_every_image_is_made_and_judged_once(photo: Pixels) -> None:
    seen: list[Pixels] = []
    found = examine(photo, "coffee", judge_by(lambda image, _: 0.5, seen), types=FEW)
    assert len(seen) == images_of_each(FEW) == 1 + 4 + 5 + 4 + 5 + 3
    assert list(found.spoilt) == list(FEW)
    assert [len(found.spoilt[name]) for name in FEW] == [4, 5, 4, 5]
    levels = seen[1:19]
    assert all((image != photo).any() for image in levels), "levels that change nothing are left out"
    assert images_of_each() == 4 + sum(
        6 - each.first_ordered for each in (DISTORTIONS | EXTRA_FAULTS).values()
    )


def test_faults_depend_on_the_photographs_name_alone(photo: Pixels) -> None:
    def noises(name: str, types: tuple[str, ...]) -> Pixels:
        seen: list[Pixels] = []
        examine(photo, name, judge_by(lambda image, _: 0.5, seen), types=types)
        return seen[1 + images_of_each(types[:-1]) - 4]  # the first of the last type

    first, again, other = (
        noises("a", ("white-noise",)),
        noises("a", ("jitter", "white-noise")),
        noises("b", ("white-noise",)),
    )
    assert (first == again).all()
    assert (first != other).any()
    assert (first == spoilt(photo, "white-noise", seed_of("a", "white-noise"))[1]).all()
    seeds = {seed_of(name, distortion) for name in "abc" for distortion in NAMES}
    assert len(seeds) == 3 * len(NAMES)


def test_only_published_types_are_held_against_the_photograph(photo: Pixels) -> None:
    references: list[bool] = []
    taught: list[tuple[int, ...]] = []

    def judge(images: Sequence[Pixels], reference: Pixels | None) -> list[Opinions]:
        references.append(reference is not None)
        return said([0.5] * len(images))

    def teacher(distorted: Tensor, reference: Tensor) -> Tensor:
        taught.append(tuple(distorted.shape))
        assert distorted.dtype == reference.dtype == torch.float32
        assert float(reference.max()) <= 1
        return (distorted - reference).abs().mean(dim=(1, 2, 3))

    found = examine(photo, "coffee", judge, teacher, FEW)
    assert references == [True, True, True, True, False, False]  # untouched, three types, haze, harmless
    assert taught == [(1, 3, 96, 128)] * (4 + 5 + 4)
    assert {name: len(targets) for name, targets in found.targets.items()} == {
        "gaussian-blur": 4,
        "white-noise": 5,
        "linear-contrast": 4,
    }
    assert list(found.targets["white-noise"]) == sorted(found.targets["white-noise"])


def test_a_photograph_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64 pixels"):
        examine(np.zeros((63, 200, 3), np.uint8), "strip", judge_by(lambda image, _: 0.5))


def test_the_smallest_photograph_has_room_for_everything() -> None:
    smallest = np.ascontiguousarray(named()["chelsea"][100:164, 100:164])
    seen: list[Pixels] = []
    examine(smallest, "chelsea", judge_by(lambda image, _: 0.5, seen))
    assert len(seen) == images_of_each()
    assert min(min(image.shape[:2]) for image in seen) == 48


def test_a_model_that_measures_the_distance_is_in_perfect_order(photo: Pixels) -> None:
    def closeness(image: Pixels, _: Pixels | None) -> float:
        if image.shape != photo.shape:
            return 0.0
        return -float(np.abs(image.astype(float) - photo).mean())

    found = order([examine(photo, "coffee", judge_by(closeness), types=FEW)], "model")
    assert found.adjacent == found.worst == {"gaussian-blur": 1.0, "white-noise": 1.0}
    assert (found.adjacent_mean, found.worst_least) == (1.0, 1.0)
    assert found.adjacent_interval is found.worst_interval is None  # of one photograph


def test_order_by_hand() -> None:
    photographs = [
        examined(gaussian_blur=[0.9, 0.8, 0.7, 0.6], jpeg=[0.5, 0.6, 0.7, 0.8, 0.4]),
        # A tie is not in order; nor is what lies above or below the untouched one of any concern.
        examined(untouched=0.0, gaussian_blur=[0.5, 0.5, 0.7, 0.5], jpeg=[0.5, 0.4, 0.3, 0.2, 0.1]),
    ]
    found = order(photographs, "model")
    assert found.adjacent == pytest.approx({"gaussian-blur": (1 + 1 / 3) / 2, "jpeg": (0.25 + 1) / 2})
    assert found.worst == {"gaussian-blur": 0.5, "jpeg": 1.0}
    assert found.adjacent_mean == pytest.approx((2 / 3 + 0.625) / 2)
    assert (found.adjacent_least, found.worst_mean, found.worst_least) == (0.625, 0.75, 0.5)
    # Of two photographs, a quarter of the resamples hold only the one, a quarter only the other.
    assert found.adjacent_interval == pytest.approx((0.625, 2 / 3))
    assert found.worst_interval == (0.5, 1.0)


def test_intervals_narrow_with_more_photographs() -> None:
    generator = np.random.default_rng(0)

    def width(count: int) -> float:
        low, high = order(
            [examined(jpeg=list(generator.uniform(size=5))) for _ in range(count)], "model"
        ).adjacent_interval or (0.0, 0.0)
        assert low < 0.5 < high
        return high - low

    assert width(200) < width(12) / 2


def trials(types: Sequence[str]) -> list[tuple[str, int]]:
    return [("untouched", 0), *((name, level) for name in types for level in levels_of(name) if level > 2)]


def worded(types: Sequence[str], similarities: Callable[[str, int], Sequence[float]]) -> Examined:
    """A photograph of which the words are given."""
    spoilt = {
        name: [said([0.5], similarities(name, level))[0] for level in levels_of(name)] for name in types
    }
    return Examined("photo", said([0.5], similarities("untouched", 0))[0], spoilt, {}, {})


def test_areas_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    given: list[dict[tuple[str, int], np.ndarray]] = []

    def similarities(name: str, level: int) -> list[float]:
        # Coarse, for ties; the bad words a little nearer where the level is high.
        values = generator.integers(0, 6, (20, 2)) / 10 + np.array([0, 0.05 * level])
        given[-1][name, level] = values[:, 1] - values[:, 0]
        return list(values.ravel())

    photographs = []
    for _ in range(4):
        given.append({})
        photographs.append(worded(NAMES, similarities))
    found = words(photographs, "model")
    labels = np.array([pair_labels([trial] if trial[1] else []).numpy() for trial in trials(NAMES)])
    margins = np.array([[each[trial] for trial in trials(NAMES)] for each in given])
    for place, pair in enumerate(PAIRS):
        known = labels[:, place] != UNKNOWN
        truth = np.tile(labels[known, place] == BAD, 4)
        expected = roc_auc_score(truth, margins[:, known, place].ravel())
        assert found.areas[f"{pair.positive}/{pair.negative}"] == pytest.approx(expected)
    assert found.worst == min(found.areas.values()) == found.areas[found.worst_pair]
    assert found.median == np.median(list(found.areas.values()))
    assert found.median_interval is not None
    assert found.median_interval[0] < found.median < found.median_interval[1]


def test_the_interval_of_the_words_is_that_of_photographs_drawn_again() -> None:
    generator = np.random.default_rng(1)
    types = ("white-noise", "darken", "motion-blur")
    photographs = [worded(types, lambda *_: list(generator.normal(size=40))) for _ in range(3)]
    medians = [
        words([photographs[i] for i in drawn], "model").median
        for drawn in ([0, 0, 0], [1, 1, 1], [2, 2, 2], [0, 1, 1], [0, 1, 2], [0, 0, 2])
    ]
    interval = words(photographs, "model").median_interval
    assert interval is not None
    # The extreme resamples, of one photograph three times, are more than 2.5 % of all.
    assert interval[0] <= min(medians) + 1e-9
    assert interval[1] >= max(medians[:3]) - 1e-9


def test_words_that_say_the_truth_have_an_area_of_one() -> None:
    def similarities(name: str, level: int) -> list[float]:
        bad = (pair_labels([(name, level)] if level else []) == BAD).tolist()
        return [value for each in bad for value in ((0.0, 1.0) if each else (1.0, 0.0))]

    found = words([worded(NAMES, similarities)], "model")
    assert set(found.areas.values()) == {1.0}
    assert len(found.areas) == 20
    assert found.median_interval is None
    assert set(words([worded(("jpeg",), similarities)], "model").areas) == {
        "good/bad",
        "artifact-free/blocky",
    }


def test_harmless_changes_are_what_they_say(photo: Pixels) -> None:
    assert HARMLESS["3/4 size"](photo).shape == (72, 96, 3)
    assert (HARMLESS["mirrored"](photo)[:, 0] == photo[:, -1]).all()
    recompressed = HARMLESS["jpeg 95"](photo).astype(float)
    assert 0 < np.abs(recompressed - photo).mean() < 3
    # Full chroma: a single red pixel on gray stays where it is.
    dot = np.full((32, 32, 3), 128, np.uint8)
    dot[9, 9] = (255, 0, 0)
    kept = HARMLESS["jpeg 95"](dot).astype(int)
    redness = kept[..., 0] - kept[..., 1]
    assert redness[9, 9] > 150
    assert redness[8, 9] < 40


def test_steadiness_is_the_mean_and_the_largest_difference() -> None:
    def examined(untouched: float, *changed: float) -> Examined:
        opinions = dict(zip(HARMLESS, said(changed), strict=True))
        return Examined("photo", said([untouched])[0], {}, opinions, {})

    found = steadiness([examined(0.5, 0.5, 0.6, 0.2), examined(0.8, 0.8, 0.7, 0.9)], "model")
    assert [each.mean for each in found.values()] == pytest.approx([0.0, 0.1, 0.2])
    assert [each.largest for each in found.values()] == pytest.approx([0.0, 0.1, 0.3])


def test_a_full_reference_model_beside_its_teachers() -> None:
    def pair(identical: float, jpeg: list[float], shift: list[float]) -> Examined:
        levels = {"jpeg": said(jpeg), "mean-shift": said(shift), "haze": said([0.5] * 5)}
        targets = {"jpeg": [0.5, 0.4, 0.3, 0.2, 0.1], "mean-shift": [0.9, 0.8, 0.7, 0.6]}
        return Examined("photo", said([identical])[0], levels, {}, targets)

    photographs = [
        pair(0.98, [0.5, 0.4, 0.3, 0.2, 0.1], [0.9, 0.8, 0.7, 0.6]),
        pair(0.90, [0.6, 0.5, 0.4, 0.3, 0.2], [0.7, 0.6, 0.5, 0.4]),
    ]
    found = full_reference(photographs, "model")
    assert (found.identical_mean, found.identical_least) == pytest.approx((0.94, 0.90))
    assert found.teachers is not None
    assert found.teachers.pairs == 18
    assert found.teachers.differences == pytest.approx({"jpeg": 0.05, "mean-shift": 0.1})
    assert found.teachers.mean_difference == pytest.approx((10 * 0.05 + 8 * 0.1) / 18)
    scored = [0.5, 0.4, 0.3, 0.2, 0.1, 0.9, 0.8, 0.7, 0.6, 0.6, 0.5, 0.4, 0.3, 0.2, 0.7, 0.6, 0.5, 0.4]
    wanted = [0.5, 0.4, 0.3, 0.2, 0.1, 0.9, 0.8, 0.7, 0.6] * 2
    assert found.teachers.srcc == pytest.approx(srcc(scored, wanted))
    untaught = [replace(each, targets={}) for each in photographs]
    assert full_reference(untaught, "model").teachers is None


def test_scores_that_are_all_alike_have_no_order_beside_the_teachers() -> None:
    photograph = Examined(
        "photo", said([0.5])[0], {"jpeg": said([0.5] * 5)}, {}, {"jpeg": [0.5, 0.4, 0.3, 0.2, 0.1]}
    )
    found = full_reference([photograph], "model").teachers
    assert found is not None
    assert found.srcc is None
    assert found.mean_difference == pytest.approx(0.2)


def test_the_figures_of_a_kind_of_model() -> None:
    photographs = [
        Examined(
            "photo",
            said([0.9])[0],
            {"gaussian-blur": said([0.8, 0.6, 0.4, lowest]), "haze": [{"another": Opinion(0.1, ZEROS)}] * 5},
            dict.fromkeys(HARMLESS, said([0.7])[0]),
            {},
        )
        for lowest in (0.2, 0.3)
    ]
    pairs = figures(photographs, "model", has_reference=True)
    assert pairs.curves == {"gaussian-blur": pytest.approx({0: 0.9, 2: 0.8, 3: 0.6, 4: 0.4, 5: 0.25})}
    assert pairs.full_reference is not None
    assert pairs.words is pairs.steadiness is None
    blurred = {"gaussian-blur": photographs[0].spoilt["gaussian-blur"]}
    alone = [replace(each, spoilt=blurred) for each in photographs]
    images = figures(alone, "model")
    assert images.words is not None
    assert images.steadiness is not None
    assert images.full_reference is None
    assert images.order.adjacent == pairs.order.adjacent == {"gaussian-blur": 1.0}


def test_answers_are_stacked_by_photograph_and_level(photo: Pixels) -> None:
    found = answers(
        [examined(0.9, jpeg=[0.5, 0.4, 0.3, 0.2, 0.1]), examined(0.8, jpeg=[0.4] * 5)], "model", "jpeg"
    )
    assert found.scores.tolist() == [[0.9, 0.5, 0.4, 0.3, 0.2, 0.1], [0.8, *[0.4] * 5]]
    assert found.similarities.shape == (2, 6, 40)
    assert found.in_order.tolist() == [1.0, 0.0]
    assert (found.adjacent_in_order, found.worst_below_mildest) == (0.5, 0.5)
    assert set(ORDERED) == {name for name, each in DISTORTIONS.items() if each.ordered}
