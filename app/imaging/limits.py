"""The limits of what is decoded: bytes, pixels, sides, frames."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from app.errors import (
    ImageTooLarge,
    ImageTooSmall,
)

if TYPE_CHECKING:  # processes that decode have no settings, and must start quickly
    from app.settings import Settings


MEBI: Final = 2**20


@dataclass(frozen=True)
class Limits:
    """What an image may measure.

    Attributes:
        max_bytes: of the file.
        max_pixels: width times height.
        max_side: in pixels.
        min_side: in pixels.
        max_aspect: the long side over the short one.
        max_frames: of an animation, or pages.
    """

    max_bytes: int = 20 * MEBI
    max_pixels: int = 50_000_000
    max_side: int = 30_000
    min_side: int = 32
    max_aspect: float = 100.0
    max_frames: int = 10_000

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        return cls(
            settings.max_body_bytes,
            settings.max_pixels,
            settings.max_side,
            settings.min_side,
            settings.max_aspect,
            settings.max_frames,
        )


def check_size(width: int, height: int, limits: Limits) -> None:
    size = {"width": width, "height": height}
    if width * height > limits.max_pixels:
        raise too_many_pixels(limits, **size)
    if max(width, height) > limits.max_side:
        raise ImageTooLarge(
            f"No side may be longer than {limits.max_side} pixels; the image is {width} x {height}.",
            max_side=limits.max_side,
            **size,
        )
    if min(width, height) < limits.min_side:
        raise ImageTooSmall(
            f"Each side must have at least {limits.min_side} pixels; the image is {width} x {height}.",
            min_side=limits.min_side,
            **size,
        )
    if max(width, height) > limits.max_aspect * min(width, height):
        raise ImageTooLarge(
            f"The long side may be {limits.max_aspect:g} times the short one; the image is "
            f"{width} x {height}.",
            max_aspect=limits.max_aspect,
            **size,
        )


def check_frames(number: int, limits: Limits) -> None:
    if number > limits.max_frames:
        raise ImageTooLarge(
            f"An image may have {limits.max_frames} frames or pages.", max_frames=limits.max_frames
        )


def too_many_pixels(limits: Limits, **size: int) -> ImageTooLarge:
    return ImageTooLarge(
        f"An image may have {limits.max_pixels} pixels.", max_pixels=limits.max_pixels, **size
    )
