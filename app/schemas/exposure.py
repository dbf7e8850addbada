"""The exposure of a picture: how bright it is and how much is clipped.

The names alone, which clients need too; :mod:`app.imaging.metering` measures and says how.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args

from pydantic import Field

ExposureMeasure = Literal["mean_luminance", "p99_luminance", "clipped_shadows", "clipped_highlights"]
EXPOSURE_MEASURES: Final[tuple[ExposureMeasure, ...]] = get_args(ExposureMeasure)

_Unit = Annotated[float, Field(ge=0, le=1)]  # held to where it comes from a decoder, which is not trusted


@dataclass(frozen=True)
class MeasuredExposure:
    """Measures of a picture's exposure, each in [0, 1].

    Attributes:
        mean_luminance: mean of linear luminance.
        p99_luminance: 99th percentile of linear luminance: how bright the brightest parts are.
        clipped_shadows: share of pixels with a channel that is clipped to black.
        clipped_highlights: share of pixels with a channel that is clipped to white.
    """

    mean_luminance: _Unit
    p99_luminance: _Unit
    clipped_shadows: _Unit
    clipped_highlights: _Unit
