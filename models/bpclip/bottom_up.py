"""BPCLIP's bottom-up cross-attention (eq. 3-7 of arXiv 2506.17969): from pooled levels to the text space.

Marks: [P] stated in the paper; [T] taken from TOPIQ/CFANet (arXiv 2308.03060); [O] our decision.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.ragged import Extents

_EPSILON = 1e-8
_NEIGHBOURHOOD = 3
"""Side, in positions, of the part of the grid that local quality is told from [O]. Of 1, 3, 5 and 7 this
showed best which half of a photograph was blurred, noisy, compressed or dark."""


class PositionalEncoding(nn.Module):
    """One learnable encoding, the same for all five levels [P], as two broadcast factors [T]."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.vertical = nn.Parameter(torch.empty(1, width // 2, side, 1))
        self.horizontal = nn.Parameter(torch.empty(1, width // 2, 1, side))
        nn.init.trunc_normal_(self.vertical, std=0.02)
        nn.init.trunc_normal_(self.horizontal, std=0.02)

    def forward(self, extents: Extents) -> Tensor:
        """The encoding resized to each image's own grid, ``(B, D, Hn, Wn)``, or ``(1, ...)`` if all agree."""
        resized = {grid: self._resized(*grid) for grid in set(extents.sizes)}
        if extents.uniform:
            return resized[extents.padded]
        tall, wide = extents.padded
        return torch.cat(
            [
                F.pad(resized[height, width], (0, wide - width, 0, tall - height))
                for height, width in extents.sizes
            ]
        )

    def _resized(self, height: int, width: int) -> Tensor:
        # Each factor along its own axis, along which its counterpart is constant.
        vertical = _bicubic(self.vertical[..., 0], height)[..., None].expand(-1, -1, -1, width)
        horizontal = _bicubic(self.horizontal[..., 0, :], width)[..., None, :].expand(-1, -1, height, -1)
        return torch.cat([vertical, horizontal], dim=1)


def _bicubic(values: Tensor, size: int) -> Tensor:
    """``(1, C, n)`` -> ``(1, C, size)``: what ``F.interpolate`` gives, by operations that export exactly.

    (OpenVINO takes another place for a single position.)
    """
    places = (torch.arange(size, device=values.device) + 0.5) * (values.shape[-1] / size) - 0.5
    first = places.floor()
    taps = first[:, None] + torch.arange(-1, 3, device=values.device)
    distances = (places[:, None] - taps).abs()
    near = (1.25 * distances - 2.25) * distances.square() + 1  # Keys' kernel with a = -0.75
    far = ((-0.75 * distances + 3.75) * distances - 6) * distances + 3
    weights = torch.where(distances <= 1, near, far)
    found = values[..., taps.clamp(0, values.shape[-1] - 1).long()]
    return (found * weights).sum(dim=-1)


class Attention(nn.Module):
    """``Attn(q, k = v) + q`` and a feed-forward layer, pre-LayerNorm; one layer [T]."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(width)
        self.norm_key = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, query: Tensor, key: Tensor, valid: Tensor | None = None) -> Tensor:
        """``(B, T, D)`` asks ``(B, T, D)``; the answer is ``(B, T, D)``.

        With `valid`, ``(B, T)`` bool, only these keys are asked; the answers to other queries mean nothing.
        """
        keys = self.norm_key(key)
        absent = None if valid is None else ~valid
        attended, _ = self.attention(
            self.norm_query(query), keys, keys, key_padding_mask=absent, need_weights=False
        )
        hidden = query + self.dropout(attended)
        return cast(Tensor, hidden + self.feed_forward(hidden))


class BottomUpLevel(nn.Module):
    """Eq. 4-7 for one of the four parallel levels: two branches, and the way to the text space."""

    def __init__(self, inner: int, text: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.information = Attention(inner, heads, dropout)
        self.weight = Attention(inner, heads, dropout)
        # Widths D -> 2D -> D [O].
        self.value_mlp = nn.Sequential(
            nn.Linear(inner, 2 * inner), nn.ReLU(), nn.Linear(2 * inner, inner), nn.ReLU()
        )
        self.weight_mlp = nn.Sequential(
            nn.Linear(inner, 2 * inner), nn.ReLU(), nn.Linear(2 * inner, inner), nn.Sigmoid()
        )
        self.to_text = nn.Sequential(nn.Linear(inner, text), nn.ReLU(), nn.Linear(text, text))  # [O]

    @property
    def dtype(self) -> torch.dtype:
        """Of the attention; what it gives is pooled in float32 all the same."""
        return cast(nn.Linear, self.weight_mlp[0]).weight.dtype

    def forward(self, shallower: Tensor, deeper: Tensor, valid: Tensor | None = None) -> Tensor:
        """``G_i`` and ``G_{i+1}``, ``(B, T, D)`` each -> ``x_i``, ``(B, d)`` float32; `valid` as above."""
        return self.sum_up(*self.gate(shallower, deeper, valid))

    def gate(self, shallower: Tensor, deeper: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Each position's value and weight, ``(B, T, D)`` float32 each; no weight where not `valid`."""
        # The shallower level asks the deeper one: this is what "bottom-up" means here [P].
        value = self.value_mlp(self.information(shallower, deeper, valid))
        weight = self.weight_mlp(self.weight(shallower, shallower, valid))
        with torch.autocast(value.device.type, enabled=False):
            value, weight = value.float(), weight.float()
            return value, weight if valid is None else weight * valid[:, :, None]

    def sum_up(self, value: Tensor, weight: Tensor) -> Tensor:
        """What :meth:`gate` gives, over all positions: ``x_i``, ``(B, d)`` float32."""
        with torch.autocast(value.device.type, enabled=False):
            feature = (weight * value).sum(dim=1) / (weight.sum(dim=1) + _EPSILON)  # [O]
            return cast(Tensor, self.to_text(feature))

    def sum_up_locally(self, value: Tensor, weight: Tensor, grid: tuple[int, int]) -> Tensor:
        """What :meth:`gate` gives, over a neighbourhood of each position instead: ``(B, T, d)`` float32 [O].

        The same equation on a part of the grid, ``(Hn, Wn)``; beyond the edges nothing has weight.
        """

        def around(values: Tensor) -> Tensor:
            margin = _NEIGHBOURHOOD // 2
            laid = values.transpose(1, 2).unflatten(-1, grid)
            mean = F.avg_pool2d(
                laid, _NEIGHBOURHOOD, stride=1, padding=margin
            )  # what is beyond counts as zero
            return _NEIGHBOURHOOD**2 * mean.flatten(2).transpose(1, 2)

        with torch.autocast(value.device.type, enabled=False):
            return cast(Tensor, self.to_text(around(weight * value) / (around(weight) + _EPSILON)))
