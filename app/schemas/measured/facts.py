"""What is measured of a file and its picture without a model, beside the exposure.

:mod:`app.imaging.picture_facts` measures and says how.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

ChromaSubsampling = Literal["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "other"]
CaptureTime = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
"""ISO 8601 without a zone, which JSON Schema has no format for."""


@dataclass(frozen=True)
class PictureFacts:
    """Plain measures; what cannot be told is None.

    Attributes:
        jpeg_quality: setting of libjpeg, 1 to 100, whose quantization tables come closest to the file's.
        chroma_subsampling: of a JPEG file with color.
        entropy: of luma, in bits: 0 is one tone, 8 is all of 256 equally often.
        effective_scale: share of the sides at which the picture would still show its detail, in (0, 1].
        taken: when the photograph was taken, by the clock of the camera.
    """

    jpeg_quality: Annotated[int, Field(ge=1, le=100)] | None = None
    chroma_subsampling: ChromaSubsampling | None = None
    entropy: Annotated[float, Field(ge=0, le=8)] | None = None
    effective_scale: Annotated[float, Field(gt=0, le=1)] | None = None
    taken: CaptureTime | None = None


NO_FACTS: Final = PictureFacts()
