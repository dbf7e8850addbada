"""Blurs: Gaussian, lens, motion, and the convolution that further groups borrow.

Every kernel here is symmetric about its center, so correlation and convolution are the same. Convolution goes
through the FFT: one path whose cost hardly depends on the radius, which reaches 60 px in color diffusion.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Generator, Tensor

from models.training.distortions.draws import uniform


def convolve(planes: Tensor, kernel: Tensor) -> Tensor:
    """Each plane of ``(C, H, W)`` convolved with a ``(K, K)`` kernel, K odd; edges are repeated outwards."""
    height, width = planes.shape[-2:]
    radius = kernel.shape[-1] // 2
    padded = F.pad(planes, (radius, radius, radius, radius), mode="replicate")
    # The samples kept below never reach across the border of the FFT's period: no further padding is needed.
    period = (next_fast_len(height + 2 * radius, real=True), next_fast_len(width + 2 * radius, real=True))
    spectrum = torch.fft.rfft2(padded, s=period) * torch.fft.rfft2(kernel.to(planes), s=period)
    rows, columns = slice(2 * radius, 2 * radius + height), slice(2 * radius, 2 * radius + width)
    convolved: Tensor = torch.fft.irfft2(spectrum, s=period)
    return convolved[..., rows, columns]


@lru_cache(maxsize=32)
def gaussian_kernel(sigma: float) -> Tensor:
    """``(K, K)`` normalized Gaussian cut off at three standard deviations."""
    radius = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    profile = torch.exp(-0.5 * (offsets / sigma) ** 2)
    profile = profile / profile.sum()
    return torch.outer(profile, profile).float()


@lru_cache(maxsize=32)
def disk_kernel(radius: float) -> Tensor:
    """``(K, K)`` normalized disk of ``radius`` px with a soft rim: the image of a point out of focus."""
    reach = math.ceil(radius)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    disk = (radius + 0.5 - torch.hypot(offsets[:, None], offsets[None, :])).clamp(0, 1)
    return disk / disk.sum()


def line_kernel(length: float, angle: float) -> Tensor:
    """``(K, K)`` normalized segment of ``length`` px at ``angle`` radians; length one is a single pixel."""
    reach = math.ceil((length - 1) / 2) + 1
    size = 2 * reach + 1
    along = torch.linspace(-0.5, 0.5, 8 * math.ceil(length) + 1) * (length - 1)
    kernel = torch.zeros(size * size)
    y, x = along * math.sin(angle) + reach, along * math.cos(angle) + reach
    top, left = y.floor(), x.floor()
    for row, row_weight in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, column_weight in ((left, 1 - (x - left)), (left + 1, x - left)):
            kernel.index_add_(0, (row * size + column).long(), row_weight * column_weight)
    return (kernel / kernel.sum()).view(size, size)


def gaussian_blur(image: Tensor, sigma: float, generator: Generator) -> Tensor:
    """Gaussian blur of ``sigma`` px."""
    return convolve(image, gaussian_kernel(sigma))


def lens_blur(image: Tensor, radius: float, generator: Generator) -> Tensor:
    """The whole picture out of focus: a disk of ``radius`` px."""
    return convolve(image, disk_kernel(radius))


def motion_blur(image: Tensor, length: float, generator: Generator) -> Tensor:
    """A straight camera movement of ``length`` px in a random direction."""
    return convolve(image, line_kernel(length, uniform(generator, 0, math.pi)))


def partial_defocus(image: Tensor, radius: float, generator: Generator) -> Tensor:
    """Lens blur of ``radius`` px on one side of a random line near the center, softly blended."""
    height, width = image.shape[-2:]
    angle, offset = uniform(generator, 0, 2 * math.pi), uniform(generator, -0.1, 0.1)
    y = torch.linspace(-0.5, 0.5, height, device=image.device)[:, None]
    x = torch.linspace(-0.5, 0.5, width, device=image.device)[None, :]
    blurred_share = ((y * math.sin(angle) + x * math.cos(angle) + offset) * 8 + 0.5).clamp(0, 1)
    return torch.lerp(image, convolve(image, disk_kernel(radius)), blurred_share)
