"""BPCLIP's gated local pooling (eq. 1-2 of arXiv 2506.17969): each level of the backbone, on one grid.

Marks: [P] stated in the paper; [T] taken from TOPIQ/CFANet (arXiv 2308.03060); [O] our decision.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.feature_maps import pool
from models.ragged import Extents


class GatedLocalPooling(nn.Module):
    """Eq. 1-2: a learned mask weighs a level's features, which are pooled to the common grid [P].

    Attributes:
        is_open: whether the mask is the same everywhere, so that :meth:`from_means` gives what
            :meth:`forward` gives; only known after :meth:`fold`.
    """

    feature: nn.Conv2d | None

    def __init__(
        self,
        channels: int,
        full_reference: bool,
        mask_width: int,
        inner_width: int,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        width = mask_width
        # conv-GELU-conv-GELU-conv [P], kernel sizes [T].
        self.phi = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, 1, 3, padding=1),
        )
        self.is_open = False
        self.full_reference = full_reference
        self.rectified = rectified and not full_reference
        given = 2 * channels if self.rectified else channels
        if not full_reference:
            self.feature = nn.Conv2d(given, given, 1)  # Wf [P]
        pooled = 3 * channels if full_reference else given
        self.project = nn.Sequential(nn.Conv2d(pooled, inner_width, 1), nn.GELU())

    def forward(
        self, distorted: Tensor, reference: Tensor | None, extents: Extents, grid: tuple[int, int]
    ) -> Tensor:
        """One level's ``(B, C, h, w)`` -> ``G_i``, ``(B, D, Hn, Wn)``; ``h, w`` multiples of the grid.

        A window lies within an image or beyond it, never across its edge, since images have whole cells.
        """
        window = (int(distorted.shape[-2] // grid[0]), int(distorted.shape[-1] // grid[1]))
        if reference is None:
            given = rectify(distorted) if self.rectified else distorted
            mask = self.mask(distorted, extents)
            return cast(Tensor, self.project(self.weigh(pool(mask * given, window), pool(mask, window))))
        parts = compared(distorted, reference)
        if self.is_open:
            return self.from_means(torch.cat([pool(part, window) for part in parts], dim=1))
        mask = self.mask(parts[-1], extents)
        return cast(Tensor, self.project(torch.cat([pool(mask * part, window) for part in parts], dim=1)))

    def from_means(self, means: Tensor) -> Tensor:
        """``G_i`` under a mask that is the same everywhere, from window means that are known already.

        Before the mask has learned it is such a mask. What a frozen encoder gives of a photograph can be
        kept in this form, so heads are trained in minutes [O].

        Args:
            means: ``(B, C', Hn, Wn)``, of what the mask is multiplied with.
        """
        mask = cast(nn.Conv2d, self.phi[-1]).bias
        assert mask is not None
        share = mask.sigmoid()[0]
        if self.full_reference:
            return cast(Tensor, self.project(share * means))
        return cast(Tensor, self.project(self.weigh(share * means, share.expand_as(means[:, :1]))))

    @torch.no_grad()
    def open_mask(self) -> None:
        """Make the mask the same everywhere, for :meth:`from_means`; it learns from there."""
        last = cast(nn.Conv2d, self.phi[-1])
        assert last.bias is not None
        last.weight.zero_()
        last.bias.zero_()

    @torch.no_grad()
    def pass_features_on(self) -> None:
        """Make ``Wf`` the identity, and let it stay that."""
        assert self.feature is not None
        assert self.feature.bias is not None
        channels = self.feature.in_channels
        self.feature.weight.copy_(torch.eye(channels)[:, :, None, None])
        self.feature.bias.zero_()
        self.feature.requires_grad_(False)

    def weigh(self, pooled: Tensor, mask: Tensor) -> Tensor:
        """``Wf`` after pooling: being linear it gives the same there as before, on far fewer positions.

        Its bias meets what the mask pooled to.
        """
        if self.feature is None:
            return torch.cat([pooled, mask], dim=1)
        assert self.feature.bias is not None
        return F.conv2d(pooled, self.feature.weight) + self.feature.bias[:, None, None] * mask

    @torch.no_grad()
    def fold(self) -> None:
        """For inference: `Wf` and the projection that follows it are both linear, so one matrix does.

        A full-reference model has no `Wf`; only its mask is looked at.
        """
        self.is_open = self.opens
        if self.full_reference or self.feature is None:
            return
        before, after = self.feature, cast(nn.Conv2d, self.project[0])
        assert before.bias is not None
        matrix, then = before.weight.flatten(1), after.weight.flatten(1)
        both = nn.Conv2d(before.in_channels + 1, after.out_channels, 1)
        both.weight.copy_(torch.cat([then @ matrix, (then @ before.bias)[:, None]], dim=1)[:, :, None, None])
        assert both.bias is not None
        assert after.bias is not None
        both.bias.copy_(after.bias)
        self.project[0], self.feature = both, None

    @property
    def opens(self) -> bool:
        """Whether :meth:`fold` finds a mask that is the same everywhere."""
        everywhere = not bool(cast(nn.Conv2d, self.phi[-1]).weight.any())
        return everywhere and (self.full_reference or self.rectified)

    def mask(self, values: Tensor, extents: Extents) -> Tensor:
        """``sigmoid(phi(values))``, ``(B, 1, h, w)``; beyond the extents it is anything."""
        for layer in self.phi:
            if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
                values = extents.clear(values)
            values = layer(values)
        return values.sigmoid()


def rectify(values: Tensor) -> Tensor:
    """``(B, C, h, w)`` standardized features and their magnitudes, ``(B, 2 C, h, w)`` [O].

    The maps of EfficientNet-Lite are linear and can be negative: the mean over a window alone would cancel
    the fine detail that blur removes and noise adds.
    """
    return torch.cat([values, values.abs()], dim=1)


def compared(distorted: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 1's three parts of a level, ``(B, C, h, w)`` each: both images' features, and how they differ."""
    return distorted, reference, smooth_abs(distorted - reference)


def compared_means(distorted: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """Means of both images' features and of their differences' magnitudes over the same cells, float32.

    Returns:
        ``(B, 3 sum(C_i), Hn, Wn)``: of each level those of the distorted image, of the reference, and
        between them.

    Args:
        distorted, reference: F1..F5, ``(B, C_i, h_i, w_i)``; each ``h_i`` is a multiple of the last one's.
    """
    grid = distorted[-1].shape[-2:]
    return torch.cat(
        [
            pool(values, (first.shape[-2] // grid[0], first.shape[-1] // grid[1]))
            for first, second in zip(distorted, reference, strict=True)
            for values in compared(first, second)
        ],
        dim=1,
    )


def smooth_abs(values: Tensor) -> Tensor:
    """``|x| = sqrt(x^2 + 1e-12)``, with a gradient at zero [T]."""
    # In half precision 1e-12 would vanish and the gradient at zero with it.
    return (values.float().square() + 1e-12).sqrt().to(values.dtype)
