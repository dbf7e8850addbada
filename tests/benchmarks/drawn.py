"""Learns and measures what tells drawings from photographs: the weights of :mod:`app.imaging.drawn`.

    python -m tests.benchmarks.drawn PHOTOS [--drawings 90]

PHOTOS is a folder of photographs; those that training holds out are held out here too. Prints the mean, the
standard deviation and the weight of each measure, the weights of the products, the threshold, and recall and
precision on what was held out.
"""

import argparse
import random
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

from app.imaging.drawn import PRODUCTS, drawn_features
from models.training.photos import is_held_out
from tests.drawings import DRAWINGS, drawing, handed_on

Floats = NDArray[np.float64]

_LEARNED_SHARE: Final = 2 / 3  # of the drawings
_FALSE_ALARMS: Final = 0.007  # of the photographs that are learned from
_PHOTOGRAPHS_WEIGH: Final = 3.0
_CLIPPED: Final = 6.0


def learn(drawings: Floats, photographs: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Means, deviations, weights and the threshold, from rows of measures."""
    rows = np.vstack([drawings, photographs])
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    is_drawn = np.repeat([1, 0], [len(drawings), len(photographs)])
    weigh = np.where(is_drawn == 1, 1 / len(drawings), _PHOTOGRAPHS_WEIGH / len(photographs)) * len(rows) / 2
    inputs = with_products(rows, mean, deviation)
    model = LogisticRegression(C=0.3, max_iter=3000).fit(inputs, is_drawn, sample_weight=weigh)
    weights: Floats = model.coef_[0]
    threshold = np.quantile(inputs[is_drawn == 0] @ weights, 1 - _FALSE_ALARMS)
    return mean, deviation, weights, float(threshold)


def with_products(rows: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Measures in standard deviations, and their products."""
    standard = ((rows - mean) / deviation).clip(-_CLIPPED, _CLIPPED)
    products = [standard[:, one] * standard[:, other] for one, other in PRODUCTS]
    return np.column_stack([standard, *products])


def _photographs(paths: list[Path]) -> Floats:
    """Each one as it is, each second one also as it is handed on, each sixth one also enlarged."""
    rows = []
    for number, path in enumerate(paths):
        photo = np.asarray(Image.open(path).convert("RGB"))
        rows.append(drawn_features(photo))
        if number % 2 == 0:
            rows.append(drawn_features(handed_on(photo, number)))
        if number % 6 == 1:
            scale = random.Random(number).uniform(1.5, 4)
            size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
            large = Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC)
            rows.append(drawn_features(handed_on(np.asarray(large), number)))
    return np.array(rows)


def _drawings(seeds: range) -> tuple[list[str], Floats]:
    made = [(kind, seed) for kind in DRAWINGS for seed in seeds]
    rows = [drawn_features(handed_on(drawing(kind, seed), 31 * seed + 7)) for kind, seed in made]
    return [kind for kind, _ in made], np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of JPEG photographs")
    parser.add_argument("--drawings", type=int, default=90, help="of each kind")
    arguments = parser.parse_args()
    paths = sorted(arguments.photos.glob("*.jpg"))
    learned = round(arguments.drawings * _LEARNED_SHARE)
    _, drawn = _drawings(range(learned))
    photographs = _photographs([path for path in paths if not is_held_out(path.name)])
    mean, deviation, weights, threshold = learn(drawn, photographs)
    for row in zip(mean, deviation, weights, strict=False):
        print(*(f"{value:.4f}" for value in row))
    print("products", *(f"{value:.3f}" for value in weights[len(mean) :]), "threshold", f"{threshold:.2f}")
    kinds, held_out = _drawings(range(learned, arguments.drawings))
    found = with_products(held_out, mean, deviation) @ weights > threshold
    for kind in DRAWINGS:
        print(f"{kind}: recall {found[np.array(kinds) == kind].mean():.2f}")
    alarms = (
        with_products(_photographs([path for path in paths if is_held_out(path.name)]), mean, deviation)
        @ weights
        > threshold
    )
    print(f"recall {found.mean():.3f}, false alarms {alarms.mean():.4f} of {alarms.size}")
    print(f"precision {found.sum() / (found.sum() + alarms.sum()):.3f}")


if __name__ == "__main__":
    main()
