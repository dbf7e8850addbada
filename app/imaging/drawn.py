"""Whether a picture was drawn: screenshots, documents, charts, drawings and renderings, by plain measures.

What is drawn has flat areas, few colors, two tones where there is contrast, and edges that are upright and
level; photographs have noise and medium contrast everywhere. Compression and scaling blur each of these
signs, so 21 measures and six products of them are weighed by a logistic regression.

``python -m tests.benchmarks.drawn`` learns and measures. The weights were learned from 540 drawings of nine
kinds that ``tests/drawings.py`` makes, and from photographs of BIQ2021 (training part), both also scaled
and compressed (JPEG of quality 60 to 95, WebP). Of 270 held-out drawings, treated in the same way, 95.2 %
are recognized: 98.3 % without renderings, of which 70 % are. Of 562 held-out photographs 4 (0.7 %) are
taken for drawings; with 378 scaled and compressed copies, 8 of 940 (0.9 %).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]

_TILE: Final = 16  # pixels; two blocks of JPEG
_MOST_TILES: Final = 256
_LEAST_SIDE: Final = 64  # pixels; a strip of a photograph shows too little of it
_UNIFORM_DEVIATION: Final = 2.0
"""Of 255, in every channel: less is a blank wall or a black frame, with nothing in it to judge."""

_UNIFORM_SAMPLES: Final = 40_000

_FLAT_STEP: Final = 1  # between neighbors, of 255
_STRONG_STEP: Final = 40
_CLEAR_CONTRAST: Final = 60  # between the darkest and the brightest pixel of a tile
_TONE_MARGIN: Final = 0.15  # of the contrast of a tile, around its two tones
_FEW_STRONG: Final = 50  # pixels; fewer say little of the direction of edges
_MOST_DEVIATIONS: Final = 6.0

# Mean, standard deviation and weight of each measure, in the order of `drawn_features`.
_MEASURES: Final = np.array([
    (0.5734, 0.2134, 0.674),  # flat steps
    (0.2796, 0.1595, -2.245),  # steps of 3 to 20
    (0.0162, 0.027, -0.701),  # strong steps
    (0.0684, 0.1156, 1.154),  # strong ones of the steps over 4
    (0.3132, 0.1864, 0.772),  # strong edges along one axis
    (0.8735, 0.3358, 1.657),  # peakedness of steps
    (0.0943, 0.1831, -0.111),  # tiles of one tone
    (0.1904, 0.2212, -0.625),  # tiles of nearly one tone
    (0.226, 0.2034, 1.103),  # tiles of strong contrast
    (0.4427, 0.2429, -1.285),  # tiles of medium contrast
    (0.1482, 0.1903, 0.749),  # commonest tone
    (0.3908, 0.2265, -0.271),  # 4 commonest colors
    (0.6415, 0.2012, 0.619),  # 16 commonest colors
    (4.2915, 1.0599, -0.278),  # colors of 95 % of the pixels
    (0.8506, 1.3567, 0.521),  # deviation of the flatter tiles
    (1.7452, 1.2932, 0.982),  # deviation of the median tile
    (0.1458, 0.219, -1.445),  # gray
    (0.0239, 0.0793, 1.427),  # saturated
    (0.0554, 0.1652, 0.312),  # white
    (0.0206, 0.0795, -1.326),  # black
    (0.401, 0.1657, 0.425),  # two tones where there is contrast
])  # fmt: skip
PRODUCTS: Final = ((0, 12), (2, 11), (17, 17), (0, 6), (2, 15), (6, 17))
"""Two measures each, by their places. They were chosen one after another, each for the highest recall at
three low shares of false alarms (three-fold cross-validation on the training part)."""
_PRODUCT_WEIGHTS: Final = (-1.193, 2.173, -0.452, 0.948, -0.674, 0.468)
_THRESHOLD: Final = 5.74  # 0.7 % of the photographs of the training part are above it


def looks_drawn(pixels: NDArray[np.uint8], *, uniform: bool | None = None) -> bool:
    """Whether pixels are a drawing; never where a side has fewer than 64, or where they are uniform.

    Looks at 256 tiles of 16 x 16 pixels at most, which takes about two milliseconds whatever the size.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB.
        uniform: what :func:`is_uniform` says of them, where that is known.
    """
    if min(pixels.shape[:2]) < _LEAST_SIDE or (is_uniform(pixels) if uniform is None else uniform):
        return False
    mean, deviation, weight = _MEASURES.T
    measures = ((drawn_features(pixels) - mean) / deviation).clip(-_MOST_DEVIATIONS, _MOST_DEVIATIONS)
    evidence = measures @ weight
    for (one, other), product_weight in zip(PRODUCTS, _PRODUCT_WEIGHTS, strict=True):
        evidence += product_weight * measures[one] * measures[other]
    return bool(evidence > _THRESHOLD)


def is_uniform(pixels: NDArray[np.uint8]) -> bool:
    """Whether there is next to nothing in a picture."""
    step = max(1, math.ceil(math.sqrt(pixels.shape[0] * pixels.shape[1] / _UNIFORM_SAMPLES)))
    samples = pixels[::step, ::step].reshape(-1, 3)
    # Channel by channel: nearly always the first one tells.
    return all(samples[:, each].astype(np.float32).std() < _UNIFORM_DEVIATION for each in range(3))


def drawn_features(pixels: NDArray[np.uint8]) -> Features:
    """21 measures of ``(H, W, 3)`` uint8 pixels: shares of pixels, steps or tiles, and some logarithms."""
    planes = _tiles(pixels)
    red, green, blue = planes
    luma = (2 * red + 5 * green + blue) >> 3
    chroma = planes.max(axis=0) - planes.min(axis=0)
    low, high = luma.min(axis=(1, 2)), luma.max(axis=(1, 2))
    contrast = high - low
    deviation = np.sort(luma.reshape(len(luma), -1).astype(np.float32).std(axis=1))
    tones = np.bincount(luma.ravel(), minlength=256) / luma.size
    packed = ((red >> 4) << 8) | ((green >> 4) << 4) | (blue >> 4)
    commonest = np.cumsum(np.sort(np.bincount(packed.ravel(), minlength=4096))[::-1]) / luma.size
    return np.array([
        *_steps(luma),
        np.mean(contrast <= 1), np.mean(contrast <= 6), np.mean(contrast >= 100),
        np.mean((contrast > 6) & (contrast < _CLEAR_CONTRAST)),
        (tones + np.roll(tones, 1) + np.roll(tones, -1)).max(),
        commonest[3], commonest[15], math.log(1 + int(np.searchsorted(commonest, 0.95))),
        math.log(0.1 + deviation[len(deviation) // 4]), math.log(0.1 + deviation[len(deviation) // 2]),
        np.mean(chroma <= 4), np.mean(chroma > 150), tones[250:].sum(), tones[:6].sum(),
        _two_tones(luma, low, high),
    ])  # fmt: skip


def _steps(luma: NDArray[np.int16]) -> tuple[float, ...]:
    """How the differences of neighbors are spread, and the share of strong ones along one axis only."""
    across, down = np.abs(np.diff(luma, axis=2)), np.abs(np.diff(luma, axis=1))
    sizes = np.bincount(across.ravel(), minlength=256) + np.bincount(down.ravel(), minlength=256)
    steps = sizes / sizes.sum()
    mean, square = float(steps @ np.arange(256)), float(steps @ np.arange(256) ** 2)
    across, down = across[:, :-1, :], down[:, :, :-1]
    larger = np.maximum(across, down)
    strong = larger > _STRONG_STEP
    aligned = np.minimum(across, down)[strong] * 8 < larger[strong]
    large = float(steps[_STRONG_STEP + 1 :].sum())
    return (
        float(steps[: _FLAT_STEP + 1].sum()), float(steps[3:21].sum()), large,
        large / max(float(steps[5:].sum()), 1e-3),
        np.count_nonzero(aligned) / max(aligned.size, _FEW_STRONG),
        math.log(0.1 + math.sqrt(square) / max(mean, 0.02)),
    )  # fmt: skip


def _two_tones(luma: NDArray[np.int16], low: NDArray[np.int16], high: NDArray[np.int16]) -> float:
    """In tiles of clear contrast, the share of pixels near the darkest or the brightest of their tile."""
    clear = high - low >= _CLEAR_CONTRAST
    if not clear.any():
        return 0.5
    inside = luma[clear]
    low, high = low[clear][:, None, None], high[clear][:, None, None]
    margin = (_TONE_MARGIN * (high - low)).astype(np.int16)
    return float(np.mean((inside <= low + margin) | (inside >= high - margin)))


def _tiles(pixels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """``(3, N, 16, 16)``, evenly spread."""
    height, width = (side // _TILE for side in pixels.shape[:2])
    step = max(1, math.ceil(math.sqrt(height * width / _MOST_TILES)))
    whole = pixels[: height * _TILE, : width * _TILE].reshape(height, _TILE, width, _TILE, 3)
    top, left = min(step // 2, height - 1), min(step // 2, width - 1)
    chosen = whole[top::step, :, left::step].transpose(4, 0, 2, 1, 3)
    return chosen.astype(np.int16).reshape(3, -1, _TILE, _TILE)
