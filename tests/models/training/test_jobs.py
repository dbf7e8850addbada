"""Whole trainings with very small heads: they write weights that load, and say what they lack."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.backbones.efficientnet import MEAN, STD
from models.bpclip.model import BPCLIP
from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.saving import save
from models.checkpoints.sources import read
from models.checkpoints.state_dict import stored
from models.facts import encoder_digest
from models.loading import load_model
from models.training import jobs
from models.training.cells import PhotographVariants, WholePhotographs
from models.training.jobs import TrainingJob, run_job
from models.training.optimize import CHECKPOINT, LOG, TrainingError
from models.training.targets import teachers
from tests.models.bpclip.test_model import TINY, TINY_FR
from tests.models.training.small_heads import (
    GOOD,
    OTHERS,
    PAIRS,
    TINY_BPCLIP,
    TINY_BPCLIP_FR,
    TINY_QUALICLIP,
    short,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small heads, small pictures, few features, and quick teachers."""
    monkeypatch.setattr(jobs, "COMPACT", TINY_QUALICLIP)
    monkeypatch.setattr(
        jobs, "compact", lambda full_reference: TINY_BPCLIP_FR if full_reference else TINY_BPCLIP
    )
    monkeypatch.setattr(jobs, "WHOLE", 96)
    monkeypatch.setattr(jobs, "OF_GOOD", GOOD)
    monkeypatch.setattr(jobs, "OF_OTHERS", OTHERS)
    monkeypatch.setattr(jobs, "OTHERS", 4)
    monkeypatch.setattr(jobs, "OF_PAIRS", PAIRS)
    for slow in ("vsi", "cvvdp"):  # the teachers themselves are held by tests of their own
        monkeypatch.setitem(teachers.MEASURES, slow, teachers.MEASURES["haarpsi"])
    for module in ("targets.opinion", "jobs"):  # fewer features
        monkeypatch.setattr(f"models.training.{module}.pooled", _means)


def _means(cells: np.ndarray) -> np.ndarray:
    found: np.ndarray = cells.astype(np.float32).mean(axis=(2, 3))[..., :64]
    return found


@pytest.mark.slow
def test_jobs_write_weights_that_load_and_share_an_encoder(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, Path] = {}
    digests = set()
    for model in ("qualiclip", "bpclip", "bpclip-fr"):
        job = TrainingJob(
            model=model,
            pristine=photo_folder,
            scored=photo_folder,
            unlabeled=photo_folder,
            cells=tmp_path / "cells",
            out=tmp_path / f"{model}.safetensors",
            run=tmp_path / model,
            license="none, a test",
            budget=short(1),
        )
        files[model] = run_job(job, quiet=True)
        loaded = load_model(model, str(files[model]))
        assert loaded.metadata.license == "none, a test"
        assert "digest" in loaded.metadata.training_data
        assert loaded.metadata.temperature == 10.0
        assert (loaded.metadata.preprocessing.mean, loaded.metadata.preprocessing.std) == (MEAN, STD)
        assert loaded.metadata.preprocessing.longest_side == 768
        assert {path.name for path in (tmp_path / model).iterdir()} == {CHECKPOINT, LOG}
        digests.add(encoder_digest(loaded.module))
        # From here on all is in the cache, but for the pairs, which only the last one looks at.
        for pictures in (WholePhotographs, PhotographVariants) if model == "qualiclip" else ():
            monkeypatch.setattr(pictures, "make", lambda *_: pytest.fail("looked at again"))
        if model == "bpclip":
            monkeypatch.undo()
            shrink(monkeypatch)
    assert len(digests) == 1


@pytest.mark.slow
def test_a_training_that_is_done_writes_its_weights_once_more(photo_folder: Path, tmp_path: Path) -> None:
    job = TrainingJob("qualiclip", photo_folder, tmp_path / "first", tmp_path / "run", short(1))
    first = read(run_job(job, quiet=True), "qualiclip")
    assert "without any score" not in first.metadata.training_data
    again = read(run_job(replace(job, out=tmp_path / "again"), quiet=True), "qualiclip")
    assert all(torch.equal(again.tensors[key], value) for key, value in first.tensors.items())


@pytest.mark.slow
def test_full_reference_goes_on_from_its_own_weights(photo_folder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.safetensors"
    torch.manual_seed(3)
    network = BPCLIP(TINY_BPCLIP_FR, 10.0)
    about = load_model("bpclip-fr").metadata.model_copy(update={"architecture": TINY_BPCLIP_FR.as_metadata()})
    save(first, stored(network.state_dict()), about)
    job = TrainingJob("bpclip-fr", photo_folder, tmp_path / "out", tmp_path / "run", short(1), init=first)
    # One step moves little: what was begun from is still to be seen, also where bpclip has no such part.
    found = read(run_job(job, quiet=True), "bpclip-fr").tensors["pooling.0.project.0.weight"]
    torch.testing.assert_close(found.float(), network.pooling[0].project[0].weight, atol=5e-3, rtol=0)


def test_weights_with_another_encoder_are_not_begun_from(photo_folder: Path, tmp_path: Path) -> None:
    for model, config in (("bpclip", TINY), ("bpclip-fr", TINY_FR)):
        start = tmp_path / f"{model}.safetensors"
        about = load_model(model).metadata.model_copy(update={"architecture": config.as_metadata()})
        save(start, stored(BPCLIP(config, 10.0).state_dict()), about)
        job = TrainingJob(
            model, photo_folder, tmp_path / "out", tmp_path / "run", short(1), photo_folder, start
        )
        with pytest.raises(TrainingError, match="through resnet, this architecture through efficientnet"):
            run_job(job, quiet=True)


def test_jobs_say_what_they_lack(photo_folder: Path, tmp_path: Path) -> None:
    job = TrainingJob("bpclip", photo_folder, tmp_path / "out", tmp_path / "run", short(1))
    with pytest.raises(TrainingError, match="needs a folder of photographs with scores"):
        run_job(job, quiet=True)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(WeightsInvalid):
        run_job(replace(job, model="bpclip-fr", init=tmp_path / "junk"), quiet=True)
