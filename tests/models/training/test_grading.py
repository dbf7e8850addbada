"""Grades are measured on copies of known quality."""

from pathlib import Path

import pytest

from models.bpclip.model import BPCLIP
from models.checkpoints.sources import load_weights
from models.loading import build
from models.training.grading import measure_grades
from models.training.photos import DataError
from tests.app.command_line import save_crops


def test_the_steps_are_medians_of_good_photographs(tmp_path: Path) -> None:
    weights = load_weights("bpclip-fr")
    model = build(weights).module.eval()
    assert isinstance(model, BPCLIP)
    photos = save_crops(tmp_path / "photos", 5)
    found = measure_grades(model, weights.metadata.preprocessing, photos, source="crops", quiet=True)
    assert (found.photographs, found.source) == (5, "crops")
    assert found.steps == tuple(sorted(found.steps, reverse=True))
    fewer = measure_grades(
        model, weights.metadata.preprocessing, photos, source="crops", photographs=2, quiet=True
    )
    assert fewer.photographs == 2
    with pytest.raises(DataError, match="there are none"):
        measure_grades(model, weights.metadata.preprocessing, [], source="none", quiet=True)
