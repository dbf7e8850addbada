"""How photographs are gone through: which of them, as what pixels, with a progress bar."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import track
from torch import Generator, Tensor

from models.preprocessing import Pixels

_Step = TypeVar("_Step")


def some(paths: Sequence[Path], most: int, generator: Generator) -> list[Path]:
    """At most so many of the paths, chosen at random."""
    chosen = torch.randperm(len(paths), generator=generator)[:most]
    return [paths[place] for place in chosen.tolist()]


def tracked(steps: Iterable[_Step], what: str, quiet: bool) -> Iterable[_Step]:
    """The steps, with a progress bar on the error stream unless `quiet`."""
    return track(steps, what, console=Console(stderr=True), disable=quiet)


def pixels(picture: Tensor) -> Pixels:
    """``(3, H, W)`` uint8 as ``(H, W, 3)``."""
    return picture.permute(1, 2, 0).contiguous().numpy()
