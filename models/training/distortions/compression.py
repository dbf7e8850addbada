"""Compression: the picture written and read back by Pillow's JPEG, JPEG 2000, WebP and AVIF codecs."""

import io
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor


def _through_codec(image: Tensor, **options: Any) -> Tensor:
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, **options)
    with Image.open(stream) as decoded:
        restored = np.array(decoded.convert("RGB"))
    return torch.from_numpy(restored).to(image.device).permute(2, 0, 1).contiguous().to(image.dtype) / 255


def jpeg2000(image: Tensor, ratio: float, generator: Generator) -> Tensor:
    """JPEG 2000, irreversible wavelet, at a compression ``ratio``.

    The code stream's header, about a hundred bytes, counts towards the size: crops below 96 px do not reach
    the highest ratios and look the same at the last levels.
    """
    return _through_codec(
        image, format="JPEG2000", no_jp2=True, irreversible=True, quality_mode="rates", quality_layers=[ratio]
    )


def jpeg(image: Tensor, quality: float, generator: Generator) -> Tensor:
    """JPEG at libjpeg's ``quality`` with 4:2:0 chroma."""
    return _through_codec(image, format="JPEG", quality=int(quality), subsampling="4:2:0")


def double_jpeg(image: Tensor, quality: float, generator: Generator) -> Tensor:
    """JPEG at ``quality``, then at 75 with the blocks elsewhere: a picture cropped and uploaded once more."""
    first = jpeg(image, quality, generator)
    moved = F.pad(first[None], (5, 0, 3, 0), mode="replicate")[0]
    return jpeg(moved, 75, generator)[:, 3:, 5:]


def webp(image: Tensor, quality: float, generator: Generator) -> Tensor:
    """Lossy WebP at libwebp's ``quality``."""
    return _through_codec(image, format="WEBP", quality=int(quality), method=2)


def avif(image: Tensor, quality: float, generator: Generator) -> Tensor:
    """AVIF with 4:2:0 chroma at libavif's ``quality``."""
    return _through_codec(image, format="AVIF", quality=int(quality), speed=9, subsampling="4:2:0")
