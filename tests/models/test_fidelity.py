"""PSNR and SSIM against scikit-image's."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from models import fidelity
from tests.photographs import named

LUMA = np.array([0.299, 0.587, 0.114])


def _blurred(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)))


def _reference_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    return float(
        structural_similarity(
            first @ LUMA,
            second @ LUMA,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
@pytest.mark.parametrize("strip", [10, 2**20])
def test_it_agrees_with_scikit_image(monkeypatch: pytest.MonkeyPatch, name: str, strip: int) -> None:
    monkeypatch.setattr(fidelity, "_STRIP_PIXELS", 600 * strip)
    first = named()[name]
    measured = fidelity.measure(first, _blurred(first))
    assert measured.psnr_db == pytest.approx(peak_signal_noise_ratio(first, _blurred(first)))
    assert measured.ssim == pytest.approx(_reference_ssim(first, _blurred(first)), abs=1e-9)


def test_identical_images() -> None:
    assert fidelity.psnr(named()["coffee"], named()["coffee"]) is None
    assert fidelity.ssim(named()["coffee"], named()["coffee"]) == pytest.approx(1.0)


def test_black_against_white() -> None:
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert fidelity.psnr(black, white) == pytest.approx(0.0)
    assert fidelity.ssim(black, white) == pytest.approx(1e-4, rel=0.01)  # C1 / (255^2 + C1)


def test_the_smallest_image_is_one_window() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2, 11, 11, 3), np.uint8)
    assert fidelity.ssim(*noise) == pytest.approx(_reference_ssim(*noise), abs=1e-9)
    with pytest.raises(ValueError, match="11 pixels"):
        fidelity.ssim(noise[0, :10], noise[1, :10])


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        fidelity.measure(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 21, 3), np.uint8))
