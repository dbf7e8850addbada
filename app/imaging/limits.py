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

# Memory that decoding one image may take, in bytes per pixel of the limit: enough for every format up to 50
# million pixels. Beyond, it grows as JPEG files need it, and the other formats are limited to fewer pixels.
_ALL_FORMATS_PIXELS: Final = 50_000_000
_ALL_FORMATS_BYTES: Final = 30
_LARGER_BYTES: Final = 14


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
    max_pixels: int = 120_000_000
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

    @property
    def decoding_bytes(self) -> int:
        """Memory that the pixels of one image may take while it is decoded."""
        return max(
            _ALL_FORMATS_BYTES * min(self.max_pixels, _ALL_FORMATS_PIXELS), _LARGER_BYTES * self.max_pixels
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


def check_memory(format: str, width: int, height: int, bytes_per_pixel: int, limits: Limits) -> None:
    """Rejects an image whose decoding takes more memory than :attr:`Limits.decoding_bytes`."""
    most = limits.decoding_bytes // bytes_per_pixel
    if width * height > most:
        raise ImageTooLarge(
            f"A {format} image may have {most} pixels where all of them are decoded; the image is "
            f"{width} x {height}. Send a smaller one.",
            max_pixels=most,
            width=width,
            height=height,
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
