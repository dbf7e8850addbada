"""How far a distorted image is displaced against its reference: by phase correlation of some windows.

Source: Kuglin and Hines, "The Phase Correlation Image Alignment Method", Proc. IEEE Int. Conf. on Cybernetics
and Society, 1975. Ours: where the windows lie, the weight of frequencies, that a displacement counts only
where it makes the windows clearly more alike, and the fit of one shift and one scale to all windows.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FURTHEST: Final = 24
"""Pixels; a displacement beyond that is not found."""

_SIDE: Final = 128  # px, of a window: where content is scaled, it moves by more the larger a window is
_GRID: Final = 4  # windows down and across, from edge to edge
_FINEST: Final = 0.2  # cycles a pixel: above it lie noise and the blocks of codecs
_LEAST_TEXTURE: Final = 1.5  # of 255, standard deviation; flat windows lie anywhere
_GAIN: Final = 0.7  # a displacement leaves at most that share of what the windows differ by
_LEAST_SHIFT: Final = 0.7  # px, somewhere in the image; less is within what filters do
_LEAST_FOR_SCALE: Final = 3  # windows from which a scale is fitted
_LEAST_SCALE: Final = 0.003  # of the size; less is within the error of the fit
_AGREEMENT: Final = 1.5  # px between a window and what is said of all

_ROUNDS: Final = 3  # of leaving out the windows that contradict

_Window = NDArray[np.float32]
_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Displacement:
    """Where the reference's content is found in the distorted image.

    Attributes:
        x: pixels to the right, in the middle of the image.
        y: pixels down, in the middle of the image.
        scale: of the content; 1 where only a shift was found.
    """

    x: float
    y: float
    scale: float = 1.0


def displacement(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> Displacement | None:
    """How the distorted image is displaced; None where it is not, or where too little can be told.

    Args:
        reference: ``(H, W, 3)`` uint8.
        distorted: the same shape.
    """
    height, width = reference.shape[:2]
    side = min(_SIDE, height, width) // 2 * 2
    if side < 2 * FURTHEST:
        return None
    moved: list[tuple[float, float, float, float]] = []  # of each window: its center, and how far it moved
    still: list[tuple[float, float]] = []
    for top in _places(height, side):
        for left in _places(width, side):
            box = np.s_[top : top + side, left : left + side]
            first, second = (_luma(image[box]) for image in (reference, distorted))
            if min(first.std(), second.std()) < _LEAST_TEXTURE:
                continue
            center = top + (side - height) / 2, left + (side - width) / 2
            found = _moved(first, second)
            if found is None:
                still.append(center)
            else:
                moved.append((*center, *found))
    return _fitted(np.array(moved), np.array(still).reshape(-1, 2), (height, width)) if moved else None


def _places(whole: int, side: int) -> list[int]:
    """Where windows begin along one side, neighbors not overlapping more than they must."""
    count = min(_GRID, max(1, whole // side))
    return [round(place) for place in np.linspace(0, whole - side, count)]


def _luma(pixels: NDArray[np.uint8]) -> _Window:
    window: _Window = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return window


def _moved(first: _Window, second: _Window) -> tuple[float, float] | None:
    """Pixels down and to the right by which the content moved; None where the windows lie as they should."""
    from scipy import fft  # here: it takes a fifth of the start of a process that only names Displacement

    height, width = first.shape
    taper = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    spectra = [fft.rfft2((window - window.mean()) * taper) for window in (second, first)]
    cross = spectra[0] * spectra[1].conj()
    down, across = fft.fftfreq(height)[:, None], fft.rfftfreq(width)
    weight = np.exp(-(down**2 + across**2) / (2 * (_FINEST / 2) ** 2)).astype(np.float32)
    peaks = fft.irfft2(weight * cross / (np.abs(cross) + 1e-6), s=(height, width))
    near = np.roll(peaks, (FURTHEST, FURTHEST), (0, 1))[: 2 * FURTHEST + 1, : 2 * FURTHEST + 1]
    y, x = np.unravel_index(int(near.argmax()), near.shape)
    if not (0 < y < 2 * FURTHEST and 0 < x < 2 * FURTHEST):
        return None  # the peak lies further away
    moved = int(y) - FURTHEST, int(x) - FURTHEST
    exact = (
        moved[0] + _between(*near[y - 1 : y + 2, x].tolist()),
        moved[1] + _between(*near[y, x - 1 : x + 2].tolist()),
    )
    if moved == (0, 0):
        return exact if math.hypot(*exact) >= _LEAST_SHIFT else None
    before, after = _unlike(first, second, (0, 0)), _unlike(first, second, moved)
    return exact if after <= _GAIN * before else None


def _between(before: float, peak: float, after: float) -> float:
    """Where the top of a parabola through three neighbors lies, in [-0.5, 0.5]."""
    bend = before - 2 * peak + after
    return 0.0 if bend >= 0 else 0.5 * (before - after) / bend


def _unlike(first: _Window, second: _Window, moved: tuple[int, int]) -> float:
    """One minus the correlation of the windows where they overlap, the second moved back."""
    y, x = moved
    height, width = first.shape
    one = first[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    other = second[max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)]
    one, other = one - one.mean(), other - other.mean()
    return 1 - float((one * other).sum() / math.sqrt(float((one**2).sum() * (other**2).sum()) + 1e-6))


def _fitted(moved: _Array, still: _Array, size: tuple[int, int]) -> Displacement | None:
    """One shift, and a scale where it explains the windows better, by least squares; most have to agree.

    Args:
        moved: ``(n, 4)``, of each window its center against the image's and how far it moved, down and right.
        still: ``(m, 2)``, the centers of those that did not move.
        size: of the image, height and width.
    """
    for _ in range(_ROUNDS):
        shift, growth = _least_squares(moved)
        agrees = _distance(moved[:, 2:], shift + growth * moved[:, :2]) <= _AGREEMENT
        if agrees.all() or not agrees.any():
            break
        moved, outside = moved[agrees], moved[~agrees]
        still = np.concatenate([still, outside[:, :2]])
    expected = _distance(shift + growth * still, np.zeros(2))
    agreeing = int(agrees.sum()) + int((expected < _LEAST_SHIFT).sum())
    furthest = math.hypot(*(np.abs(shift) + abs(growth) * np.array(size) / 2))
    if 2 * agreeing < len(moved) + len(still) or furthest < _LEAST_SHIFT:
        return None
    return Displacement(x=float(shift[1]), y=float(shift[0]), scale=1 + growth)


def _least_squares(moved: _Array) -> tuple[_Array, float]:
    """The shift ``(2,)`` and the growth: 0 where there are too few windows, or it is within the error."""
    places, shifts = moved[:, :2], moved[:, 2:]
    median: _Array = np.median(shifts, axis=0)
    if len(moved) < _LEAST_FOR_SCALE:
        return median, 0.0
    # Down is shift[0] + growth * place[0], right the same with [1]: one growth for both.
    unknown = np.zeros((2 * len(moved), 3))
    unknown[0::2, 0] = unknown[1::2, 1] = 1
    unknown[:, 2] = places.ravel()
    down, right, growth = np.linalg.lstsq(unknown, shifts.ravel(), rcond=None)[0].tolist()
    return (np.array([down, right]), growth) if abs(growth) >= _LEAST_SCALE else (median, 0.0)


def _distance(first: _Array, second: _Array) -> _Array:
    distance: _Array = np.hypot(*(first - second).T)
    return distance
