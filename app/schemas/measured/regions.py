"""Where in a picture its faults lie, as plain measures of its pixels show it.

The names alone, which clients need too; :mod:`app.imaging.fault_regions` measures and says how.
"""

from dataclasses import dataclass
from typing import Final

from models.faults import Region


@dataclass(frozen=True)
class FaultRegions:
    """Of each fault that has a place, the part of the picture that has much more of it than the rest.

    Attributes:
        blur: softer than the rest, in which something is sharp; never the background of a sharp subject.
        noise: with the higher noise floor.
        underexposed: whose brightest cells are much darker than those of the rest.
        compression: with the stronger steps at the borders of JPEG's blocks.
        sharp_subject: whether a part of the picture is as sharp as sharp photographs are, so that softness
            of the rest may be intended.
        cut_out: whether the picture is a subject on a white background, which is no fault of exposure or
            color.
        blocks: whether the borders of JPEG's blocks are to be seen all over the picture at the size of its
            file.
        grainy: whether nearly nothing in the picture is free of noise or of texture as fine.
        vivid: whether a part of the picture has strong colors, so that it is not dull.
        contrasty: whether its tones range so far that its contrast is not low.
    """

    blur: Region = "whole"
    noise: Region = "whole"
    underexposed: Region = "whole"
    compression: Region = "whole"
    sharp_subject: bool = False
    cut_out: bool = False
    blocks: bool = False
    grainy: bool = False
    vivid: bool = False
    contrasty: bool = False


NO_REGIONS: Final = FaultRegions()
"""Of a picture in which no fault has a place."""
