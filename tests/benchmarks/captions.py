"""Learns and measures what tells colored captions: the weights of :mod:`app.imaging.colored_caption`.

    python -m tests.benchmarks.captions PHOTOS [--captions 300]

PHOTOS is a folder of photographs; those that training holds out are held out here too. Prints the mean, the
standard deviation and the weight of each measure, the threshold, and recall and false alarms on what was held
out. Photographs that have a caption of their own must be left out of the folder.
"""

import argparse
import random
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

from app.imaging.colored_caption import caption_measures
from models.training.photos import is_held_out
from tests.drawings import handed_on, with_caption

Rows = list[list[NDArray[np.float64]]]

_STYLES: Final = (
    *(("#ffff00", "black"), ("#ffe000", "#202020"), ("red", "white"), ("#e02020", "black")),
    *(("white", "#c00000"), ("#ff30c0", "black"), ("#20e0ff", "black"), ("#20ff20", "black")),
    *(("#ff8000", "black"), ("#3060ff", "white"), ("#ffe000", ""), ("#20ff20", ""), ("red", "")),
    *(("#ff30c0", ""), ("#3050ff", ""), ("#20e0ff", "")),
)
"""Colors of letters, and of their outline."""
_TEXTS: Final = ("WHEN THE BUILD IS GREEN ON A FRIDAY", "one does not simply walk away", "BEST DAY EVER")
_PHOTOGRAPHS_WEIGH: Final = 3.0
_FALSE_ALARMS: Final = 0.0015  # of the photographs that are learned from


def _photographs(paths: list[Path]) -> Rows:
    return [caption_measures(np.asarray(Image.open(path).convert("RGB"))) for path in paths]


def _captions(paths: list[Path]) -> Rows:
    rows = []
    for number, path in enumerate(paths):
        random_ = random.Random(number)
        color, edge = _STYLES[number % len(_STYLES)]
        photo, text = np.asarray(Image.open(path).convert("RGB")), random_.choice(_TEXTS)
        written = with_caption(photo, "over", random_.uniform(0.075, 0.14), text, color, edge)
        rows.append(caption_measures(handed_on(written, number)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of JPEG photographs")
    parser.add_argument("--captions", type=int, default=300, help="photographs that get a caption")
    arguments = parser.parse_args()
    paths = sorted(arguments.photos.glob("*.jpg"))
    learned = [path for path in paths if not is_held_out(path.name)]
    held_out = [path for path in paths if is_held_out(path.name)]
    photographs, captions = _photographs(learned), _captions(learned[: arguments.captions])
    likeliest = [max(each, key=lambda row: row[0] + row[1]) for each in captions if each]
    rows = np.array([*(row for each in photographs for row in each), *likeliest])
    has_one = np.repeat([0, 1], [len(rows) - len(likeliest), len(likeliest)])
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    model = LogisticRegression(class_weight={0: _PHOTOGRAPHS_WEIGH, 1: 1.0}, max_iter=3000)
    weights = model.fit((rows - mean) / deviation, has_one).coef_[0]

    def evidence(measured: Rows) -> NDArray[np.float64]:
        return np.array(
            [
                max((float((row - mean) / deviation @ weights) for row in each), default=-np.inf)
                for each in measured
            ]
        )

    threshold = np.sort(evidence(photographs))[-1 - int(_FALSE_ALARMS * len(photographs))]
    for row in zip(mean, deviation, weights, strict=True):
        print(*(f"{value:.4f}" for value in row))
    print(f"threshold {threshold:.2f}")
    alarms = evidence(_photographs(held_out)) > threshold
    found = evidence(_captions(held_out)) > threshold
    print(f"recall {found.mean():.3f} of {found.size}, false alarms {alarms.mean():.4f} of {alarms.size}")


if __name__ == "__main__":
    main()
