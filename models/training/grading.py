"""Measures from which full-reference score on a distortion has which grade (:mod:`models.grades`).

No person judged the scores. What people see of JPEG at which quality is known, though. The guide of
SSIMULACRA 2, which was fitted to the 22,000 judged images of CID22 (Sneyers, Ben Baruch and Vaxman, 2023),
gives for libjpeg-turbo with 4:2:0: quality 70 for a mean opinion score of 4 ("perceptible but not annoying"),
35 for 3, 20 for 2 and 14 for 1; and for a difference that is not seen side by side quality 85 (4:2:2). A step
lies between two grades, so it is measured at a quality between theirs.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from models.bpclip.model import BPCLIP
from models.grades import GradeSteps
from models.preprocessing import Pixels, Preprocessing
from models.training.photos import DataError, PhotoReader
from models.training.whole_photos import pixels, some, tracked

QUALITIES: Final = (80, 50, 27, 17)
"""Of JPEG, at the lower end of each grade but the last."""

_DECIMALS: Final = 3


def measure_grades(
    model: BPCLIP,
    preprocessing: Preprocessing,
    clean: Sequence[Path],
    *,
    source: str,
    photographs: int | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> GradeSteps:
    """The median full-reference score of good photographs beside their JPEG copies, at each of the qualities.

    Args:
        model: full-reference, in evaluation mode.
        preprocessing: of its input.
        clean: files of good photographs.
        source: what these are.
        photographs: how many of them at most, chosen at random; None for all.
        seed: of that choice.
        quiet: whether to show no progress.

    Raises:
        DataError: there are none, one cannot be decoded, or the scores do not fall with the quality.
    """
    if not clean:
        raise DataError("Grades are measured on good photographs, and there are none.")
    reader = PhotoReader(cache_bytes=0, longest_side=preprocessing.longest_side or 1024)
    if photographs is not None:
        clean = some(clean, photographs, torch.Generator().manual_seed(seed))
    scores = [
        _scores(model, preprocessing, pixels(reader.read(path)))
        for path in tracked(clean, "grades on good photographs", quiet)
    ]
    steps = np.median(scores, axis=0).round(_DECIMALS)
    if (np.diff(steps) >= 0).any():
        raise DataError("The score does not fall with the quality of JPEG, so there are no grades.")
    best, fair, poor, worst = (float(step) for step in steps)
    return GradeSteps(photographs=len(scores), source=source, steps=(best, fair, poor, worst))


@torch.inference_mode()
def _scores(model: BPCLIP, preprocessing: Preprocessing, photo: Pixels) -> list[float]:
    reference = preprocessing.tensor(photo)
    return [
        float(model(preprocessing.tensor(_jpeg(photo, quality)), reference).score) for quality in QUALITIES
    ]


def _jpeg(photo: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as saved:
        return np.array(saved.convert("RGB"))
