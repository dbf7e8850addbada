"""The measures of a distorted image beside its reference, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

PublishedName = Literal["ms_ssim", "haarpsi", "vsi", "mdsi"]
PairMeasureName = Literal["score", "psnr_db", "ssim", PublishedName]
MeasureOfFiles = Literal[PublishedName, "cvvdp"]

PUBLISHED_MEASURES: Final[tuple[PublishedName, ...]] = get_args(PublishedName)
"""Those that are computed only where they are asked for."""

MEASURES_OF_FILES: Final[tuple[MeasureOfFiles, ...]] = get_args(MeasureOfFiles)
"""Those of the command line; the last takes seconds and a gigabyte, which no caller may cost others."""


@dataclass(frozen=True)
class PairMeasureKind:
    """What the values of a measure are.

    Attributes:
        higher_is_better: whether a larger value is a smaller distortion.
        decibels: whether the values are decibels; otherwise they go from 0 to 1.
    """

    higher_is_better: bool = True
    decibels: bool = False


PAIR_MEASURES: Final[Mapping[PairMeasureName, PairMeasureKind]] = {
    "score": PairMeasureKind(),
    "psnr_db": PairMeasureKind(decibels=True),
    "ssim": PairMeasureKind(),
    "ms_ssim": PairMeasureKind(),
    "haarpsi": PairMeasureKind(),
    "vsi": PairMeasureKind(),
    "mdsi": PairMeasureKind(higher_is_better=False),
}
