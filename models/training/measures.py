"""Classical measures of a picture's signal, which a network that begins from nothing learns to tell.

What a photograph is worth to people follows from such statistics to a good part (BRISQUE, the sharpness
measures); they cost nothing, no person has to be asked, and they are exact. Learning them beside its task
teaches a network in minutes what people's scores, which scatter, teach in hours. The choice is ours:

- at four scales, the energy of the Laplacian in blocks: the flattest tenth (noise), the median, and the
  sharpest tenth and thirtieth (see :mod:`models.training.first_opinion`); and the mean gradient;
- of the luma, mean, deviation, the 2nd and 98th percentile, and what is clipped;
- colourfulness (Hasler and Suesstrunk, 2003) and saturation, and the noise of both chroma channels;
- blockiness: how far differences at one column (row) in eight exceed the mean (Wang, Bovik and Evan, 2000).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SCALES = 4
_BLOCKS = (16, 8, 8, 8)  # px at each scale
_SPARSE = 4  # tone and colour need not every pixel
_SHARES = (0.1, 0.5, 0.9, 0.97)
COUNT = _SCALES * (len(_SHARES) + 1) + 6 + 2 + 2 + 2
"""How many measures there are."""

_RGB_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@torch.no_grad()
def signal_measures(images: Tensor) -> Tensor:
    """The measures of ``(B, 3, H, W)`` uint8 pictures, sides at least 64 px.

    Returns:
        ``(B, COUNT)`` float32, each brought to about zero mean and unit deviation over photographs.
    """
    pixels = images.float()
    luma, *chroma = (r * pixels[:, :1] + g * pixels[:, 1:2] + b * pixels[:, 2:] for r, g, b in _RGB_TO_YCC)
    values: list[Tensor] = []
    light = luma
    for block in _BLOCKS:
        of_blocks = block_energies(light, block).flatten(1)
        values += [(torch.log1p(q) - 4.5) / 2 for q in _quantiles(of_blocks, _SHARES)]
        gradient = light.diff(dim=-1).abs().mean(dim=(1, 2, 3)) + light.diff(dim=-2).abs().mean(dim=(1, 2, 3))
        values.append((torch.log1p(gradient) - 2.3) / 0.6)
        light = F.avg_pool2d(light, 2)
    flat = luma[..., ::_SPARSE, ::_SPARSE].flatten(1)
    low, high = _quantiles(flat, (0.02, 0.98))
    values += [(flat.mean(dim=1) - 115) / 45, (flat.std(dim=1) - 55) / 18, (low - 20) / 25, (high - 215) / 40]
    values += [20 * (flat > 250).float().mean(dim=1), 20 * (flat < 5).float().mean(dim=1)]
    values += _colour(pixels[..., ::_SPARSE, ::_SPARSE])
    for plane in chroma:
        (flattest,) = _quantiles(block_energies(plane, 16).flatten(1), (0.1,))
        values.append(torch.log1p(flattest))
    values += [_blockiness(luma), _blockiness(luma.transpose(-2, -1))]
    return torch.stack(values, dim=1)


def block_energies(planes: Tensor, block: int) -> Tensor:
    """Variance of the Laplacian in blocks of ``block`` px: ``(B, 1, H, W)`` to ``(B, 1, h, w)``."""
    # Shifts and sums: torch's convolutions of a single channel take five times as long on a CPU.
    wide = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    edges = (
        wide[..., 2:, 1:-1] + wide[..., :-2, 1:-1] + wide[..., 1:-1, 2:] + wide[..., 1:-1, :-2] - 4 * planes
    )
    return (F.avg_pool2d(edges.square(), block) - F.avg_pool2d(edges, block).square()).clamp(min=0)


class MeasuresHead(nn.Module):
    """Tells the measures from an embedding ``(B, width)``; used while training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, COUNT)

    def loss(self, embeddings: Tensor, images: Tensor) -> Tensor:
        """Mean Huber distance to the measures of the pictures that were embedded, ``(B, 3, H, W)`` uint8."""
        with torch.autocast(images.device.type, enabled=False):
            wanted = signal_measures(images).clamp(-4, 4)
            return F.smooth_l1_loss(self.linear(embeddings.float()), wanted)


def _quantiles(values: Tensor, shares: tuple[float, ...]) -> list[Tensor]:
    """Of each row, by sorting: torch's own refuses rows of more than 16 million values and is slower."""
    ordered = values.sort(dim=1).values
    last = values.shape[1] - 1
    return [ordered[:, round(share * last)] for share in shares]


def _colour(pixels: Tensor) -> list[Tensor]:
    red, green, blue = pixels.flatten(2).unbind(dim=1)
    first, second = red - green, (red + green) / 2 - blue
    spread = torch.hypot(first.std(dim=1), second.std(dim=1))
    colourfulness = spread + 0.3 * torch.hypot(first.mean(dim=1), second.mean(dim=1))
    brightest, darkest = pixels.amax(dim=1), pixels.amin(dim=1)
    saturation = ((brightest - darkest) / (brightest + 1)).mean(dim=(1, 2))
    return [(colourfulness - 40) / 25, (saturation - 0.35) / 0.2]


def _blockiness(luma: Tensor) -> Tensor:
    """The logarithm of how far the differences across one column in eight exceed the mean, doubled."""
    columns = luma.diff(dim=-1).abs().mean(dim=(1, 2))
    columns = columns[:, : columns.shape[1] // 8 * 8].unflatten(1, (-1, 8)).mean(dim=1)
    return 2 * torch.log((columns.amax(dim=1) + 0.1) / (columns.mean(dim=1) + 0.1))
