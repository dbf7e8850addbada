"""The distortions that models are trained with: 24 published types, ten more faults, five levels each."""

from models.training.distortions.table import (
    DISTORTIONS,
    EXTRA_FAULTS,
    FAULTS,
    LEVELS,
    Distortion,
    Fault,
    distort,
    distort_levels,
)

__all__ = [
    "DISTORTIONS",
    "EXTRA_FAULTS",
    "FAULTS",
    "LEVELS",
    "Distortion",
    "Fault",
    "distort",
    "distort_levels",
]
