"""Images of different sizes in one tensor, exactly: what lies beyond an image never reaches its result.

The images of a batch lie in the top left corners of one zero-filled tensor. A convolution pads an image with
zeros when it stands alone, so it sees the same in the batch as long as the padding *is* zero; but a bias,
folded batch norm included, fills it again at every layer. :class:`Extents` knows what of a tensor is image,
at any resolution of a network, and clears the rest before the next operation that looks beyond its own
position.

Two facts keep this cheap. Only an operation that reads past an image's edge needs it cleared: a 3x3
convolution or max pooling, not a 1x1 convolution, nor average pooling over whole windows, nor anything
elementwise. And a bottleneck block has just one such operation, at its narrowest tensor.

Source: ours. (Padding to a common size with masks is common practice; that it is exact through batch norm,
strides and pooling, is what the tests of this module are for.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Shape = tuple[int, int]  # height, width: the order of a tensor's axes, unlike app.imaging.model_inputs.Size


@dataclass(frozen=True)
class Extents:
    """Where the images of a padded batch lie, at one resolution of a network.

    Attributes:
        sizes: height and width of each of the ``B`` images.
        padded: height and width of the tensor, at least the largest of each.
    """

    sizes: tuple[Shape, ...]
    padded: Shape
    _masks: dict[tuple[torch.device, torch.dtype], Tensor] = field(default_factory=dict, compare=False)

    @classmethod
    def around(cls, sizes: Sequence[Shape]) -> "Extents":
        """The smallest tensor that holds images of these sizes.

        Raises:
            ValueError: there is no image.
        """
        if not sizes:
            raise ValueError("A batch holds at least one image.")
        return cls(tuple(sizes), (max(height for height, _ in sizes), max(width for _, width in sizes)))

    @cached_property
    def uniform(self) -> bool:
        """Whether no image has padding."""
        return all(size == self.padded for size in self.sizes)

    @property
    def useful_pixels(self) -> int:
        """Positions that belong to an image."""
        return sum(height * width for height, width in self.sizes)

    @property
    def padded_pixels(self) -> int:
        """Positions of the tensor, padding included."""
        return len(self.sizes) * self.padded[0] * self.padded[1]

    def halved_up(self) -> "Extents":
        """After a stride of 2 with "same" padding, which keeps an odd last row: ``ceil(n / 2)``."""
        return self._each(lambda side: -(-side // 2))

    def halved_down(self) -> "Extents":
        """After average pooling over whole windows of 2, which drops an odd last row: ``floor(n / 2)``."""
        return self._each(lambda side: side // 2)

    def rounded_up(self, multiple: int) -> "Extents":
        """With each side the next multiple of `multiple`."""
        return self._each(lambda side: -(-side // multiple) * multiple)

    def repeated(self, times: int) -> "Extents":
        """Of a batch that follows itself `times` times."""
        return Extents(self.sizes * times, self.padded)

    def mask(self, like: Tensor) -> Tensor:
        """``(B, 1, H, W)`` with 1 on images and 0 on padding, in the dtype and on the device of `like`."""
        key = (like.device, like.dtype)
        if key not in self._masks:
            self._masks[key] = self.inside(like.device)[:, None].to(like.dtype)
        return self._masks[key]

    def inside(self, device: torch.device) -> Tensor:
        """``(B, H, W)`` bool, true on images."""
        heights, widths = torch.tensor(self.sizes, device=device).T
        rows: Tensor = torch.arange(self.padded[0], device=device) < heights[:, None]
        columns: Tensor = torch.arange(self.padded[1], device=device) < widths[:, None]
        return rows[:, :, None] & columns[:, None, :]

    def clear(self, values: Tensor) -> Tensor:
        """`values`, ``(B, C, H, W)``, with zero on padding; in place where autograd is not watching."""
        assert values.shape[0] == len(self.sizes), (values.shape, self)
        assert tuple(values.shape[-2:]) == self.padded, (values.shape, self)
        if self.uniform:
            return values
        if torch.is_grad_enabled():
            return values * self.mask(values)
        return values.mul_(self.mask(values))

    def valid_tokens(self, device: torch.device) -> Tensor | None:
        """``(B, H * W)`` bool, true on images; None where all of them are."""
        return None if self.uniform else self.inside(device).flatten(1)

    def _each(self, change: Callable[[int], int]) -> "Extents":
        sizes = tuple((change(height), change(width)) for height, width in self.sizes)
        return Extents(sizes, (change(self.padded[0]), change(self.padded[1])))


def pack(images: Sequence[NDArray[np.uint8]], multiple: int = 1) -> tuple[Tensor, Extents]:
    """Lay images, each ``(h, w, 3)`` uint8, into one zero-filled ``(B, 3, H, W)`` uint8 tensor.

    Args:
        images: as they are decoded; they are copied.
        multiple: sides are brought to the next multiple of this by mirroring the image at its right and
            bottom edge (without repeating the edge itself), so that all that follows sees whole cells. Sides
            longer than half of `multiple` allow that.

    Returns:
        The tensor, on the CPU in channels-last order, and the extents of the (mirrored) images.

    Raises:
        ValueError: there is no image.
    """
    own = [(image.shape[0], image.shape[1]) for image in images]
    extents = Extents.around(own).rounded_up(multiple)
    make = np.empty if extents.uniform else np.zeros
    batch = make((len(images), *extents.padded, 3), dtype=np.uint8)
    for place, image, (height, width), (tall, wide) in zip(batch, images, own, extents.sizes, strict=True):
        place[:height, :width] = image
        if tall > height:
            place[height:tall, :width] = place[2 * height - tall - 1 : height - 1, :width][::-1]
        if wide > width:
            place[:tall, width:wide] = place[:tall, 2 * width - wide - 1 : width - 1][:, ::-1]
    return torch.from_numpy(batch).permute(0, 3, 1, 2), extents


def normalize(pixels: Tensor, extents: Extents, mean: Tensor, std: Tensor) -> Tensor:
    """``(pixels / 255 - mean) / std`` of ``(B, 3, H, W)`` uint8, float32, with zero beyond the extents.

    Args:
        pixels: as :func:`pack` lays them.
        extents: of the images in it.
        mean: ``(3, 1, 1)`` float32, per channel, for values in [0, 1].
        std: ``(3, 1, 1)`` float32, per channel, for values in [0, 1].
    """
    return extents.clear(pixels.float().div_(255.0).sub_(mean).div_(std))
