"""The source of all figures: each photograph is distorted once, and every model sees each image once."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.preprocessing import Pixels
from models.training.distortions import DISTORTIONS
from models.training.labels import NAMES
from models.training.robustness.answers import Answers, levels_of, spoilt
from models.training.robustness.harmless import HARMLESS

SHORTEST_SIDE: Final = 64  # pixels; every distortion has room on it, also at three quarters of the size


@dataclass(frozen=True)
class Opinion:
    """What one model says of one image: the score in [0, 1], and the 40 similarities."""

    score: float
    similarities: Sequence[float]


Opinions = Mapping[str, Opinion]
"""By the name of the model."""

Judge = Callable[[Sequence[Pixels], Pixels | None], Sequence[Opinions]]
"""Images ``(H, W, 3)`` uint8 and what they were made from -> what all models say of each; the full-reference
ones only where there is a reference."""

Teacher = Callable[[Tensor, Tensor], Tensor]
"""Distorted and reference, ``(B, 3, H, W)`` float32 in [0, 1] -> ``(B,)`` in [0, 1]: what full-reference
models are compared with."""


@dataclass(frozen=True)
class Examined:
    """What was said of one photograph.

    Attributes:
        name: of the photograph.
        untouched: its opinions; the full-reference ones compare it with itself.
        spoilt: by distortion, the opinions at each level that changes the picture. Those of the published set
            are compared with the photograph too, the faults that are our own are not.
        harmless: by change, the opinions after what should change nothing.
        targets: by distortion, the teacher's number of each of its levels; empty without a teacher.
    """

    name: str
    untouched: Opinions
    spoilt: Mapping[str, Sequence[Opinions]]
    harmless: Mapping[str, Opinions]
    targets: Mapping[str, Sequence[float]]


def images_of_each(types: Sequence[str] = NAMES) -> int:
    """How many images are judged for one photograph."""
    return 1 + len(HARMLESS) + sum(len(levels_of(name)) for name in types)


def examine(
    photo: Pixels, name: str, judge: Judge, teacher: Teacher | None = None, types: Sequence[str] = NAMES
) -> Examined:
    """What models say of one photograph: untouched, with each distortion, and changed harmlessly.

    Args:
        photo: ``(H, W, 3)`` uint8, without faults, both sides at least :data:`SHORTEST_SIDE`.
        name: of the photograph; it alone determines what is random about the faults.
        judge: asks the models.
        teacher: None where there are no full-reference models to compare with it.
        types: names of the distortions.

    Raises:
        ValueError: a side is too short.
        Exception: what `judge` raises.
    """
    height, width = photo.shape[:2]
    if min(height, width) < SHORTEST_SIDE:
        raise ValueError(
            f"Each side must have at least {SHORTEST_SIDE} pixels to be spoilt; it is {width} x {height}."
        )
    (untouched,) = judge([photo], photo)
    opinions, targets = {}, {}
    for distortion in types:
        _, *levels = spoilt(photo, distortion, seed_of(name, distortion))
        published = distortion in DISTORTIONS
        opinions[distortion] = judge(levels, photo if published else None)
        if teacher is not None and published:
            # One by one: of large photographs the measures take a lot of memory.
            targets[distortion] = [float(teacher(_unit(level), _unit(photo))) for level in levels]
    changed = judge([change(photo) for change in HARMLESS.values()], None)
    return Examined(name, untouched, opinions, dict(zip(HARMLESS, changed, strict=True)), targets)


def answers(examined: Sequence[Examined], model: str, distortion: str) -> Answers:
    """What one model said of all photographs under one distortion."""
    found = [[each.untouched, *each.spoilt[distortion]] for each in examined]
    return Answers(
        distortion,
        np.array([[opinions[model].score for opinions in levels] for levels in found]),
        np.array([[opinions[model].similarities for opinions in levels] for levels in found]),
    )


def seed_of(photo: str, distortion: str) -> int:
    """The seed of one distortion of the photograph of this name: a hash of both names."""
    return int.from_bytes(hashlib.sha256(f"{photo} {distortion}".encode()).digest()[:7], "big")


def _unit(image: Pixels) -> Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
