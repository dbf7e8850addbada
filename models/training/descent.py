"""Adam with a rate that falls along a cosine, for the few parameters of a last touch."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def descend(parameters: Sequence[Tensor], loss: Callable[[], Tensor], steps: int, rate: float) -> None:
    """Move the parameters down the loss, in place.

    Args:
        parameters: with gradients.
        loss: a scalar, computed anew at every step.
        steps: how many.
        rate: of the first step.
    """
    optimizer = torch.optim.Adam(parameters, lr=rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
