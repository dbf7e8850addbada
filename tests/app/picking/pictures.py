"""Scenes for the tests of picking, and what people do to photographs."""

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tests.photographs import named

Pixels = NDArray[np.uint8]


def _encoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _exposed(image: Image.Image, times: float) -> Image.Image:
    return image.point(lambda value: min(255, round(value * times)))


def _noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, 20, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _part(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round(right * width), round(bottom * height))
    )


EDITS: Final[dict[str, Callable[[Image.Image], Image.Image]]] = {
    "encoded again": lambda image: _encoded(image, 20),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter": lambda image: _exposed(image, 1.5),
    "darker": lambda image: _exposed(image, 0.5),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(4)),
    "noisy": _noisy,
    "left part": lambda image: _part(image, 0, 0.05, 0.8, 0.9),
    "right part": lambda image: _part(image, 0.2, 0.1, 1, 1),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


def scenes() -> dict[str, Image.Image]:
    """Photographs of different scenes, by name."""
    return {name: Image.fromarray(pixels) for name, pixels in named().items()}


def edited(image: Image.Image) -> list[Pixels]:
    """A photograph with all its edits, itself first."""
    return [np.asarray(each) for each in (image, *(edit(image) for edit in EDITS.values()))]


def page(seed: int) -> Pixels:
    """A page of text; all have one layout and other words."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (480, 640), "white")
    draw = ImageDraw.Draw(image)
    for line in range(30):
        words = "".join(chr(97 + each) if each < 26 else " " for each in rng.integers(0, 31, 60))
        draw.text((30, 30 + 19 * line), words, "black", font_size=14)
    return np.asarray(image)


def marked(seed: int) -> Pixels:
    """A picture that is black but for its own grain, with the same white mark in the corner of all."""
    grain = np.random.default_rng(seed).normal(6, 2, (480, 480, 1)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(np.repeat(grain, 3, 2))
    ImageDraw.Draw(image).text((12, 450), "SHOT ON A PHONE", "white", font_size=16)
    return np.asarray(image)
