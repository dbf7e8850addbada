from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.color import rgb2lab
from sklearn.datasets import load_sample_images
from torch import Generator, Tensor

from models.training.distortions import (
    CAUSES,
    DISTORTIONS,
    EXTRA_FAULTS,
    LEVELS,
    distort,
    distort_levels,
)
from models.training.distortions.blur import convolve, disk_kernel, gaussian_kernel, line_kernel
from models.training.distortions.color import from_lab, shifted, to_lab
from models.vocabulary import PAIRS

ALL = DISTORTIONS | EXTRA_FAULTS
RANDOM = {
    "motion-blur",
    "green-shift",
    "white-noise",
    "ycbcr-noise",
    "impulse-noise",
    "multiplicative-noise",
    "jitter",
    "patch-copies",
    "colour-blocks",
    "partial-defocus",
    "low-light",
    "haze",
    "ghosting",
    "chroma-noise",
    "denoised-low-light",
}


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def crop(pixels: np.ndarray, top: int, left: int, height: int = 160, width: int = 160) -> Tensor:
    planes = torch.from_numpy(pixels[top : top + height, left : left + width].copy()).permute(2, 0, 1)
    return planes.contiguous().float() / 255


@pytest.fixture(scope="module")
def photographs() -> list[Tensor]:
    china, flower = load_sample_images().images
    return [
        crop(china, 120, 200),
        crop(flower, 130, 240),
        crop(data.astronaut(), 60, 150),
        crop(data.coffee(), 120, 200),
        crop(data.chelsea(), 70, 150),
    ]


def squared_errors(distorted: Tensor, original: Tensor) -> Tensor:
    return (distorted - original).square().mean(dim=(-3, -2, -1))


def test_the_published_set_has_24_types_in_seven_groups() -> None:
    groups = [distortion.group for distortion in DISTORTIONS.values()]
    assert len(DISTORTIONS) == 24
    assert {group: groups.count(group) for group in groups} == {
        "blur": 3,
        "color": 4,
        "compression": 2,
        "noise": 4,
        "brightness": 3,
        "spatial": 5,
        "contrast": 3,
    }
    assert not DISTORTIONS.keys() & EXTRA_FAULTS.keys()
    assert {name for name, distortion in ALL.items() if not distortion.ordered} == {
        "mean-shift",
        "linear-contrast",
    }


@pytest.mark.parametrize("name", ALL)
def test_keeps_shape_range_and_input(name: str, photographs: list[Tensor]) -> None:
    image = photographs[2][:, :97, :64].contiguous()
    before = image.clone()
    for level in LEVELS:
        distorted = distort(image, name, level, seeded())
        assert distorted.shape == image.shape
        assert distorted.dtype == torch.float32
        assert distorted.isfinite().all()
        assert 0 <= distorted.min() <= distorted.max() <= 1
        assert distorted.data_ptr() != image.data_ptr()
    assert torch.equal(image, before)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_plain_black_and_white_of_the_smallest_size_stay_finite(name: str, extreme: float) -> None:
    distorted = distort_levels(torch.full((3, 32, 32), extreme), name, seeded())
    assert distorted.shape == (5, 3, 32, 32)
    assert 0 <= distorted.min() <= distorted.max() <= 1


@pytest.mark.parametrize("name", ALL)
def test_only_levels_below_the_first_ordered_are_identities(name: str, photographs: list[Tensor]) -> None:
    image = photographs[0]
    changed = [not torch.equal(distort(image, name, level, seeded()), image) for level in LEVELS]
    assert changed == [level >= ALL[name].first_ordered for level in LEVELS]


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name].first_ordered == 2])
def test_parameters_of_identity_levels_mean_no_change(name: str, photographs: list[Tensor]) -> None:
    image = photographs[0]
    untouched = ALL[name].apply(image, ALL[name].levels[0], seeded())
    torch.testing.assert_close(untouched, image, rtol=0, atol=1e-4)  # an 8-bit step is 4e-3


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name].ordered])
def test_distance_from_the_original_grows_with_the_level(name: str, photographs: list[Tensor]) -> None:
    errors = torch.stack(
        [
            squared_errors(distort_levels(image, name, seeded(seed)), image)
            for image in photographs
            for seed in range(3 if name in RANDOM else 1)
        ]
    )[:, ALL[name].first_ordered - 1 :]
    # What a shift does to one picture depends on the picture's own rhythm, hence the mean over pictures.
    assert (errors.mean(dim=0).diff() > 0).all()
    assert (errors[:, -1] > errors[:, 0]).all()


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_picture(name: str, photographs: list[Tensor]) -> None:
    image = photographs[3]
    assert torch.equal(distort(image, name, 4, seeded(7)), distort(image, name, 4, seeded(7)))
    other = distort(image, name, 4, seeded(8))
    assert torch.equal(distort(image, name, 4, seeded(7)), other) == (name not in RANDOM)


@pytest.mark.parametrize("name", ALL)
def test_levels_share_the_draw_and_advance_the_generator(name: str, photographs: list[Tensor]) -> None:
    image = photographs[4]
    generator = seeded(3)
    together = distort_levels(image, name, generator, levels=(2, 5))
    assert torch.equal(together[0], distort(image, name, 2, seeded(3)))
    assert torch.equal(together[1], distort(image, name, 5, seeded(3)))
    assert torch.equal(generator.get_state(), seeded(3).get_state()) == (name not in RANDOM)


@pytest.mark.parametrize("name", ["impulse-noise", "colour-blocks", "patch-copies"])
def test_places_hit_at_a_level_are_hit_at_all_higher_ones(name: str, photographs: list[Tensor]) -> None:
    image = photographs[2]
    distorted = distort_levels(image, name, seeded())
    for weaker, stronger in pairwise(distorted):
        hit = weaker != image
        assert torch.equal(stronger[hit], weaker[hit])


@pytest.mark.parametrize("name", ["white-noise", "ycbcr-noise"])
def test_noise_has_its_variance_and_its_pattern_is_scaled(name: str) -> None:
    gray = torch.full((3, 256, 256), 0.5)
    levels = ALL[name].levels
    first, last = distort_levels(gray, name, seeded(), levels=(2, 4)) - gray
    torch.testing.assert_close(last, first * (levels[3] / levels[1]) ** 0.5, rtol=0, atol=1e-5)
    luma = 0.299 * first[0] + 0.587 * first[1] + 0.114 * first[2]
    expected = levels[1] * (0.299**2 + 0.587**2 + 0.114**2 if name == "white-noise" else 1)
    assert luma.var().item() == pytest.approx(expected, rel=0.05)


def test_impulses_have_their_density() -> None:
    noisy = distort(torch.full((3, 256, 256), 0.5), "impulse-noise", 5, seeded())
    assert (noisy == 0).float().mean().item() == pytest.approx(0.015, rel=0.1)
    assert (noisy == 1).float().mean().item() == pytest.approx(0.015, rel=0.1)


def test_linear_contrast_below_zero_flattens() -> None:
    ramp = torch.linspace(0, 1, 64).expand(3, 32, 64)
    assert distort(ramp, "linear-contrast", 5, seeded()).amax().item() == pytest.approx(0.7)
    assert distort(ramp, "linear-contrast", 4, seeded())[0, 0, 10].item() == pytest.approx(
        0.5 + 1.3 * (10 / 63 - 0.5)
    )


def test_nonlinear_contrast_fills_its_range_and_keeps_the_order_of_tones() -> None:
    ramp = torch.linspace(0, 1, 64).expand(3, 32, 64)
    for level, half_range in zip(LEVELS, DISTORTIONS["nonlinear-contrast"].levels, strict=True):
        curve = distort(ramp, "nonlinear-contrast", level, seeded())[0, 0]
        assert curve[0].item() == pytest.approx(0.5 - half_range)
        assert curve[-1].item() == pytest.approx(0.5 + half_range)
        assert (curve.diff() > 0).all()


def test_brighten_and_darken_move_tones_without_clipping() -> None:
    ramp = torch.linspace(0, 1, 64).expand(3, 32, 64)
    for name, sign in (("brighten", 1), ("darken", -1)):
        curve = distort(ramp, name, 5, seeded())[0, 0]
        assert curve[0].item() == pytest.approx(0, abs=1e-3)
        assert curve[-1].item() == pytest.approx(1, abs=1e-3)
        assert (sign * (curve - ramp[0, 0])[1:-1] > 0).all()


def test_saturation_keeps_value_and_hue_and_turns_them_below_zero(photographs: list[Tensor]) -> None:
    image = photographs[1]
    gray = distort(image, "hsv-saturation", 4, seeded())
    torch.testing.assert_close(gray, image.amax(dim=0, keepdim=True).expand(3, -1, -1))
    red = torch.tensor([0.5, 0.1, 0.1])[:, None, None].expand(3, 32, 32)
    opposite = distort(red, "hsv-saturation", 5, seeded())[:, 0, 0]
    torch.testing.assert_close(opposite, torch.tensor([0.5, 0.66, 0.66]))


def test_green_shift_moves_green_alone(photographs: list[Tensor]) -> None:
    image = photographs[0]
    moved = distort(image, "green-shift", 5, seeded())
    assert torch.equal(moved[0], image[0])
    assert torch.equal(moved[2], image[2])
    candidates = [
        (down, right)
        for down in range(-13, 14)
        for right in range(-13, 14)
        if torch.equal(shifted(image[1], down, right), moved[1])
    ]
    assert len(candidates) == 1
    assert candidates[0][0] ** 2 + candidates[0][1] ** 2 == pytest.approx(144, abs=18)


def test_quantization_leaves_the_named_number_of_levels() -> None:
    ramp = torch.linspace(0, 1, 256).expand(3, 32, 256)
    counts = [len(distort(ramp, "quantisation", level, seeded()).unique()) for level in LEVELS]
    assert counts == [20, 16, 13, 10, 7]


def test_partial_defocus_leaves_a_part_sharp(photographs: list[Tensor]) -> None:
    for seed in range(8):
        changed = distort(photographs[2], "partial-defocus", 5, seeded(seed)) != photographs[2]
        assert 0.3 < changed.float().mean().item() < 0.9


def test_ghosting_doubles_an_edge() -> None:
    point = torch.zeros(3, 64, 64)
    point[:, 32, 32] = 1
    doubled = distort(point, "ghosting", 5, seeded())
    assert (doubled[0] == 0.5).sum() == 2


def test_jpeg_is_pillows(photographs: list[Tensor], tmp_path: Path) -> None:
    image = photographs[3]
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "x.jpg", quality=7)
    expected = np.asarray(Image.open(tmp_path / "x.jpg"))
    decoded = distort(image, "jpeg", 4, seeded()).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(decoded, expected / 255.0, atol=1e-6)


def test_lab_agrees_with_scikit_image_and_comes_back(photographs: list[Tensor]) -> None:
    for image in photographs:
        lab = to_lab(image)
        expected = rgb2lab(image.permute(1, 2, 0).double().numpy())
        np.testing.assert_allclose(lab.permute(1, 2, 0).numpy(), expected, atol=0.05)
        torch.testing.assert_close(from_lab(lab), image, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "kernel", [gaussian_kernel(2.0), disk_kernel(6), line_kernel(10, 0.7), line_kernel(1, 2.0)]
)
def test_kernels_are_symmetric_and_sum_to_one(kernel: Tensor) -> None:
    assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(kernel, kernel.flip(0, 1), rtol=0, atol=1e-5)


def test_convolution_agrees_with_the_direct_sum(photographs: list[Tensor]) -> None:
    image, kernel = photographs[0][:, :50, :37], line_kernel(6, 0.4)
    radius = kernel.shape[-1] // 2
    padded = torch.nn.functional.pad(image, (radius,) * 4, mode="replicate")
    direct = torch.nn.functional.conv2d(padded[:, None], kernel[None, None])[:, 0]
    torch.testing.assert_close(convolve(image, kernel), direct, rtol=0, atol=1e-5)


def test_faults_cover_every_pair_and_name_what_exists() -> None:
    assert list(CAUSES) == [pair.positive for pair in PAIRS]
    for faults in CAUSES.values():
        assert faults
        for fault in faults:
            distortion = ALL[fault.distortion]
            assert all(3 <= level <= 5 for level in fault.levels)
            assert list(fault.levels) == sorted(set(fault.levels))
            assert min(fault.levels) >= distortion.first_ordered
    assert set(EXTRA_FAULTS) <= {fault.distortion for faults in CAUSES.values() for fault in faults}


def test_faults_take_the_levels_that_mean_the_word() -> None:
    def levels_of(pair: str, distortion: str) -> list[int]:
        return [level for fault in CAUSES[pair] if fault.distortion == distortion for level in fault.levels]

    gains = DISTORTIONS["linear-contrast"].levels
    assert all(gains[level - 1] < 0 for level in levels_of("contrasty", "linear-contrast"))
    factors = DISTORTIONS["hsv-saturation"].levels
    assert all(0 <= factors[level - 1] < 1 for fault in CAUSES["colorful"] for level in fault.levels)
    color_gains = DISTORTIONS["lab-gain"].levels
    assert all(color_gains[level - 1] >= 3 for level in levels_of("natural", "lab-gain"))
    assert all(min(fault.levels) >= 4 for fault in CAUSES["good"])


@pytest.mark.parametrize("level", [0, 6, -1])
def test_refuses_levels_outside_one_to_five(level: int) -> None:
    with pytest.raises(ValueError, match="1 to 5"):
        distort(torch.zeros(3, 32, 32), "jpeg", level, seeded())


def test_refuses_unknown_names() -> None:
    with pytest.raises(KeyError, match="rain"):
        distort(torch.zeros(3, 32, 32), "rain", 1, seeded())
