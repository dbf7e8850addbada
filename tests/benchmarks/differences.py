"""Measures whether the map of differences (:mod:`models.measures.difference`) marks a distorted half.

    python -m tests.benchmarks.differences PHOTOS

PHOTOS is a folder of good photographs, of which those are taken that training holds out. The left, right,
upper and lower half of each is blurred, made noisy, compressed or darkened; then the picture is saved once
without loss and once as JPEG of quality 90, which changes the other half too. Prints, for each, the share of
pictures whose distorted half has the greater mean, the mean of either half, and the share of either half that
is noticed side by side.
"""

import argparse
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.measures.difference import CELL, NOTICEABLE, difference_map
from models.preprocessing import Pixels
from models.training.photos import list_photos

_SAVED_AT: Final = 90
_HALVES: Final = ("left", "right", "top", "bottom")


def spoilt(photo: Pixels) -> Mapping[str, Pixels]:
    """The photograph with each distortion, over all of it."""
    noise = np.random.default_rng(0).normal(0, 12, photo.shape)
    return {
        "blurred by 2 px": np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(2))),
        "noise of 12 levels": np.clip(photo + noise, 0, 255).astype(np.uint8),
        "JPEG 30": _jpeg(photo, 30),
        "at .6 of its brightness": (0.6 * photo).astype(np.uint8),
    }


def half(name: str, height: int, width: int) -> NDArray[np.bool_]:
    """Which cells lie in the left, right, top or bottom half of an image of that many cells."""
    down, across = np.arange(height)[:, None] + np.zeros(width), np.zeros((height, 1)) + np.arange(width)
    places = {"left": across < width // 2, "right": across >= width // 2, "top": down < height // 2}
    return places[name] if name in places else down >= height // 2


def measure(photo: Pixels) -> Iterator[tuple[str, str, list[float]]]:
    """Of each distortion and way of saving: the means in and out of the half, and the noticed shares."""
    height, width = -(-photo.shape[0] // CELL), -(-photo.shape[1] // CELL)
    for kind, changed in spoilt(photo).items():
        for name in _HALVES:
            cells = half(name, height, width)
            mask = np.kron(cells, np.ones((CELL, CELL), bool))[: photo.shape[0], : photo.shape[1]]
            picture = np.where(mask[..., None], changed, photo)
            for way, saved in (("lossless", picture), (f"JPEG {_SAVED_AT}", _jpeg(picture, _SAVED_AT))):
                found = difference_map(photo, saved)
                parts = found[cells], found[~cells]
                means = [float(part.mean()) for part in parts]
                yield kind, way, means + [float((part >= NOTICEABLE).mean()) for part in parts]


def _jpeg(photo: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    with Image.open(file) as saved:
        return np.asarray(saved.convert("RGB"))


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    found: dict[tuple[str, str], list[list[float]]] = {}
    photographs = list_photos(parser.parse_args(arguments).photos, "holdout")
    for path in photographs:
        with Image.open(path) as image:
            photo = np.asarray(image.convert("RGB"))
        for kind, way, values in measure(photo):
            found.setdefault((kind, way), []).append(values)
    print(f"{len(photographs)} photographs, each with four halves")
    for (kind, way), rows in found.items():
        figures = np.array(rows)
        right = (figures[:, 0] > figures[:, 1]).mean()
        inside, outside, noticed, elsewhere = figures.mean(axis=0)
        print(
            f"{kind}, saved as {way}: {right:.1%} marked; mean {inside:.4f} in the half, {outside:.4f} "
            f"elsewhere; noticed {noticed:.0%} and {elsewhere:.0%}"
        )


if __name__ == "__main__":
    main()
