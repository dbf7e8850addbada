"""The recipes and the loop on very small models: they learn, go on once interrupted, write weights."""

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from models.bpclip import BPCLIP
from models.loading import load_model
from models.qualiclip import QualiCLIP, QualiCLIPConfig
from models.ragged import Extents
from models.state import stored
from models.training import runs
from models.training.bpclip import NoReferenceRecipe, normalised
from models.training.bpclip_fr import FullReferenceRecipe, calibrate
from models.training.loop import CHECKPOINT, LOG, Budget, TrainingError, one_cycle, train
from models.training.photos import PhotoReader, list_photos, list_scored
from models.training.prompts import settle_prompts
from models.training.qualiclip import QualiCLIPRecipe
from models.training.runs import Job, run_job
from models.training.samples import Snapshots, whole
from models.training.whole import WholePhotographsRecipe
from models.training.words import settle_words
from models.weights import WeightsInvalid, read, save
from tests.models.test_bpclip import TINY, TINY_FR

TINY_QUALICLIP = QualiCLIPConfig(embed_dim=16, layers=(1, 1, 1, 1), width=8, head_width=64, text_layers=0)


def short(steps: int, **changes: object) -> Budget:
    return replace(Budget(minutes=60, steps=steps, workers=0), **changes)  # type: ignore[arg-type]


def losses(run: Path) -> list[float]:
    with (run / LOG).open() as file:
        return [sum(float(value) for value in row[3:]) for row in list(csv.reader(file))[1:]]


def _small_full_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small crops, and few pairs for the last bias: the teachers take their time."""
    monkeypatch.setattr(
        "models.training.bpclip_fr.FullReferenceRecipe", partial(FullReferenceRecipe, crop=64)
    )
    monkeypatch.setattr("models.training.bpclip_fr.calibrate", partial(calibrate, pairs=12))


def quali(photo_folder: Path) -> QualiCLIPRecipe:
    torch.manual_seed(0)
    return QualiCLIPRecipe(QualiCLIP(TINY_QUALICLIP, 10.0), list_photos(photo_folder), crop=64, groups=2)


@pytest.mark.parametrize("kind", ["qualiclip", "qualiclip-rated", "bpclip-faults", "bpclip", "bpclip-fr"])
def test_every_recipe_trains_its_model(kind: str, photo_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pristine = list_photos(photo_folder)
    if kind == "qualiclip":
        recipe = quali(photo_folder)
    elif kind == "qualiclip-rated":
        network = QualiCLIP(TINY_QUALICLIP, 10.0)
        rated = Snapshots(pristine, crop=96, scale_of=4)
        recipe = QualiCLIPRecipe(network, pristine, rated, crop=64, groups=2, batch=4)
    elif kind.startswith("bpclip") and kind != "bpclip-fr":
        scored = list_scored(photo_folder) if kind == "bpclip" else []
        recipe = NoReferenceRecipe(
            BPCLIP(TINY, 10.0), scored, pristine, crop=96, batch=4, fault_crop=64, groups=2
        )
    else:
        recipe = FullReferenceRecipe(BPCLIP(TINY_FR, 10.0), pristine, crop=64, batch=4)
    before = {key: value.clone() for key, value in recipe.model.state_dict().items()}
    averaged = train(recipe, short(4), tmp_path, quiet=True)
    after = averaged.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    norms = [name for name in before if name.endswith("running_mean")]
    moved = [name for name in norms if not torch.equal(before[name], recipe.model.state_dict()[name])]
    assert moved == (norms if kind in {"qualiclip", "bpclip-faults"} else []), (
        "batch norm learns with faults only"
    )
    learned = [name for name, p in recipe.model.named_parameters() if p.requires_grad]
    changed = [name for name in learned if not torch.equal(before[name], after[name])]
    # The key bias of the pooling changes no output and gets no gradient; nor may an offset, of order alone.
    without_gradient = {"visual.attnpool.k_proj.bias"}
    if kind == "bpclip-faults":
        without_gradient |= {"regressor.0.bias", "regressor.2.bias"}
    assert set(learned) - set(changed) <= without_gradient
    assert len(losses(tmp_path)) == 4


def test_whole_photographs_teach_only_what_follows_the_pooling(photo_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = BPCLIP(TINY, 10.0).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    scored = list_scored(photo_folder)
    recipe = WholePhotographsRecipe(
        network,
        scored,
        list_photos(photo_folder),
        side=128,
        batch=len(scored),
        groups=2,
        kept_groups=6,
        fault_crop=64,
        quiet=True,
    )
    averaged = train(recipe, short(40, learning_rate=1e-2), tmp_path, quiet=True)
    after = averaged.state_dict()
    moved = {key.split(".")[0] for key in after if not torch.equal(after[key], before[key])}
    assert moved == {"position", "levels", "text_features", "regressor"}
    with (tmp_path / LOG).open() as file:
        rows = list(csv.DictReader(file))
    mse = [float(row["mse"]) for row in rows]
    assert sum(mse[-5:]) < 0.8 * sum(mse[:5])


def test_what_the_pooling_gives_may_be_large(photo_folder: Path) -> None:
    torch.manual_seed(0)
    network = BPCLIP(TINY, 10.0).eval()
    with torch.no_grad():
        for pooling in network.pooling:
            pooling.project[0].weight.mul_(1e8)
    scored = list_scored(photo_folder)[:2]
    recipe = WholePhotographsRecipe(
        network, scored, list_photos(photo_folder), side=64, kept_groups=1, fault_crop=64, quiet=True
    )
    pooled, _ = recipe.datasets[1][0]
    assert torch.isfinite(pooled).all()
    assert pooled.max() > torch.finfo(torch.float16).max


def test_what_was_seen_of_a_whole_photograph_is_what_the_model_sees(photo_folder: Path) -> None:
    torch.manual_seed(0)
    network = BPCLIP(TINY, 10.0).eval()
    scored = list_scored(photo_folder)[:2]
    recipe = WholePhotographsRecipe(
        network, scored, list_photos(photo_folder), side=128, kept_groups=1, fault_crop=64, quiet=True
    )
    picture = whole(PhotoReader().read(scored[0].path), 128)
    with torch.no_grad():
        expected = network.embed(normalised(picture[None]))
        kept = [recipe.datasets[1][i] for i in range(2)]
        (found,) = (
            network.attend(seen.pooled[None].float().unbind(1), Extents(((4, 4),), (4, 4)))
            for seen in kept
            if seen.mos == torch.tensor(scored[0].mos)
        )
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.05)  # one is in half precision


@pytest.mark.slow
def test_repetition_makes_better(photo_folder: Path, tmp_path: Path) -> None:
    recipe = NoReferenceRecipe(BPCLIP(TINY, 10.0), [], list_photos(photo_folder), fault_crop=64, groups=12)
    train(recipe, short(60, learning_rate=3e-3), tmp_path, quiet=True)
    found = losses(tmp_path)
    assert sum(found[-10:]) < 0.9 * sum(found[:10])


def test_an_interrupted_training_ends_where_an_unbroken_one_does(photo_folder: Path, tmp_path: Path) -> None:
    unbroken = train(quali(photo_folder), short(4, minutes=1e9), tmp_path / "a", quiet=True)
    interrupted = quali(photo_folder)
    calls = 0
    loss = interrupted.loss

    def fails_at_the_third(parts):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return loss(parts)

    interrupted.loss = fails_at_the_third  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(interrupted, short(4, minutes=1e9), tmp_path / "b", quiet=True)
    resumed = train(quali(photo_folder), short(4, minutes=1e9), tmp_path / "b", quiet=True)
    for key, value in unbroken.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=1e-3, atol=1e-4)
    assert len(losses(tmp_path / "b")) == 4


def test_a_checkpoint_of_something_else_is_refused(photo_folder: Path, tmp_path: Path) -> None:
    train(quali(photo_folder), short(1), tmp_path, quiet=True)
    other = quali(photo_folder)
    other.name = "other"
    with pytest.raises(TrainingError, match="checkpoint of qualiclip, not of other"):
        train(other, short(2), tmp_path, quiet=True)
    (tmp_path / CHECKPOINT).write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="damaged; remove it"):
        train(quali(photo_folder), short(2), tmp_path, quiet=True)


def test_the_learning_rate_rises_and_falls_once() -> None:
    rates = [one_cycle(i / 1000) for i in range(1001)]
    peak = rates.index(max(rates))
    assert 0.04 < peak / 1000 < 0.06
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] < 0.05
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_jobs_write_weights_that_load(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "COMPACT", TINY_QUALICLIP)
    monkeypatch.setattr(runs, "QualiCLIPRecipe", partial(QualiCLIPRecipe, crop=64, groups=2, batch=2))
    monkeypatch.setattr(
        runs, "NoReferenceRecipe", partial(NoReferenceRecipe, crop=96, batch=2, fault_crop=64, groups=2)
    )
    monkeypatch.setattr(runs, "compact", lambda full_reference: TINY_FR if full_reference else TINY)
    monkeypatch.setattr(
        runs,
        "WholePhotographsRecipe",
        partial(WholePhotographsRecipe, side=96, batch=2, groups=2, kept_groups=3, fault_crop=64),
    )
    monkeypatch.setattr(runs, "settle_words", partial(settle_words, photographs=1))
    monkeypatch.setattr("models.training.prompts._SIDE", 96)
    monkeypatch.setattr(runs, "settle_prompts", partial(settle_prompts, photographs=1, snapshots=2))
    _small_full_reference(monkeypatch)
    budget = short(1)
    files = {}
    for model in ("qualiclip", "bpclip", "bpclip-fr"):
        job = Job(
            model=model,
            pristine=photo_folder,
            scored=photo_folder,
            unlabelled=photo_folder,
            out=tmp_path / f"{model}.safetensors",
            run=tmp_path / model,
            init=files.get("bpclip") if model == "bpclip-fr" else None,
            license="none, a test",
            budget=budget,
        )
        files[model] = run_job(job, quiet=True)
        loaded = load_model(model, str(files[model]))
        assert loaded.metadata.license == "none, a test"
        assert "digest" in loaded.metadata.training_data
        assert loaded.metadata.temperature == 10.0
    assert {path.name for path in (tmp_path / "bpclip").iterdir()} == {"pretraining", "crops", "whole"}
    assert {path.name for path in (tmp_path / "qualiclip").iterdir()} == {CHECKPOINT, LOG, "pretraining"}
    # Full-reference begins from no-reference: what both have is taken over, and batch norm stays as it was.
    first, second = read(files["bpclip"], "bpclip").tensors, read(files["bpclip-fr"], "bpclip-fr").tensors
    assert torch.equal(first["backbone.resnet.bn1.running_var"], second["backbone.resnet.bn1.running_var"])


def test_full_reference_goes_on_from_its_own_weights(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "compact", lambda full_reference: TINY_FR)
    _small_full_reference(monkeypatch)
    first = tmp_path / "first.safetensors"
    torch.manual_seed(3)
    network = BPCLIP(TINY_FR, 10.0)
    about = load_model("bpclip-fr").metadata.model_copy(update={"architecture": TINY_FR.as_metadata()})
    save(first, stored(network.state_dict()), about)
    job = Job("bpclip-fr", photo_folder, tmp_path / "out", tmp_path / "run", short(1), init=first)
    # One step moves little: what was begun from is still to be seen, also where bpclip has no such part.
    found = read(run_job(job, quiet=True), "bpclip-fr").tensors["pooling.0.project.0.weight"]
    torch.testing.assert_close(found.float(), network.pooling[0].project[0].weight, atol=5e-3, rtol=0)


def test_jobs_say_what_they_lack(photo_folder: Path, tmp_path: Path) -> None:
    job = Job("bpclip", photo_folder, tmp_path / "out", tmp_path / "run", short(1))
    with pytest.raises(TrainingError, match="needs a folder of photographs with scores"):
        run_job(job, quiet=True)
    with pytest.raises(TrainingError, match="begins from weights of bpclip"):
        run_job(replace(job, model="bpclip-fr"), quiet=True)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(WeightsInvalid):
        run_job(replace(job, model="bpclip-fr", init=tmp_path / "junk"), quiet=True)
