"""A decoded image at the sizes at which the models see it, and a pair as it is compared.

Images are scaled down where they are decoded, so that the inference process never waits for Pillow and
receives only pixels that a model sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import SizeMismatch
from app.imaging import detail_tiles, fault_regions, metering, picture_facts, score_warnings
from app.imaging.decode import Picture, Provenance, Size
from app.imaging.detail_tiles import Tile
from app.schemas.measured.exposure import MeasuredExposure
from app.schemas.measured.facts import NO_FACTS, PictureFacts
from app.schemas.measured.regions import NO_REGIONS, FaultRegions
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
        detail: whether tiles of the image at its native size are wanted too.
    """

    inputs: dict[str, Preprocessing]
    max_pixels: int
    detail: bool = False

    def sizes(self, size: Size) -> dict[str, Size]:
        """The size of each model's input for an image of that size, by slot."""
        return {slot: each.fitted_size(*size, self.max_pixels) for slot, each in self.inputs.items()}

    def tile_sizes(self, size: Size) -> list[Size]:
        """The sizes of the tiles of an image of that size; none where no tiles are wanted."""
        return detail_tiles.tile_sizes(size) if self.detail else []

    def least(self, size: Size) -> Size | None:
        """The least size to decode an image of that size at; None for its own.

        That is where tiles are wanted, or no model's input is.
        """
        inputs = self.sizes(size).values()
        if not inputs or self.detail:
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
        tiles: of the image at its native size; empty where none are wanted.
        regions: where its faults lie, if it has them.
        facts: measured without a model, beside the exposure.
    """

    provenance: Provenance
    warnings: tuple[str, ...]
    exposure: MeasuredExposure
    pixels: dict[str, NDArray[np.uint8]]
    tiles: tuple[Tile, ...] = ()
    regions: FaultRegions = NO_REGIONS
    facts: PictureFacts = NO_FACTS

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
        measures: the published measures that were asked for, by name; on the same pixels as the signal.
    """

    signal: "Signal"
    resized_from: Size | None
    pixels: dict[str, NDArray[np.uint8]]
    measures: Mapping[str, float | None] = field(default_factory=dict)


def fit(picture: Picture, wanted: Wanted) -> Fitted:
    """The image as the models see it."""
    size = picture.provenance.width, picture.provenance.height
    pixels = _scaled(picture.pixels, size, wanted, {})
    smallest = min(pixels.values(), key=len, default=None)
    native = picture.pixels if picture.pixels.shape[1::-1] == size else None
    return Fitted(
        picture.provenance,
        tuple(score_warnings.of_picture(picture)),
        metering.measure_exposure(picture.pixels),
        pixels,
        detail_tiles.with_most_detail(picture.pixels) if wanted.detail else (),
        NO_REGIONS if smallest is None else fault_regions.find_regions(smallest, native),
        picture_facts.measure_facts(picture),
    )


def compare_pair(
    reference: NDArray[np.uint8],
    picture: Picture,
    own: Fitted,
    resize: bool,
    wanted: Wanted,
    measures: Sequence[str] = (),
) -> Comparison:
    """Compares a distorted image with its reference.

    Args:
        reference: ``(H, W, 3)`` uint8, at full size.
        picture: the distorted image, at its own size.
        own: the distorted image, fitted; arrays of the same size are shared with it.
        resize: whether a distorted image of another size is brought to the reference's.
        wanted: whose input is wanted of the distorted image as it is compared.
        measures: names of the published measures that are wanted too.

    Raises:
        SizeMismatch: the sizes differ, and `resize` is false.
    """
    from models import fidelity
    from models.measures.published import measure_published

    size = reference.shape[1], reference.shape[0]
    if own.size == size:
        shared = {(each.shape[1], each.shape[0]): each for each in own.pixels.values()}
        pixels = _scaled(picture.pixels, size, wanted, shared)
        found = measure_published(measures, reference, picture.pixels)
        return Comparison(fidelity.measure(reference, picture.pixels), None, pixels, found)
    if not resize:
        raise mismatch(size, own.size)
    compared = np.array(Image.fromarray(picture.pixels).resize(size, Image.Resampling.BICUBIC))
    return Comparison(
        fidelity.measure(reference, compared),
        own.size,
        _scaled(compared, size, wanted, {}),
        measure_published(measures, reference, compared),
    )


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
