"""What is known of pictures before any training, computed once and kept in a file: heads are trained from it.

Of a picture, the frozen encoder gives means over the cells of its stride-32 grid, 1024 numbers of half
precision a cell (:func:`models.backbones.feature_maps.cell_means`). To encode some twenty thousand pictures
takes half an hour on a small machine; a head then learns from hundreds of them a second.
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
from models.backbones.feature_maps import cell_means
from models.backbones.folded_efficientnet import FoldedEfficientNet
from models.backbones.padding import STRIDE
from models.bpclip.gated_pooling import compared_means
from models.ragged import Extents
from models.training.distortions.color import luma
from models.training.encoder import normalized
from models.training.optimize import be_modest
from models.training.photos import PhotoReader, digest
from models.training.samples import clean_region, to_float, whole
from models.training.variants import Variants, plan
from models.training.whole_photos import tracked

CELLS_VERSION: Final = 2
"""Of all that decides about the pictures; a cache of another version is not used."""

_BRIGHT: Final = 0.42  # mean luma, in [0, 1]
_EXPORT: Final = "export-jpeg"

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
        chains, parts, compounds, ladders: as of :func:`models.training.variants.plan`.
        good: whether the photographs have no faults of their own. A good one is cut at a random place and
            scale; of others the middle is taken, and what people do to a photograph first is always among its
            chains.
        seed: of everything random.
    """

    paths: tuple[Path, ...]
    side: int
    chains: int
    parts: int
    compounds: int
    good: bool
    ladders: tuple[str, ...] = ()
    seed: int = 0

    @property
    def label(self) -> str:
        return "variants of good photographs" if self.good else "variants of photographs as people take them"

    @cached_property
    def plans(self) -> tuple[Variants, ...]:
        """Of each photograph."""
        return tuple(
            plan(
                self._seed(index),
                chains=self.chains,
                parts=self.parts,
                compounds=self.compounds,
                always=() if self.good else self._common(index),
                ladders=self.ladders,
            )
            for index in range(len(self.paths))
        )

    def _common(self, index: int) -> tuple[str, ...]:
        # A dark photograph may be better for more light, a bright one for less.
        bright = float(luma(self._region(index)).mean()) > _BRIGHT
        return (_EXPORT, "gain" if bright else "dimming")[: self.chains]

    @property
    def rows(self) -> int:
        return len(self.plans[0].faults)

    def make(self, index: int) -> Tensor:
        return self.plans[index].make(self._region(index))

    def _region(self, index: int) -> Tensor:
        photo = PhotoReader(cache_bytes=0).read(self.paths[index])
        if self.good:
            return clean_region(photo, self.side, Generator().manual_seed(self._seed(index)))
        return to_float(whole(photo, self.side))

    def _seed(self, index: int) -> int:
        return 1_000_003 * self.seed + index


class Look(Protocol):
    """What is computed of the pictures that are made from a photograph, the untouched one first.

    ``name`` tells it from others, and its results from those of another encoder; ``dtype`` and ``shape`` are
    of what a call gives for ``rows`` pictures of a side. A call takes ``(rows, 3, side, side)`` uint8.
    """

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> type[np.generic]: ...

    def shape(self, rows: int, side: int) -> tuple[int, ...]: ...

    def __call__(self, pictures: Tensor) -> NDArray[Any]: ...


def look_at(
    pictures: Pictures, look: Look, folder: Path, *, workers: int = 0, quiet: bool = False
) -> NDArray[Any]:
    """The values that a look computes of pictures, from the cache where it has them.

    The cache is a folder of its own within `folder`, by the data's digest, what is made of them, the look and
    :data:`CELLS_VERSION`. An interruption loses the photographs under way; the same call resumes.

    Args:
        pictures: what is looked at.
        look: computes the values.
        folder: of all caches.
        workers: processes that make and look at pictures, of one thread each; with 0 this one does.
        quiet: whether to show no progress.

    Returns:
        ``(photographs, *look.shape)`` in the look's dtype, mapped from the file, read-only.

    Raises:
        DataError: a photograph cannot be decoded.
    """
    place = folder / f"{pictures.label.replace(' ', '-')}-{_key(pictures, look)}"
    place.mkdir(parents=True, exist_ok=True)
    count = len(pictures.paths)
    known = _mapped(
        place / "known.bin", np.dtype(look.dtype), (count, *look.shape(pictures.rows, pictures.side))
    )
    made = _mapped(place / "made.u8", np.dtype(np.uint8), (count,))
    missing = np.flatnonzero(made == 0).tolist()
    loader = DataLoader(
        _Looking(pictures, look),
        batch_size=None,
        sampler=_These(missing),
        num_workers=workers,
        worker_init_fn=be_modest,
        collate_fn=_as_it_is,
    )
    for index, found in zip(missing, tracked(loader, pictures.label, quiet), strict=True):
        known[index] = found
        made[index] = 1  # after what is known: what is marked is complete
    known.flush()
    made.flush()
    known.flags.writeable = False
    return known


class _Encoder:
    """A frozen encoder made ready, and the shape of the values that are kept: see :class:`Look`.

    Args:
        network: the encoder; it is copied, not changed.
    """

    dtype = np.float16
    kind: str
    kinds: int
    """Numbers of a cell by channel of the encoder."""

    def __init__(self, network: EfficientNetLite) -> None:
        self._folded = FoldedEfficientNet(network)
        self._width = self.kinds * sum(network.channels)
        self.name = f"{self.kind} {_digest(network)}"

    def shape(self, rows: int, side: int) -> tuple[int, ...]:
        return rows, side // STRIDE, side // STRIDE, self._width

    def _maps(self, picture: Tensor) -> list[Tensor]:
        size = (picture.shape[-2], picture.shape[-1])
        return [values for values, _ in self._folded(normalized(picture[None]), Extents((size,), size))]


class CellEncoder(_Encoder):
    """See :class:`Look`: the cells of each picture, ``(rows, side / 32, side / 32, 1024)``."""

    kind, kinds = "cells", 2

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> CellArray:
        # One by one: the maps at stride 2 are large.
        found = [cell_means(self._maps(picture))[0].half() for picture in pictures]
        return torch.stack(found).permute(0, 2, 3, 1).numpy()


class PairEncoder(_Encoder):
    """See :class:`Look`: each picture beside the untouched one, ``(rows, side / 32, side / 32, 1536)``.

    The numbers of a cell are, level by level, the means of both pictures' features and of their absolute
    differences (eq. 1 of BPCLIP under an open mask).
    """

    kind, kinds = "pairs", 3

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> CellArray:
        reference = self._maps(pictures[0])
        found = [compared_means(self._maps(picture), reference)[0].half() for picture in pictures]
        return torch.stack(found).permute(0, 2, 3, 1).numpy()


class _Looking(Dataset[NDArray[Any]]):
    """What is known of one photograph's pictures, by its index."""

    def __init__(self, pictures: Pictures, look: Look) -> None:
        self._pictures = pictures
        self._look = look

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._look(self._pictures.make(index))


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


def _key(pictures: Pictures, look: Look) -> str:
    """Twelve hexadecimal digits."""
    numbers = {name: value for name, value in vars(pictures).items() if name not in ("paths", "plans")}
    summary = f"{CELLS_VERSION} {look.name} {sorted(numbers.items())} {digest(pictures.paths)}"
    names = "\n".join(path.name for path in pictures.paths)
    return hashlib.sha256(f"{summary} {names}".encode()).hexdigest()[:12]


def _digest(network: EfficientNetLite) -> str:
    summary = hashlib.sha256()
    for tensor in network.state_dict().values():
        summary.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return summary.hexdigest()[:12]
