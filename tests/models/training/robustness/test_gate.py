"""The release gate on judges that are made up, which keep and which break every bound."""

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from PIL import Image

from models.preprocessing import Pixels
from models.training.robustness import (
    VARIANTS,
    GateOutcome,
    Judge,
    Opinion,
    Opinions,
    Tried,
    Variant,
    broken,
    images_of_variants,
    outcomes,
    try_variants,
    variants_of,
)
from tests.photographs import named

ZEROS = (0.0,) * 40
UNTOUCHED = 0.5
NAMES = [variant.name for variant in VARIANTS]
NONE = [variant for variant in VARIANTS if variant.bound == "share" and variant.most == 0]
FEW = [variant for variant in VARIANTS if variant.bound == "share" and variant.most > 0]
HARMLESS = [variant for variant in VARIANTS if variant.bound == "difference"]


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return np.ascontiguousarray(named()["coffee"][100:196, 200:328])


@pytest.fixture(scope="module")
def variants(photo: Pixels) -> dict[str, Pixels]:
    return variants_of(photo, "coffee")


def judge_by(scores: Mapping[str, float], seen: list[Pixels] | None = None) -> Judge:
    """A judge with one model, whose scores of the variants are given; it keeps what it saw."""

    def judge(images: Sequence[Pixels], reference: Pixels | None) -> list[Opinions]:
        assert reference is None
        if seen is not None:
            seen.extend(images)
        return [said(score) for score in (UNTOUCHED, *scores.values())]

    return judge


def said(score: float) -> Opinions:
    return {"model": Opinion(score, ZEROS)}


def keeping(**others: float) -> dict[str, float]:
    """Scores of the variants that keep every bound; underscores stand for spaces."""
    scores = {
        variant.name: UNTOUCHED if variant.bound == "difference" else UNTOUCHED - 0.001
        for variant in VARIANTS
    }
    return scores | {name.replace("_", " "): score for name, score in others.items()}


def tried(*photographs: Mapping[str, float]) -> list[Tried]:
    """What a model said of photographs, whose scores are given by variant."""
    return [
        Tried(said(UNTOUCHED), {name: said(score) for name, score in scores.items()})
        for scores in photographs
    ]


def complaints(photographs: Sequence[Tried]) -> list[str]:
    return broken({"model": outcomes(photographs, "model")})


def test_every_variant_has_one_of_three_bounds() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(NONE) + len(FEW) + len(HARMLESS)
    assert all(0 <= variant.most <= 1 for variant in VARIANTS)
    assert {variant.limit for variant in NONE} == {"at most 0 %"}
    assert {variant.limit for variant in FEW} == {"at most 5 %"}
    assert {variant.limit for variant in HARMLESS} == {"moves by at most 0.02"}


def test_every_variant_is_made_and_judged_once(photo: Pixels) -> None:
    seen: list[Pixels] = []
    before = photo.copy()
    found = try_variants(photo, "coffee", judge_by(keeping(), seen))
    assert len(seen) == images_of_variants() == 1 + len(VARIANTS)
    assert seen[0] is photo
    assert (photo == before).all()
    assert all(image.shape == photo.shape and image.dtype == np.uint8 for image in seen)
    assert list(found.variants) == NAMES
    assert found.untouched == said(UNTOUCHED)


def test_variants_depend_on_the_photographs_name_alone(photo: Pixels, variants: dict[str, Pixels]) -> None:
    again, other = variants_of(photo, "coffee"), variants_of(photo, "tea")
    assert all((again[name] == variants[name]).all() for name in NAMES)
    assert [name for name in NAMES if (other[name] != variants[name]).any()] == ["white noise"]


@pytest.mark.parametrize("quality", [50, 30, 10, 5, 85, 95])
def test_jpeg_is_that_of_pillow(quality: int, photo: Pixels, variants: dict[str, Pixels]) -> None:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        assert (variants[f"jpeg {quality}"] == np.array(image)).all()


def test_variants_are_what_they_say(photo: Pixels, variants: dict[str, Pixels]) -> None:
    half = photo.shape[1] // 2
    blurred = variants["right half blurred"]
    assert (blurred[:, :half] == photo[:, :half]).all()
    assert detail(blurred[:, half:]) < detail(variants["blurred"][:, half:]) < 0.7 * detail(photo[:, half:])
    assert detail(variants["x4 up-scaled"]) < 0.5 * detail(photo)
    assert (variants["mirrored"][:, 0] == photo[:, -1]).all()
    assert 0 < np.abs(variants["webp 30"].astype(float) - photo).mean() < 15
    assert variants["brightness x 0.3"].mean() == pytest.approx(0.3 * photo.mean(), abs=1)
    assert (variants["brightness x 2"] == np.minimum(2 * photo.astype(int), 255)).all()
    assert np.ptp(variants["saturation x 3"], axis=2).mean() > 1.5 * np.ptp(photo, axis=2).mean()
    assert variants["contrast x 0.4"].std() == pytest.approx(0.4 * photo.std(), rel=0.1)


def detail(image: Pixels) -> float:
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


def test_white_noise_has_a_deviation_of_15() -> None:
    noise = variants_of(np.full((128, 128, 3), 128, np.uint8), "gray")["white noise"] - 128.0
    assert noise.mean() == pytest.approx(0, abs=0.3)
    assert noise.std() == pytest.approx(15, abs=0.3)


def test_a_variant_that_changes_no_pixel_is_left_out() -> None:
    gray = np.repeat(named()["coffee"][100:196, 200:328, :1], 3, axis=2)
    made = variants_of(gray, "gray")
    assert [name for name in NAMES if name not in made] == ["saturation x 3"]
    scores = {name: score for name, score in keeping().items() if name in made}
    colored = try_variants(named()["coffee"][:96, :96], "coffee", judge_by(keeping()))
    black_and_white = try_variants(gray, "gray", judge_by(scores))
    assert outcomes([black_and_white, colored], "model")["saturation x 3"].photographs == 1
    alone = outcomes([black_and_white], "model")["saturation x 3"]
    assert alone == GateOutcome(0, 0, None, None, "share", 0.05, None)
    assert complaints([black_and_white]) == []


def test_a_judge_that_keeps_every_bound_breaks_none() -> None:
    found = outcomes(tried(*[keeping()] * 3), "model")
    assert list(found) == NAMES
    assert all(each.kept for each in found.values())
    assert broken({"model": found, "another": found}) == []
    assert found["jpeg 50"] == GateOutcome(3, 0, 0.0, None, "share", 0.0, True)
    assert found["mirrored"] == GateOutcome(3, 3, 1.0, 0.0, "difference", 0.02, True)


def test_a_judge_that_sees_no_fault_and_no_likeness_breaks_every_bound() -> None:
    scores = {variant.name: 0.9 if variant.bound == "difference" else UNTOUCHED + 0.1 for variant in VARIANTS}
    found = complaints(tried(scores))
    assert [sentence.partition(": ")[2].split(" scores ")[0].split(" moves ")[0] for sentence in found] == (
        NAMES
    )


@pytest.mark.parametrize("variant", NONE, ids=lambda variant: variant.name)
def test_one_photograph_as_good_breaks_a_bound_of_none(variant: Variant) -> None:
    photographs = tried(*[keeping()] * 99, keeping(**{variant.name: UNTOUCHED}))
    assert complaints(photographs) == [
        f"model: {variant.name} scores as good as the untouched photograph or better on 1 of 100 "
        "photographs; the bound is 0 %."
    ]


@pytest.mark.parametrize("variant", FEW, ids=lambda variant: variant.name)
def test_more_than_one_photograph_in_twenty_breaks_a_bound_of_few(variant: Variant) -> None:
    better = keeping(**{variant.name: UNTOUCHED + 0.2})
    assert complaints(tried(better, *[keeping()] * 19)) == []
    assert complaints(tried(better, *[keeping()] * 18)) == [
        f"model: {variant.name} scores as good as the untouched photograph or better on 1 of 19 photographs; "
        "the bound is 5 %."
    ]


@pytest.mark.parametrize("moved", [lambda by: by, lambda by: -by], ids=["up", "down"])
@pytest.mark.parametrize("variant", HARMLESS, ids=lambda variant: variant.name)
def test_a_mean_difference_in_either_direction_breaks_a_harmless_bound(
    variant: Variant, moved: Callable[[float], float]
) -> None:
    far = keeping(**{variant.name: UNTOUCHED + moved(0.042)})
    assert complaints(tried(far, keeping(), keeping())) == []
    assert complaints(tried(far, keeping())) == [
        f"model: {variant.name} moves the score by 0.0210 on average; the bound is 0.02."
    ]
    # Up and down do not cancel.
    assert len(complaints(tried(far, keeping(**{variant.name: UNTOUCHED - moved(0.042)})))) == 1


def test_a_score_that_is_no_number_breaks_a_bound() -> None:
    assert complaints(tried(keeping(jpeg_50=float("nan"), mirrored=float("nan")))) == [
        "model: jpeg 50 scores as good as the untouched photograph or better on 1 of 1 photographs; "
        "the bound is 0 %.",
        "model: mirrored moves the score by nan on average; the bound is 0.02.",
    ]
