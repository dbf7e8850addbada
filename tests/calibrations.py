"""A calibration for tests, and weights that carry one."""

from pathlib import Path
from typing import Any

from models.calibration import Calibration, Readings, Thresholds
from models.checkpoints.saving import save
from models.checkpoints.sources import read
from models.faults import FAULTS
from models.vocabulary import DIMENSIONS


def calibration(**changes: Any) -> Calibration:
    """Scores spread evenly from 0.2 to 0.7; every fault slight above 0.4, strong above 0.6."""
    values: dict[str, Any] = {
        "photographs": 500,
        "source": "photographs for tests",
        "score_percentiles": [round(0.2 + 0.005 * place, 6) for place in range(101)],
        "dimension_percentiles": {name: [place / 20 for place in range(21)] for name in DIMENSIONS},
        "readings": Readings(excellent=0.65, good=0.5, fair=0.35, poor=0.25),
        "faults": {fault.name: Thresholds(slight=0.4, strong=0.6) for fault in FAULTS},
    }
    return Calibration.model_validate(values | changes)


def calibrated(source: Path, model: str, folder: Path, **changes: Any) -> Path:
    """A copy of a weights file in `folder` that carries :func:`calibration`."""
    weights = read(source, model)
    path = folder / source.name
    metadata = weights.metadata.model_copy(update={"calibration": calibration(**changes)})
    save(path, weights.tensors, metadata, dtype=None)
    return path
