"""What the frozen encoder sees of pictures, computed once and kept in a file: heads are trained from it.

A picture is kept as the means over the cells of its stride-32 grid, 1024 numbers of half precision a cell
(:func:`models.gated_pooling.cell_means`). To encode some twenty thousand pictures takes half an hour on a
small machine; a head then learns from hundreds of them a second.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from models.backbones.efficientnet import EfficientNetLite
from models.backbones.folded import FoldedEfficientNet
from models.gated_pooling import cell_means
from models.padding import STRIDE
from models.ragged import Extents
from models.training.encoder import normalised
from models.training.looking import tracked
from models.training.loop import be_modest
from models.training.photos import PhotoReader, digest
from models.training.samples import clean_region, to_float, whole
from models.training.variants import Variants, plan

VERSION: Final = 1
"""Of all that decides about the pictures; a cache of another version is not used."""

CellArray = NDArray[np.float16]


class Pictures(Protocol):
    """Pictures by the photograph that they are made from; its text form tells it from others.

    ``make`` gives those of one photograph, ``(rows, 3, side, side)`` uint8, always the same.
    """

    @property
    def paths(self) -> tuple[Path, ...]: ...

    @property
    def rows(self) -> int: ...

    @property
    def side(self) -> int: ...

    @property
    def label(self) -> str: ...

    def make(self, index: int) -> Tensor: ...


@dataclass(frozen=True)
class WholePhotographs:
    """The middle of each photograph, as it is."""

    paths: tuple[Path, ...]
    side: int = 512
    rows: int = 1
    label: str = "photographs"

    def make(self, index: int) -> Tensor:
        return whole(PhotoReader(cache_bytes=0).read(self.paths[index]), self.side)[None]


@dataclass(frozen=True)
class PhotographVariants:
    """Variants of each photograph.

    Attributes:
        paths: the photographs.
        side: of the pictures in pixels, a multiple of 32.
        chains, parts, compounds: as of :func:`models.training.variants.plan`.
        good: whether the photographs have no faults of their own. A good one is cut at a random place and
            scale, of others the middle is taken.
        seed: of everything random.
    """

    paths: tuple[Path, ...]
    side: int
    chains: int
    parts: int
    compounds: int
    good: bool
    seed: int = 0

    @property
    def label(self) -> str:
        return "variants of good photographs" if self.good else "variants of photographs as people take them"

    @cached_property
    def plans(self) -> tuple[Variants, ...]:
        """Of each photograph."""
        counts = {"chains": self.chains, "parts": self.parts, "compounds": self.compounds}
        return tuple(plan(self._seed(index), **counts) for index in range(len(self.paths)))

    @property
    def rows(self) -> int:
        return len(self.plans[0].faults)

    def make(self, index: int) -> Tensor:
        photo = PhotoReader(cache_bytes=0).read(self.paths[index])
        if self.good:
            region = clean_region(photo, self.side, Generator().manual_seed(self._seed(index)))
        else:
            region = to_float(whole(photo, self.side))
        return self.plans[index].make(region)

    def _seed(self, index: int) -> int:
        return 1_000_003 * self.seed + index


def encode(
    pictures: Pictures, network: EfficientNetLite, folder: Path, *, workers: int = 0, quiet: bool = False
) -> CellArray:
    """The cells of pictures, from the cache where it has them.

    The cache is a folder of its own within `folder`, by the data's digest, what is made of them, the encoder
    and :data:`VERSION`. An interruption loses the photographs under way; the same call goes on.

    Args:
        pictures: what is to be seen.
        network: the encoder; it is left as it is.
        folder: of all caches.
        workers: processes that make and encode pictures, of one thread each; with 0 this one does.
        quiet: whether to show no progress.

    Returns:
        ``(photographs, rows, side / 32, side / 32, 1024)`` float16, mapped from the file, read-only.

    Raises:
        DataError: a photograph cannot be decoded.
    """
    place = folder / f"{pictures.label.replace(' ', '-')}-{_key(pictures, network)}"
    place.mkdir(parents=True, exist_ok=True)
    grid = pictures.side // STRIDE
    count = len(pictures.paths)
    cells = _mapped(
        place / "cells.f16",
        np.dtype(np.float16),
        (count, pictures.rows, grid, grid, 2 * sum(network.channels)),
    )
    made = _mapped(place / "made.u8", np.dtype(np.uint8), (count,))
    missing = np.flatnonzero(made == 0).tolist()
    loader = DataLoader(
        _Encoding(pictures, network),
        batch_size=None,
        sampler=_These(missing),
        num_workers=workers,
        worker_init_fn=be_modest,
        collate_fn=_as_it_is,
    )
    for index, found in zip(missing, tracked(loader, pictures.label, quiet), strict=True):
        cells[index] = found
        made[index] = 1  # after the cells: what is marked is complete
    cells.flush()
    made.flush()
    cells.flags.writeable = False
    return cells


class CellEncoder:
    """The encoder made ready, from pictures to cells.

    Args:
        network: it is copied, not changed.
    """

    def __init__(self, network: EfficientNetLite) -> None:
        self._folded = FoldedEfficientNet(network)

    @torch.inference_mode()
    def __call__(self, picture: Tensor) -> Tensor:
        """``(3, H, W)`` uint8, sides multiples of 32 px -> ``(H / 32, W / 32, 1024)`` float32."""
        size = (picture.shape[-2], picture.shape[-1])
        levels = self._folded(normalised(picture[None]), Extents((size,), size))
        return cell_means([values for values, _ in levels])[0].permute(1, 2, 0)


class _Encoding(Dataset[CellArray]):
    """The cells of one photograph's pictures, by its index."""

    def __init__(self, pictures: Pictures, network: EfficientNetLite) -> None:
        self._pictures = pictures
        self._encoder = CellEncoder(network)

    def __getitem__(self, index: int) -> CellArray:
        # One by one: the maps at stride 2 are large.
        cells = [self._encoder(picture).half() for picture in self._pictures.make(index)]
        return torch.stack(cells).numpy()


class _These(Sampler[int]):
    """The given indices in their order."""

    def __init__(self, indices: Sequence[int]) -> None:
        self._indices = indices

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)


def _as_it_is(sample: Any) -> Any:
    # An array goes to the main process through a pipe; tensors would fill the shared memory of a container.
    return sample


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """An array in a file, which is made with zeros where it does not exist yet."""
    return np.memmap(path, dtype, "r+" if path.exists() else "w+", shape=shape)


def _key(pictures: Pictures, network: EfficientNetLite) -> str:
    """Twelve hexadecimal digits."""
    numbers = {name: value for name, value in vars(pictures).items() if name not in ("paths", "plans")}
    summary = hashlib.sha256(f"{VERSION} {sorted(numbers.items())} {digest(pictures.paths)}".encode())
    summary.update("\n".join(path.name for path in pictures.paths).encode())
    for tensor in network.state_dict().values():
        summary.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return summary.hexdigest()[:12]
