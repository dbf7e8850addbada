"""Traces: the image files that a benchmark sends, in their order, made from photographs that packages carry.

    python -m tests.benchmarks.traces FOLDER [--trace mixed|WIDTHxHEIGHT] [--blocks 2] [--seed 0]

writes one for looking at. ``mixed`` is made of blocks of twenty, shuffled, with the same proportions in each:

    1 camera       4000x3000 and 3000x4000 by turns, JPEG
    10 web         1024x768, 800x600, 1280x720, 768x1024, 960x540, 1080x1080, 600x800, 1200x630, 640x480 and
                   720x1280: 8 JPEG, 1 PNG, 1 WebP
    9 thumbnails   64 to 256 pixels a side, every aspect from 1:3 to 3:1, JPEG

Each file is another crop of a photograph, sometimes mirrored, with a little noise: enlarged photographs
without it would be smaller files, and quicker to decode, than a camera's. A trace of one size has blocks of
twenty JPEGs. Whole blocks are the same work for whoever answers them, so benchmarks count in blocks.
"""

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from tests.photographs import photographs

BLOCK: Final = 20  # images

_CAMERA: Final = ((4000, 3000), (3000, 4000))
_WEB: Final = (
    (1024, 768), (800, 600), (1280, 720), (768, 1024), (960, 540),
    (1080, 1080), (600, 800), (1200, 630), (640, 480), (720, 1280),
)  # fmt: skip
_THUMBNAILS: Final = 9
_THUMBNAIL_SIDES: Final = (64, 256)
_MOST_ASPECT: Final = 3.0
_NOISE: Final = 4.0  # standard deviation in gray levels, as of a camera at a medium sensitivity
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "camera": {"quality": 93},
    "JPEG": {"quality": 88},
    "WEBP": {"quality": 85},
}
_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


@dataclass(frozen=True)
class Upload:
    """An image file.

    Attributes:
        data: its bytes.
        type: its media type.
        width: in pixels.
        height: likewise.
        kind: camera, web, thumbnail, or the size as text in a trace of one size.
    """

    data: bytes
    type: str
    width: int
    height: int
    kind: str


def make(name: str, blocks: int = 2, seed: int = 0) -> list[Upload]:
    """The trace of a name, ``blocks * BLOCK`` files; the same arguments give the same bytes.

    Raises:
        ValueError: the name is neither ``mixed`` nor a size such as ``512x384``.
    """
    draw = np.random.default_rng(seed)
    if name == "mixed":
        return [upload for number in range(blocks) for upload in _mixed_block(number, draw)]
    try:
        width, height = map(int, name.split("x"))
    except ValueError as error:
        raise ValueError(f"There is no trace {name!r}: mixed, or a size such as 512x384.") from error
    return [_upload(width, height, "JPEG", name, draw) for _ in range(blocks * BLOCK)]


def _mixed_block(number: int, draw: np.random.Generator) -> list[Upload]:
    block = [_upload(*_CAMERA[number % len(_CAMERA)], "JPEG", "camera", draw)]
    formats = draw.permutation(["JPEG"] * (len(_WEB) - 2) + ["PNG", "WEBP"])
    for (width, height), format in zip(_WEB, formats, strict=True):
        block.append(_upload(width, height, str(format), "web", draw))
    for width, height in _thumbnail_sizes(draw):
        block.append(_upload(width, height, "JPEG", "thumbnail", draw))
    assert len(block) == BLOCK
    return [block[place] for place in draw.permutation(BLOCK)]


def _thumbnail_sizes(draw: np.random.Generator) -> Iterator[tuple[int, int]]:
    least, most = _THUMBNAIL_SIDES
    for _ in range(_THUMBNAILS):
        aspect = float(_MOST_ASPECT ** draw.uniform(-1, 1))  # width over height
        long = float(draw.uniform(least * max(aspect, 1 / aspect), most))
        yield round(long * min(1.0, aspect)), round(long * min(1.0, 1 / aspect))


def _upload(width: int, height: int, format: str, kind: str, draw: np.random.Generator) -> Upload:
    photos = photographs()
    photo = photos[int(draw.integers(len(photos)))]
    tall, wide = photo.shape[:2]
    # The largest region of the wanted aspect, and of that not less than 70 % a side.
    scale = min(wide / width, tall / height) * float(draw.uniform(0.7, 1.0))
    columns, rows = max(1, int(scale * width)), max(1, int(scale * height))
    left, top = int(draw.integers(wide - columns + 1)), int(draw.integers(tall - rows + 1))
    region = Image.fromarray(photo[top : top + rows, left : left + columns])
    if draw.random() < 0.5:
        region = region.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(region.resize((width, height), Image.Resampling.BICUBIC))
    # One field of noise, repeated: to draw twelve million numbers for each camera image takes a second.
    field = draw.normal(0.0, _NOISE, (256, 256, 3)).round().astype(np.int16)
    noise = np.tile(field, (-(-height // 256), -(-width // 256), 1))[:height, :width]
    noisy = np.clip(pixels.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, format, **_OPTIONS.get(kind if kind == "camera" else format, {}))
    return Upload(file.getvalue(), _TYPES[format], width, height, kind)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the files of a trace.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trace", default="mixed", help="mixed, or a size such as 512x384")
    parser.add_argument("--blocks", type=int, default=2, help=f"of {BLOCK} images each")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for number, upload in enumerate(make(arguments.trace, arguments.blocks, arguments.seed)):
        suffix = upload.type.partition("/")[2]
        path = arguments.folder / f"{number:04}-{upload.kind}-{upload.width}x{upload.height}.{suffix}"
        path.write_bytes(upload.data)
        print(f"{len(upload.data):9} bytes  {path}")


if __name__ == "__main__":
    main()
