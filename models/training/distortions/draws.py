"""Random draws of the distortions.

An operation draws the same numbers at all its levels and only then looks at the level: after the same seed a
stronger level is the same accident, only worse. Everything is drawn on the generator's device.
"""

import torch
from torch import Generator, Tensor


def uniform(generator: Generator, low: float, high: float) -> float:
    """One float from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator, device=generator.device))


def uniform_like(image: Tensor, generator: Generator) -> Tensor:
    """Floats from [0, 1), one for each sample of ``image``."""
    return torch.rand(image.shape, generator=generator, device=generator.device).to(image.device)


def normal_like(image: Tensor, generator: Generator) -> Tensor:
    """Standard normal floats, one for each sample of ``image``."""
    return torch.randn(image.shape, generator=generator, device=generator.device).to(image.device)


def integers(generator: Generator, low: int, high: int, count: int) -> list[int]:
    """``count`` integers from [low, high]."""
    return torch.randint(low, high + 1, (count,), generator=generator, device=generator.device).tolist()
