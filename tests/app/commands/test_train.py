"""``iqa train``: a short training for real, and what stops one."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import models.training.jobs
from app.commands.terminal import INTERRUPTED, UNUSABLE
from models.training.encoder import imagenet_encoder, standardized_on
from models.training.photos import DataError, list_photos
from tests.app.command_line import invoke, save_crops, start


@pytest.fixture
def pristine(tmp_path: Path) -> Path:
    """A folder of good photographs."""
    save_crops(tmp_path / "pristine", 6, (256, 256))
    return tmp_path / "pristine"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The trainings that were asked for, none of which is run."""
    asked: list[Any] = []
    monkeypatch.setattr(models.training.jobs, "run_job", lambda job, quiet: asked.append(job))
    return asked


@pytest.mark.process
@pytest.mark.slow
def test_a_training_writes_weights_that_score(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"side": 96, "chains": 3, "parts": 1, "compounds": 1}
    monkeypatch.setattr(models.training.jobs, "OF_GOOD", small)
    out, run = tmp_path / "weights" / "mine.safetensors", tmp_path / "run"
    arguments = (
        "--pristine",
        pristine,
        "--out",
        out,
        "--run",
        run,
        "--minutes",
        5,
        "--steps",
        1,
        "--workers",
        0,
    )
    result = invoke("train", "qualiclip", *arguments, "--device", "cpu", "--license", "MIT", "--seed", 3)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{out}\n"
    assert (run / "log.csv").is_file()
    card = json.loads(invoke("weights", "inspect", out, "--json").stdout)
    assert (card["model"], card["license"]) == ("qualiclip", "MIT")
    assert "seed 3" in card["source"]
    result = invoke(
        "score", pristine / "000.jpg", "--models", "qualiclip", "--qualiclip-weights", out, "--json"
    )
    assert 0 <= json.loads(result.stdout)["score"] <= 1


def test_flags_make_the_job(jobs: list[Any], pristine: Path, tmp_path: Path, weights_folder: Path) -> None:
    out, scored = tmp_path / "mine.safetensors", tmp_path / "scored"
    start_weights = weights_folder / "bpclip.safetensors"
    result = invoke(
        *("train", "bpclip-fr", "--pristine", pristine, "--scored", scored, "--out", out, "--minutes", 1.5),
        *("--steps", 7, "--seed", 5, "--init", start_weights, "--workers", 2, "--device", "cpu"),
        *("--cells", tmp_path / "cells"),
    )
    assert result.exit_code == 0, result.stderr
    (job,) = jobs
    assert (job.model, job.pristine, job.scored, job.out) == ("bpclip-fr", pristine, scored, out)
    assert (job.run, job.init, job.seed, job.license) == (
        Path("runs/bpclip-fr"),
        start_weights,
        5,
        "not stated",
    )
    assert job.cells == tmp_path / "cells"
    budget = job.budget
    assert (budget.minutes, budget.steps, budget.workers, budget.device) == (1.5, 7, 2, "cpu")


def test_bundled_weights_to_begin_from_are_those_of_the_slot(jobs: list[Any], tmp_path: Path) -> None:
    for model in ("qualiclip", "bpclip", "bpclip-fr"):
        arguments = ("--pristine", tmp_path, "--out", tmp_path / "x", "--minutes", 1, "--init", "bundled")
        assert invoke("train", model, *arguments).exit_code == 0
    assert [job.init.name.removesuffix("-compact.safetensors") for job in jobs] == [
        "qualiclip",
        "bpclip",
        "bpclip-fr",
    ]


def test_scores_of_ones_own_are_learned_from_the_bundled_weights_on(jobs: list[Any], tmp_path: Path) -> None:
    always = ("--out", tmp_path / "x", "--minutes", 1)
    result = invoke("train", "bpclip-fr", "--pairs", "pairs.csv", "--scale", "100,0", *always)
    assert result.exit_code == 0, result.stderr
    assert invoke("train", "bpclip", "--scored", tmp_path, *always).exit_code == 0
    assert [job.init.name for job in jobs] == ["bpclip-fr-compact.safetensors", "bpclip-compact.safetensors"]
    assert [job.pristine for job in jobs] == [None, None]
    assert (jobs[0].pairs, jobs[0].scale, jobs[0].run) == (
        Path("pairs.csv"),
        (100.0, 0.0),
        Path("runs/bpclip-fr-own"),
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("qualiclip",), "Training needs --pristine, or people's scores"),
        (("bpclip", "--pairs", "x.csv"), "--pairs is for bpclip-fr"),
        (("bpclip-fr", "--pairs", "x.csv", "--pristine", "."), "leave out --pristine"),
        (("bpclip-fr", "--pairs", "x.csv", "--scale", "5,5"), "--scale takes two numbers"),
        (("bpclip", "--scored", ".", "--scale", "1,5"), "--scale goes with --pairs"),
    ],
)
def test_what_cannot_be_combined_is_one_sentence(
    arguments: tuple[str, ...], reason: str, jobs: list[Any], tmp_path: Path
) -> None:
    result = invoke("train", *arguments, "--out", tmp_path / "x", "--minutes", 1)
    assert result.exit_code == UNUSABLE
    assert reason in result.stderr
    assert jobs == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("bpclip",), "needs a folder of photographs with scores"),
        (("qualiclip", "--pristine", "nowhere"), "There is no folder nowhere"),
        (("qualiclip", "--init", "nowhere"), "There is no weights file at nowhere"),
        (("qualiclip", "--device", "cuda:99"), "cuda:99 was asked for"),
        (("qualiclip", "--out", "."), "is a folder; --out names the file to write"),
    ],
)
def test_what_stops_a_training_is_one_sentence(
    arguments: tuple[str, ...], reason: str, pristine: Path, tmp_path: Path
) -> None:
    model, *flags = arguments
    always = ("--pristine", pristine, "--out", tmp_path / "x", "--run", tmp_path / "run", "--minutes", 1)
    result = invoke("train", model, *always, *flags)
    assert result.exit_code == UNUSABLE
    assert reason in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_without_the_extra_it_is_said_what_to_install(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("heads.bpclip_fr", "targets.teachers"):
        monkeypatch.delitem(sys.modules, f"models.training.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "piq", None)
    where = ("--pristine", pristine, "--out", tmp_path / "x", "--run", tmp_path / "run")
    result = invoke("train", "bpclip-fr", *where, "--minutes", 1)
    assert result.exit_code == UNUSABLE
    assert "pip install 'iqa-service[train]'" in result.stderr


@pytest.mark.process
@pytest.mark.slow
def test_a_damaged_photograph_met_by_a_helper_process_is_one_sentence(pristine: Path, tmp_path: Path) -> None:
    photographs, run = list_photos(pristine), tmp_path / "run"
    standardized_on(imagenet_encoder(), photographs, kept=run / "cells", quiet=True)
    for path in photographs:  # names and sizes are the same, so these are taken for the same data
        path.write_bytes(bytes(path.stat().st_size))
    process = start(
        *("train", "qualiclip", "--pristine", pristine, "--out", tmp_path / "x", "--run", run),
        *("--minutes", 5, "--workers", 1, "--device", "cpu"),
        environment={},
    )
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output) == (UNUSABLE, "")
    assert "Traceback" not in errors
    assert errors.rstrip().endswith(".jpg cannot be decoded.")
    assert len(errors.splitlines()) == 2


def test_an_interrupt_says_how_to_go_on(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(job: object, quiet: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models.training.jobs, "run_job", interrupted)
    result = invoke("train", "qualiclip", "--pristine", pristine, "--out", tmp_path / "x", "--minutes", 1)
    assert result.exit_code == INTERRUPTED
    assert "the same command goes on" in result.stderr


def test_a_sentence_that_is_not_from_a_helper_is_left_as_it_is(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(job: object, quiet: bool) -> None:
        raise DataError("The folder: holds nothing.")

    monkeypatch.setattr(models.training.jobs, "run_job", fails)
    result = invoke("train", "qualiclip", "--pristine", pristine, "--out", tmp_path / "x", "--minutes", 1)
    assert result.stderr.splitlines()[-1] == "The folder: holds nothing."
