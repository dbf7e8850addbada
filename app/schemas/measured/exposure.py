"""The exposure of a picture: how bright it is, how much is clipped, and which faults that rules out.

Nothing is measured here, since clients need the names too; :mod:`app.imaging.metering` does, and says how.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from models.faults import FaultName

ExposureMeasure = Literal["mean_luminance", "p99_luminance", "clipped_shadows", "clipped_highlights"]
EXPOSURE_MEASURES: Final[tuple[ExposureMeasure, ...]] = get_args(ExposureMeasure)

_MIDDLE_GRAY: Final = 0.18  # luminance to which exposure meters expose
_MUCH_CLIPPED: Final = 0.05
_BRIGHT: Final = 0.5

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

    @property
    def excluded(self) -> frozenset[FaultName]:
        """The faults that the picture cannot have as a whole, whatever a model finds.

        What is darker than middle gray and hardly clipped is not overexposed; what has a mean luminance above
        one half is not underexposed.
        """
        found: set[FaultName] = set()
        if self.mean_luminance < _MIDDLE_GRAY and self.clipped_highlights < _MUCH_CLIPPED:
            found.add("overexposed")
        if self.mean_luminance > _BRIGHT:
            found.add("underexposed")
        return frozenset(found)
