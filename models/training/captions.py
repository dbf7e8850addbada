"""Captions as cameras and sites put on photographs: a brand or a date in a corner.

A caption is as sharp as letters are, on a blurred photograph as on any other, and a network that was never
shown one takes the photograph for sharp: of photographs that a telephone had signed, two blurred beyond
recognition got half of all points. What a photograph is worth does not depend on it. Our decision.
"""

from typing import Final

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor

from models.training.distortions.draws import integers, uniform

_LETTERS: Final = "ABCDEFGHIKLMNOPRSTUVWXYZabdeghiklmnoprstuvwy0123456789:/.- "
_LONGEST: Final = 14
_SMALLEST_PX: Final = 8  # below it letters are no longer letters
_LARGEST: Final = 0.06  # of the shorter side
_COLOURS: Final = ((1.0, 1.0, 1.0), (1.0, 0.85, 0.2), (1.0, 0.5, 0.1), (0.05, 0.05, 0.05))


def captioned(images: Tensor, generator: Generator) -> Tensor:
    """Pictures with one or two lines of small letters in a corner, the same on all.

    Args:
        images: ``(..., 3, H, W)`` float32 in [0, 1], sides at least 64 px; left as they are.
        generator: source of everything random.

    Returns:
        New pictures of the same shape.
    """
    height, width = images.shape[-2:]
    coverage = _coverage(height, width, generator)
    opacity = uniform(generator, 0.6, 1.0)
    colour = torch.tensor(_COLOURS[_pick(len(_COLOURS), generator)])
    coverage = opacity * coverage
    return images * (1 - coverage) + colour[:, None, None] * coverage


def _coverage(height: int, width: int, generator: Generator) -> Tensor:
    """``(H, W)`` in [0, 1]: where the letters are."""
    shorter = min(height, width)
    largest = max(_SMALLEST_PX, int(_LARGEST * shorter))
    size = _SMALLEST_PX + _pick(largest - _SMALLEST_PX + 1, generator)
    lines = [_line(generator) for _ in range(1 + _pick(2, generator))]
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    font = ImageFont.load_default(size)
    left, top, right, bottom = draw.multiline_textbbox((0, 0), "\n".join(lines), font=font)
    margin = size // 2
    x = (margin, width - margin - int(right - left))[_pick(2, generator)]
    y = (margin, height - margin - int(bottom - top))[_pick(2, generator)]
    draw.multiline_text((x - left, y - top), "\n".join(lines), fill=255, font=font)
    return torch.frombuffer(bytearray(mask.tobytes()), dtype=torch.uint8).view(height, width).float() / 255


def _line(generator: Generator) -> str:
    letters = (_LETTERS[_pick(len(_LETTERS), generator)] for _ in range(3 + _pick(_LONGEST - 2, generator)))
    return "".join(letters)


def _pick(options: int, generator: Generator) -> int:
    return integers(generator, 0, options - 1, 1)[0]
