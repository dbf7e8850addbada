"""Very small heads on the real encoder, and what they learn from."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.bpclip.model import BPCLIP, compact
from models.qualiclip.model import QualiCLIP, QualiCLIPConfig
from models.training.batches import PairBatches, RatedBatches, VariantBatches, any_two, of_every_kind
from models.training.cells import CellEncoder, PairEncoder, PhotographVariants, WholePhotographs, look_at
from models.training.encoder import imagenet_encoder
from models.training.heads.bpclip import BPCLIPHeadRecipe
from models.training.heads.bpclip_fr import FullReferenceRecipe
from models.training.heads.qualiclip import QualiCLIPHeadRecipe
from models.training.optimize import LOG, TrainingBudget
from models.training.photos import list_scored

TINY_QUALICLIP = QualiCLIPConfig(
    embed_dim=16, head_width=16, text_layers=0, encoder="efficientnet-lite0", token_width=32
)
TINY_BPCLIP = replace(compact(full_reference=False), inner_width=16, text_width=12, mask_width=4)
TINY_BPCLIP_FR = replace(TINY_BPCLIP, full_reference=True)
GOOD: dict[str, Any] = {"side": 96, "chains": 3, "parts": 1, "compounds": 1, "ladders": ("gain",)}
OTHERS: dict[str, Any] = {"side": 96, "chains": 1, "parts": 1, "compounds": 0}
PAIRS: dict[str, Any] = {"side": 96, "chains": 2, "parts": 0, "compounds": 0}


def small_cells(photo_folder: Path, kept: Path) -> tuple[RatedBatches, VariantBatches, VariantBatches]:
    """Rated photographs, variants of good ones, variants of others: three photographs each."""
    encoder = imagenet_encoder()
    scored = list_scored(photo_folder)[:3]
    paths = tuple(photo.path for photo in scored)
    look = CellEncoder(encoder)
    whole = look_at(WholePhotographs(paths, side=96), look, kept, quiet=True)
    batches = []
    for good, counts in ((True, GOOD), (False, OTHERS)):
        pictures = PhotographVariants(paths, good=good, **counts)
        cells = look_at(pictures, look, kept, quiet=True)
        choice = of_every_kind if good else any_two
        batches.append(VariantBatches(cells, pictures.plans, choice, good=good, batch=2))
    return RatedBatches(whole, [photo.mos for photo in scored], batch=3), batches[0], batches[1]


def small_pairs(photo_folder: Path, kept: Path) -> PairBatches:
    """Pairs of three photographs, each worth the less the later its variant comes."""
    paths = tuple(photo.path for photo in list_scored(photo_folder)[:3])
    pictures = PhotographVariants(paths, good=True, **PAIRS)
    cells = look_at(pictures, PairEncoder(imagenet_encoder()), kept, quiet=True)
    targets = torch.linspace(1, 0, cells.shape[1]).expand(3, -1)
    return PairBatches(cells, pictures.plans, targets, batch=2, rows=3)


Cells = tuple[RatedBatches, VariantBatches, VariantBatches]


def small_qualiclip(cells: Cells, *, rated: bool = True) -> QualiCLIPHeadRecipe:
    torch.manual_seed(0)
    network = QualiCLIP(TINY_QUALICLIP, 10.0)
    network.visual.lite.load_state_dict(imagenet_encoder().state_dict())  # type: ignore[union-attr]
    if not rated:
        return QualiCLIPHeadRecipe(network, cells[1])
    return QualiCLIPHeadRecipe(network, cells[1], cells[2], rated=cells[0])


def small_bpclip(cells: Cells) -> BPCLIPHeadRecipe:
    torch.manual_seed(0)
    network = BPCLIP(TINY_BPCLIP, 10.0)
    network.backbone.lite.load_state_dict(imagenet_encoder().state_dict())
    return BPCLIPHeadRecipe(network, *cells, tokens=5)


def small_bpclip_fr(pairs: PairBatches) -> FullReferenceRecipe:
    torch.manual_seed(0)
    network = BPCLIP(TINY_BPCLIP_FR, 10.0)
    network.backbone.lite.load_state_dict(imagenet_encoder().state_dict())
    return FullReferenceRecipe(network, pairs, tokens=5)


def short(steps: int, **changes: object) -> TrainingBudget:
    """So many steps, prepared in this process."""
    return replace(TrainingBudget(minutes=1e9, steps=steps, workers=0), **changes)  # type: ignore[arg-type]


def losses(run: Path) -> list[float]:
    """The loss of every step."""
    with (run / LOG).open() as file:
        return [sum(float(value) for value in row[3:]) for row in list(csv.reader(file))[1:]]
