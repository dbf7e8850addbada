"""BPCLIP's last stage: whole photographs, for the part of the network that looks at a photograph as a whole.

Crops are a compromise. People judged whole photographs, and what follows the gated pooling (eq. 3-9 of arXiv
2506.17969) sees as many tokens as a photograph has: of a crop it learns the wrong sum. The backbone and the
pooling, which look at parts, are left alone here, so their output needs to be computed only once; the rest is
so small that it sees every photograph dozens of times in minutes. All of this is our decision.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from models.bpclip import BPCLIP
from models.ragged import Extents
from models.training.bpclip import normalised, terms_of_faults, terms_of_people
from models.training.looking import tracked
from models.training.photos import PhotoReader, ScoredPhoto
from models.training.samples import ENDLESS, Group, Groups, whole

_BACKBONE = ("backbone.", "pooling.")
_MOST_CUT = 4  # of the rows and columns of tokens, so that not always the same whole is seen
_SHAKEN = 0.1  # deviation of a random gain for each channel, level and photograph
_ORDER = 2.0
"""What order weighs, of what it does among crops. Six brought .02 more of it on good photographs that were
kept apart and cost .02 of agreement with people."""
_AT_ONCE = 4


class Seen(NamedTuple):
    """G_1..G_5 of a photograph, ``(5, D, h, w)`` bfloat16, and its MOS."""

    pooled: Tensor
    mos: Tensor


class WholePhotographsRecipe:
    """See :class:`models.training.loop.Recipe`.

    Args:
        module: whose backbone and pooling have learned all they will.
        scored: photographs with people's scores.
        pristine: good photographs; groups made from both keep order and words alive meanwhile.
        side: what photographs are cut or brought to, a multiple of 32 px.
        batch: photographs at once.
        groups: at once.
        kept_groups: how many groups there are in all.
        fault_crop: side of theirs, that of a whole photograph or nearly.
    """

    name = "bpclip-whole"
    learning_rate = 3e-4

    def __init__(
        self,
        module: BPCLIP,
        scored: Sequence[ScoredPhoto],
        pristine: Sequence[Path],
        *,
        side: int = 512,
        batch: int = 32,
        groups: int = 12,
        kept_groups: int = 1000,
        fault_crop: int = 512,
        seed: int = 0,
        quiet: bool = False,
    ) -> None:
        self.model = module
        for name, parameter in module.named_parameters():
            if name.startswith(_BACKBONE):
                parameter.requires_grad_(False)
        self.module = nn.ModuleDict({"model": module})
        self.batch_sizes = (groups, batch)
        real = [photo.path for photo in scored]
        spoilt = Groups(pristine, fault_crop, views=1, real=real, seed=seed + 4)
        self.datasets: tuple[Dataset[Any], ...] = (
            _Kept(_look_at_groups(module, spoilt, kept_groups, quiet), seed),
            _Kept(_look_at_photographs(module, scored, side, quiet), seed + 1),
        )

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]:
        pooled, group = parts[0][0], Group(*parts[0][1:])
        photographs = Seen(*parts[1])
        score = self.model.read_out(self._attend(_varied(photographs.pooled.float()))).score
        embeddings = self._attend(pooled.float().flatten(0, 1))
        of_faults = terms_of_faults(self.model, embeddings, group)
        of_faults["rank"] = _ORDER * of_faults["rank"]
        return terms_of_people(score, photographs.mos) | of_faults

    def _attend(self, pooled: Tensor) -> Tensor:
        """``(B, 5, D, h, w)`` to ``x_1..x_4``, ``(B, 4, d)``."""
        size = (pooled.shape[-2], pooled.shape[-1])
        return self.model.attend(pooled.unbind(dim=1), Extents((size,) * len(pooled), size))


class _Kept(Dataset[Any]):
    """Endless random picks among samples that are kept in memory."""

    def __init__(self, samples: Sequence[Sequence[Tensor]], seed: int) -> None:
        self._samples = samples
        self._seed = seed

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sequence[Tensor]:
        epoch, place = divmod(index, len(self._samples))
        generator = torch.Generator().manual_seed(self._seed + 1000 * epoch)
        return self._samples[int(torch.randperm(len(self._samples), generator=generator)[place])]


def _varied(pooled: Tensor) -> Tensor:
    """Mirrored or not, a little cut, the levels' channels a little louder or softer."""
    if torch.rand(()) < 0.5:
        pooled = pooled.flip(-1)
    height, width = pooled.shape[-2:]
    cut = int(torch.randint(min(_MOST_CUT, height - 1, width - 1) + 1, ()))
    top, left = (int(torch.randint(cut + 1, ())) for _ in range(2))
    pooled = pooled[..., top : top + height - cut, left : left + width - cut]
    return pooled * (1 + _SHAKEN * torch.randn((*pooled.shape[:3], 1, 1), device=pooled.device))


@torch.no_grad()
def _look(model: BPCLIP, images: Tensor) -> Tensor:
    """G_1..G_5, ``(B, 5, D, h, w)`` bfloat16, of ``(B, 3, H, W)`` uint8, sides multiples of 32."""
    model.eval()
    with torch.autocast(images.device.type, torch.bfloat16):
        size = (images.shape[-2], images.shape[-1])
        pooled, _ = model.pool(model.backbone(normalised(images)), None, Extents((size,) * len(images), size))
    # Not float16: nothing bounds what the pooling gives, the attention normalises it.
    return torch.stack(pooled, dim=1).bfloat16()


def _look_at_photographs(model: BPCLIP, scored: Sequence[ScoredPhoto], side: int, quiet: bool) -> list[Seen]:
    reader = PhotoReader(cache_bytes=0)
    seen: list[Seen] = []
    for start in tracked(range(0, len(scored), _AT_ONCE), "whole photographs", quiet):
        photos = scored[start : start + _AT_ONCE]
        pooled = _look(model, torch.stack([whole(reader.read(photo.path), side) for photo in photos]))
        seen += [
            Seen(one, torch.tensor(photo.mos)) for one, photo in zip(pooled.unbind(), photos, strict=True)
        ]
    return seen


def _look_at_groups(model: BPCLIP, groups: Groups, count: int, quiet: bool) -> list[tuple[Tensor, ...]]:
    seen: list[tuple[Tensor, ...]] = []
    for start in tracked(range(0, count, _AT_ONCE), "groups", quiet):
        some = [groups[i] for i in range(start, min(start + _AT_ONCE, count))]
        batch: Group = default_collate(some)
        pooled = _look(model, batch.images.flatten(0, 2)).unflatten(0, (len(some), -1))
        # The crops themselves are not needed any more.
        seen += [(one, torch.empty(0), *group[1:]) for one, group in zip(pooled.unbind(), some, strict=True)]
    return seen
