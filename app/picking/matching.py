"""Whether two photographs show the same: one is a copy, a crop or an edit, or was taken a moment later.

The small pictures are compared by phase correlation (Kuglin and Hines, "The Phase Correlation Image Alignment
Method", 1975). The spectra are whitened, so that neither brightness, contrast nor blur counts, and the height
of the peak over the rest of the surface says whether structure lies as it lies in the picture compared with,
wherever that is. One of the two is shrunk by steps, which finds crops. Ours: that is done for all pairs on a
small canvas; what seems alike is compared again on one of four times the side, where pictures of one layout
(pages of text, skies, textures) are no longer alike.

Neither a perceptual hash of 64 bits nor the models' embedding could do that: a hash tells no crop, and the
embedding is of the quality. Of 100 training photographs, the median cosine of two different ones was 0.71,
and that of a photograph and its noisy copy 0.28.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft

from app.picking.look import THUMB_SIDE, LumaThumb

_Spectra = NDArray[np.complex64]
_Floats = NDArray[np.float32]

_COARSE: Final = 24
"""Pixels of the side of the canvas on which all pairs are compared."""
_MEDIUM: Final = 48
"""Of that on which the scale of a pair is found."""
_FINE: Final = 96
"""Of that on which it is decided."""
_BANDS: Final = {_COARSE: 6.0, _MEDIUM: 9.0, _FINE: 18.0}
"""Cycles across each canvas, standard deviation of the Gaussian by which frequencies count."""
_COARSE_SCALES: Final = tuple(0.9**number for number in range(6))
"""By which the smaller picture of a pair is shrunk: down to a crop of 59 % of the side."""
_MEDIUM_SCALES: Final = tuple(0.95**number for number in range(11))
_FINE_STEPS: Final = (0.975, 0.9875, 1.0, 1.0125, 1.025)
_ROOM: Final = 0.96
"""Share of the large canvas that a whole picture fills, so that the second can be larger, too."""
_KEPT: Final = 512
"""Pictures whose medium spectra are kept, of 100 KB each."""
_NOISE: Final = 0.7
"""Gray levels; structure weaker than that does not count."""
_EDGE: Final = 0.12
"""Share of each side over which a picture fades out, since its edges are not those of what it shows."""
_BLOCKS: Final = 8
"""Down and across, of which the spread of structure is measured."""
_TOGETHER: Final = 256
"""Pictures that are compared at a time."""


class Matcher:
    """Compares photographs by their numbers.

    Clearness is the height of a peak in standard deviations of the surface that it rises from.

    Args:
        looks: of the photographs.
    """

    def __init__(self, looks: Sequence[LumaThumb]) -> None:
        self._looks = looks
        self._coarse = np.empty((len(looks), len(_COARSE_SCALES), _COARSE, _COARSE // 2 + 1), np.complex64)
        for number, look in enumerate(looks):
            self._coarse[number] = _spectra(look, _COARSE_SCALES, _COARSE)
        self._medium: dict[int, _Spectra] = {}

    def coarse(self, first: int) -> _Floats:
        """The clearness of all pictures of higher numbers, in their order, on the small canvas."""
        one = self._coarse[first]
        found = [np.empty(0, np.float32)]
        for start in range(first + 1, len(self._looks), _TOGETHER):
            products = _products(one, self._coarse[start : start + _TOGETHER])
            found.append(_clearness(products, _COARSE).max(axis=1))
        return np.concatenate(found)

    def fine(self, first: int, second: int) -> float:
        """The clearness of a pair on the large canvas, at the scale that is best on the medium one."""
        best = int(_clearness(_products(self._of(first), self._of(second)), _MEDIUM).argmax())
        shrunk = best < len(_MEDIUM_SCALES)
        scale = _MEDIUM_SCALES[best if shrunk else best - len(_MEDIUM_SCALES) + 1]
        whole, part = (first, second) if shrunk else (second, first)
        scales = [_ROOM * scale * step for step in _FINE_STEPS]
        moved = _spectra(self._looks[part], scales, _FINE)
        fixed = _spectra(self._looks[whole], [_ROOM], _FINE)
        return float(_clearness(fixed * moved.conj(), _FINE).max())

    def spread(self, number: int) -> float:
        """Over how much of the picture its structure is spread: (sum e)^2 / (n sum e^2) of blocks' energies.

        It is 1 where all blocks have the same, and 1/64 where one block has all: a mark in the corner of a
        picture that is black otherwise, or a bird in an empty sky.
        """
        spectrum = _spectrum(self._looks[number], 1.0, _FINE)
        height, width = (round(_FINE * side / THUMB_SIDE) for side in self._looks[number].luma.shape)
        energy = fft.irfft2(spectrum, s=(_FINE, _FINE))[: max(2, height), : max(2, width)] ** 2
        rows = np.array_split(energy, _BLOCKS, axis=0)
        blocks = np.array([block.sum() for row in rows for block in np.array_split(row, _BLOCKS, axis=1)])
        return float(blocks.sum() ** 2 / (blocks.size * (blocks**2).sum() + 1e-12))

    def _of(self, number: int) -> _Spectra:
        if number not in self._medium:
            if len(self._medium) >= _KEPT:
                self._medium.clear()
            self._medium[number] = _spectra(self._looks[number], _MEDIUM_SCALES, _MEDIUM)
        return self._medium[number]


def _products(one: _Spectra, others: _Spectra) -> _Spectra:
    """Cross spectra ``(..., 2 n - 1, h, w)`` of a picture with others: first of the other one shrunk."""
    return np.concatenate([one[:1] * others.conj(), one[1:] * others[..., :1, :, :].conj()], axis=-3)


def _clearness(products: _Spectra, canvas: int) -> _Floats:
    """Of cross spectra ``(..., canvas, canvas // 2 + 1)``: peak over standard deviation of each surface."""
    power = (products.real**2 + products.imag**2) @ _times(canvas)
    deviation = np.sqrt(power.sum(axis=-1)) / canvas**2
    peaks = fft.irfft2(products, s=(canvas, canvas)).max(axis=(-2, -1))
    clearness: _Floats = peaks / (deviation + 1e-12)
    return clearness


def _spectra(look: LumaThumb, scales: Sequence[float], canvas: int) -> _Spectra:
    return np.stack([_spectrum(look, scale, canvas) for scale in scales])


def _spectrum(look: LumaThumb, scale: float, canvas: int) -> _Spectra:
    """The whitened spectrum of a picture whose longer side is that share of the canvas."""
    picture = Image.fromarray(look.luma)
    side = scale * canvas / max(picture.size)
    size = max(2, round(picture.width * side)), max(2, round(picture.height * side))
    small = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)
    taper = np.outer(_fading(size[1]), _fading(size[0]))
    small = (small - (small * taper).sum() / taper.sum()) * taper
    spectrum = fft.rfft2(small, s=(canvas, canvas))
    noise = _NOISE * np.sqrt((taper**2).sum())
    white: _Spectra = (spectrum / (np.abs(spectrum) + noise) * _weights(canvas)).astype(np.complex64)
    return white


def _fading(length: int) -> _Floats:
    """One, and towards both ends less."""
    edge = max(1, round(_EDGE * length))
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)).astype(np.float32)
    taper = np.ones(length, np.float32)
    taper[:edge] *= ramp
    taper[-edge:] *= ramp[::-1]
    return taper


@cache
def _weights(canvas: int) -> _Floats:
    """By frequency; each picture of a pair has the root of what their product has."""
    down, across = canvas * fft.fftfreq(canvas)[:, None], canvas * fft.rfftfreq(canvas)
    weights: _Floats = np.exp(-(down**2 + across**2) / (4 * _BANDS[canvas] ** 2)).astype(np.float32)
    weights[0, 0] = 0
    return weights


@cache
def _times(canvas: int) -> _Floats:
    """How often each column of half a spectrum counts: those that stand for two, twice."""
    times = np.full(canvas // 2 + 1, 2, np.float32)
    times[0] = times[-1] = 1
    return times
