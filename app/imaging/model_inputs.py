"""A decoded image at the sizes at which the models see it, and a pair as it is compared.

Images are scaled down where they are decoded, so that the inference process never waits for Pillow and
receives only pixels that a model sees.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import SizeMismatch
from app.imaging import metering, score_warnings
from app.imaging.decode import Picture, Provenance, Size
from app.schemas.exposure import MeasuredExposure
from models.preprocessing import Preprocessing, scaled

if TYPE_CHECKING:  # it brings scipy, which takes longer to load than all that decoding needs
    from models.fidelity import Signal

_LEAST_SCALE: Final = 2
"""Pixels of that many times the largest input's sides are scaled to it as those of the whole image are."""


@dataclass(frozen=True)
class Wanted:
    """Whose input is wanted of an image.

    Attributes:
        inputs: how the input of each model is prepared, by the model's slot; may be empty.
        max_pixels: of any of them; larger images are scaled down further.
    """

    inputs: dict[str, Preprocessing]
    max_pixels: int

    def sizes(self, size: Size) -> dict[str, Size]:
        """The size of each model's input for an image of that size, by slot."""
        return {slot: each.fitted_size(*size, self.max_pixels) for slot, each in self.inputs.items()}

    def least(self, size: Size) -> Size | None:
        """The least size to decode an image of that size at; None where no model's input is wanted."""
        inputs = self.sizes(size).values()
        if not inputs:
            return None
        widths, heights = zip(*inputs, strict=True)
        return _LEAST_SCALE * max(widths), _LEAST_SCALE * max(heights)


@dataclass(frozen=True)
class Fitted:
    """A decoded image.

    Attributes:
        provenance: where it comes from.
        warnings: what to be careful about.
        exposure: of the whole image as it was decoded, before it is scaled for any model.
        pixels: ``(H, W, 3)`` uint8 by slot; slots of the same size share an array.
    """

    provenance: Provenance
    warnings: tuple[str, ...]
    exposure: MeasuredExposure
    pixels: dict[str, NDArray[np.uint8]]

    @property
    def size(self) -> Size:
        return self.provenance.width, self.provenance.height


@dataclass(frozen=True)
class Comparison:
    """A distorted image as it was compared with its reference.

    Attributes:
        signal: PSNR and SSIM, on the pixels as they were compared, before scaling: what other tools measure.
        resized_from: the image's own size where it was brought to the reference's.
        pixels: as :attr:`Fitted.pixels`, of the image at the reference's size.
    """

    signal: "Signal"
    resized_from: Size | None
    pixels: dict[str, NDArray[np.uint8]]


def fit(picture: Picture, wanted: Wanted) -> Fitted:
    """The image as the models see it."""
    return Fitted(
        picture.provenance,
        tuple(score_warnings.of_picture(picture)),
        metering.measure_exposure(picture.pixels),
        _scaled(picture.pixels, (picture.provenance.width, picture.provenance.height), wanted, {}),
    )


def compare_pair(
    reference: NDArray[np.uint8], picture: Picture, own: Fitted, resize: bool, wanted: Wanted
) -> Comparison:
    """Compares a distorted image with its reference.

    Args:
        reference: ``(H, W, 3)`` uint8, at full size.
        picture: the distorted image, at its own size.
        own: the distorted image, fitted; arrays of the same size are shared with it.
        resize: whether a distorted image of another size is brought to the reference's.
        wanted: whose input is wanted of the distorted image as it is compared.

    Raises:
        SizeMismatch: the sizes differ, and `resize` is false.
    """
    from models import fidelity

    size = reference.shape[1], reference.shape[0]
    if own.size == size:
        shared = {(each.shape[1], each.shape[0]): each for each in own.pixels.values()}
        pixels = _scaled(picture.pixels, size, wanted, shared)
        return Comparison(fidelity.measure(reference, picture.pixels), None, pixels)
    if not resize:
        raise mismatch(size, own.size)
    compared = np.array(Image.fromarray(picture.pixels).resize(size, Image.Resampling.BICUBIC))
    return Comparison(fidelity.measure(reference, compared), own.size, _scaled(compared, size, wanted, {}))


def mismatch(reference: Size, distorted: Size) -> SizeMismatch:
    """The refusal of two sizes that differ."""
    return SizeMismatch(
        f"The reference is {reference[0]} x {reference[1]} pixels, the distorted image "
        f"{distorted[0]} x {distorted[1]}.",
        reference={"width": reference[0], "height": reference[1]},
        distorted={"width": distorted[0], "height": distorted[1]},
    )


def _scaled(
    pixels: NDArray[np.uint8], size: Size, wanted: Wanted, shared: dict[Size, NDArray[np.uint8]]
) -> dict[str, NDArray[np.uint8]]:
    """By slot; each size is made once, and those of `shared` are taken from there.

    Args:
        pixels: of the image, perhaps fewer than it has.
        size: of the image.
        wanted: what is made.
        shared: what is there already, by its size.
    """
    made = dict(shared)
    inputs = {}
    for slot, fitted in wanted.sizes(size).items():
        if fitted not in made:
            made[fitted] = scaled(pixels, fitted)
        inputs[slot] = made[fitted]
    return inputs
