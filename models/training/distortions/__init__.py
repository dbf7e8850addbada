"""The distortions that models are trained with: 24 published types, ten more faults, five levels each."""

from models.training.distortions.table import (
    CAUSES,
    DISTORTIONS,
    EXTRA_FAULTS,
    LEVELS,
    Cause,
    Distortion,
    distort,
    distort_levels,
)

__all__ = [
    "CAUSES",
    "DISTORTIONS",
    "EXTRA_FAULTS",
    "LEVELS",
    "Cause",
    "Distortion",
    "distort",
    "distort_levels",
]
