"""Grades of a distortion: their steps, and those of the bundled weights on ladders of quality."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from models.checkpoints.sources import load_weights
from models.grades import GRADES, Grade, GradeSteps
from models.runtime.choice import open_backend
from tests.photographs import named

_STEPS = GradeSteps(photographs=3, source="tests", steps=(0.8, 0.6, 0.4, 0.2))


@pytest.mark.parametrize(
    ("score", "grade"),
    [
        (1.0, GRADES[0]),
        (0.8, GRADES[0]),
        (0.79, GRADES[1]),
        (0.4, GRADES[2]),
        (0.2, GRADES[3]),
        (0, GRADES[4]),
    ],
)
def test_a_score_has_the_grade_of_its_step(score: float, grade: Grade) -> None:
    assert _STEPS.grade(score) == grade


def test_steps_descend() -> None:
    with pytest.raises(ValidationError, match="do not descend"):
        GradeSteps(photographs=3, source="tests", steps=(0.8, 0.8, 0.4, 0.2))


def _encoded(photo: NDArray[np.uint8], kind: str, quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, kind, quality=quality)
    return np.array(Image.open(file).convert("RGB"))


@pytest.mark.slow
def test_bundled_grades_fall_along_the_ladders_of_codecs() -> None:
    backend = open_backend("openvino", "cpu", "float32", threads=1)
    model = backend.place(backend.load("bpclip-fr", "bundled"), "float32")
    grades = load_weights("bpclip-fr").metadata.grades
    assert grades is not None
    ends = []
    for photo in named().values():
        for kind, qualities in (("JPEG", (92, 70, 35, 20, 8)), ("WEBP", (90, 60, 30, 5))):
            pictures = [photo, *(_encoded(photo, kind, quality) for quality in qualities)]
            encoded = model.encoder.encode(pictures, compared=True)
            scores = [said.score for said in model.compare(encoded, [encoded[0]] * len(encoded))]
            places = [GRADES.index(grades.grade(score)) for score in scores]
            assert places[0] == 0
            assert places == sorted(places)
            ends.append(places[-1])
    assert min(ends) >= GRADES.index("annoying")
