"""VSI: how alike saliency, gradients and colors of two images are, weighted by saliency.

Source: Zhang, Shen and Li, "VSI: a visual saliency-induced index for perceptual image quality assessment",
IEEE Transactions on Image Processing 23(10), 2014. Saliency: Zhang, Gu and Li, "SDSP: a novel saliency
detection method by combining simple priors", ICIP 2013.
"""

from typing import Final

import numpy as np
from numpy import fft
from numpy.typing import NDArray

from models.color.colorimetry import srgb_curve
from models.measures.filtering import Map, averaged, gradient, similarity

_SIDE: Final = 256  # of the images that are compared, about; and of those whose saliency is found
_C1, _C2, _C3 = 1.27, 386.0, 130.0
_ALPHA, _BETA = 0.4, 0.02
_OMEGA, _SIGMA_F, _SIGMA_D, _SIGMA_C = 0.021, 1.34, 145.0, 0.001
_STRIP_PIXELS: Final = 2**20
_TINY: Final = float(np.finfo(np.float32).eps)
_LMN: Final = np.array([[0.06, 0.63, 0.27], [0.30, 0.04, -0.35], [0.34, -0.6, 0.17]])
_SCHARR: Final = np.array([[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]]) / 16
_XYZ: Final = np.array([
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
])  # fmt: skip
_WHITE: Final = np.array([0.9642119944211994, 1.0, 0.8251882845188288])  # D50, as the authors have it
_LAB: Final = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])


def vsi(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
    """VSI of two ``(H, W, 3)`` uint8 images of one shape: 1 is identical."""
    side = max(1, round(min(reference.shape[:2]) / _SIDE))
    x, y = (averaged(image, side, side // 2, edge=True) @ _LMN.T for image in (distorted, reference))
    salient = [_averaged_saliency(image, side) for image in (distorted, reference)]
    gradients = [gradient(each[..., 0], _SCHARR) for each in (x, y)]
    colors = similarity(x[..., 1], y[..., 1], _C3) * similarity(x[..., 2], y[..., 2], _C3)
    alike = (
        similarity(salient[0], salient[1], _C1)
        * similarity(gradients[0], gradients[1], _C2) ** _ALPHA
        * (colors.astype(np.complex128) ** _BETA).real
    )
    weight = np.maximum(*salient)
    return float(((alike * weight).sum() + _TINY) / (weight.sum() + _TINY))


def _averaged_saliency(image: NDArray[np.uint8], side: int) -> Map:
    """Saliency of the image in [0, 1], averaged over cells as the image itself is."""
    small = _saliency(image)
    height, width = image.shape[:2]
    down, across = _stretched(height), _stretched(width)
    wide = small @ across.T
    # Of the whole image only the extremes are needed; the averages follow from averaged weights.
    least, most = np.inf, -np.inf
    rows = max(1, _STRIP_PIXELS // width)
    places = _ends_on_ends(height)
    for start in range(0, height, rows):
        part = _between(wide, places[start : start + rows])
        least, most = min(least, float(part.min())), max(most, float(part.max()))
    means = _cells(down, side) @ small @ _cells(across, side).T
    saliency: Map = (means - least) / (most - least + _TINY)
    return saliency


def _cells(weights: Map, side: int) -> Map:
    """The rows of weights, averaged over cells of so many; at both ends the last one is repeated."""
    padded = np.pad(weights, ((side // 2, (side - 1) // 2), (0, 0)), mode="edge")
    count = len(padded) // side
    means: Map = padded[: count * side].reshape(count, side, -1).mean(axis=1)
    return means


def _stretched(length: int) -> Map:
    """Weights that bring 256 values to another length, ends on ends, ``(length, 256)``."""
    return _between(np.eye(_SIDE), _ends_on_ends(length))


def _ends_on_ends(length: int) -> Map:
    return np.linspace(0, _SIDE - 1, length)


def _between(values: NDArray[np.generic], places: Map) -> Map:
    """Rows of values at places that need not be whole, by their two neighbors."""
    low = np.minimum(places.astype(int), len(values) - 2)
    share = (places - low).reshape(-1, *[1] * (values.ndim - 1))
    mixed: Map = values[low] * (1 - share) + values[low + 1] * share
    return mixed


def _shrunk(image: NDArray[np.uint8]) -> Map:
    """The image at 256 x 256 pixels, each by its two neighbors in either direction."""
    whole: NDArray[np.generic] = image
    for _ in range(2):
        length = len(whole)
        places = ((np.arange(_SIDE) + 0.5) * length / _SIDE - 0.5).clip(0, length - 1)
        whole = _between(whole, places).swapaxes(0, 1)
    return whole.astype(np.float64)


def _saliency(image: NDArray[np.uint8]) -> Map:
    """SDSP of the image at 256 x 256 pixels: what is detailed, near the center, and warm."""
    lab = _lab(_shrunk(image))
    steps = np.arange(-_SIDE // 2, _SIDE // 2) / _SIDE
    radius = np.hypot(*np.meshgrid(steps, steps, indexing="ij"))
    radius = fft.ifftshift(np.where(radius <= 0.5, radius, 0.0))
    with np.errstate(divide="ignore"):
        band = np.exp(-(np.log(radius / _OMEGA) ** 2) / (2 * _SIGMA_F**2))
    filtered = fft.ifft2(fft.fft2(lab, axes=(0, 1)) * band[..., None], axes=(0, 1)).real
    detail = np.sqrt((filtered**2).sum(axis=2))
    places = (steps * _SIDE + 1) ** 2
    central = np.exp(-(places[:, None] + places) / _SIGMA_D**2)
    least, most = lab.min(axis=(0, 1)), lab.max(axis=(0, 1))
    warm = (((lab - least) / (most - least + _TINY))[..., 1:] ** 2).sum(axis=2)
    saliency: Map = detail * central * (1 - np.exp(-warm / _SIGMA_C**2))
    return saliency


def _lab(rgb: Map) -> Map:
    """CIELAB of sRGB values in [0, 255]."""
    xyz = srgb_curve(rgb / 255) @ _XYZ.T / _WHITE
    roots = np.where(xyz > 0.008856, np.cbrt(xyz), (903.3 * xyz + 16) / 116)
    lab: Map = roots @ _LAB.T - np.array([16.0, 0.0, 0.0])
    return lab
