"""With which quality a JPEG file was made, as its quantization tables say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from PIL import Image, JpegImagePlugin

from app.schemas.measured.facts import ChromaSubsampling

_LUMA: Final = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17),
    *(22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78),
    *(87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
"""The table for luma of ITU-T T.81, Annex K.1, which libjpeg scales by the quality."""
_SUBSAMPLINGS: Final[Mapping[tuple[int, ...], ChromaSubsampling]] = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
}


@dataclass(frozen=True)
class JpegEncoding:
    """How a JPEG file was encoded; what cannot be told is None."""

    quality: int | None = None
    chroma_subsampling: ChromaSubsampling | None = None


NOT_JPEG: Final = JpegEncoding()


def estimated_quality(table: Sequence[int]) -> int | None:
    """The setting of libjpeg, 1 to 100, whose table for luma comes closest in its sum.

    Exact for files of libjpeg; of other encoders it is the setting that quantizes as strongly on the whole.

    Args:
        table: the first table of the file, in any order; None for one that is no table of 8-bit JPEG.
    """
    if len(table) != len(_LUMA):
        return None
    return min(range(1, 101), key=lambda quality: abs(_sum_of(quality) - sum(table)))


@cache
def _sum_of(quality: int) -> int:
    """Of the table that libjpeg makes (``jpeg_quality_scaling`` and ``jpeg_add_quant_table``)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(255, max(1, (value * scale + 50) // 100)) for value in _LUMA)


def chroma_subsampling(image: JpegImagePlugin.JpegImageFile) -> ChromaSubsampling | None:
    """How much less often color is sampled than luma; None of files without color."""
    layers: list[Any] = image.layer
    if len(layers) != 3:
        return None
    (luma, *chroma) = [tuple(layer[1:3]) for layer in layers]
    if chroma != [(1, 1), (1, 1)]:
        return "other"
    return _SUBSAMPLINGS.get(luma, "other")


def encoding_of(image: Image.Image) -> JpegEncoding:
    """How the file was encoded of which Pillow has read the header; nothing is known of other formats."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or not image.quantization:
        return NOT_JPEG
    table = image.quantization[min(image.quantization)]
    return JpegEncoding(estimated_quality(table), chroma_subsampling(image))
