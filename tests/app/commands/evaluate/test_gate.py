"""``iqa evaluate --gate`` on crops of real photographs, with random weights and with a made-up judge."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.commands import terminal
from app.commands.terminal import SOME_FAILED, UNUSABLE
from app.scoring.panel import Panel
from models.loading import load_model
from models.preprocessing import Pixels
from models.training.robustness import (
    VARIANTS,
    GateOutcome,
    Opinion,
    Opinions,
    broken,
    images_of_variants,
    scored,
    variants_of,
)
from tests.app.command_line import cut_off, invoke, save_photographs

MODELS = ["qualiclip", "bpclip"]
ZEROS = (0.0,) * 40


@dataclass(frozen=True)
class Run:
    """What the command printed of a folder with two photographs and a damaged one."""

    folder: Path
    status: int
    printed: dict[str, Any]
    complaints: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, weights_environment: dict[str, str]) -> Run:
    folder = save_photographs(tmp_path_factory.mktemp("gate") / "good", "chelsea", "coffee", "rocket")
    cut_off(folder / "rocket.png")
    arguments = ("--gate", "--json", "--dtype", "float32")
    result = invoke("evaluate", folder, *arguments, environment=weights_environment)
    return Run(folder, result.exit_code, json.loads(result.stdout), result.stderr)


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model keeps every bound."""
    answer_by(monkeypatch, lambda variant: 0.9 if variant.bound == "difference" else 0.1)


def answer_by(monkeypatch: pytest.MonkeyPatch, score: Callable[[Any], float]) -> None:
    """Gives untouched photographs the score 0.9 by every model, and each variant its own."""

    def judge(
        panel: Panel, pictures: Sequence[Pixels], reference: Pixels | None, advance: Callable[[int], None]
    ) -> list[Opinions]:
        assert reference is None
        advance(len(pictures))
        scores = [0.9, *(score(variant) for variant in VARIANTS)]
        assert len(scores) == len(pictures)
        return [{name: Opinion(each, ZEROS) for name in panel.names} for each in scores]

    monkeypatch.setattr(Panel, "judge", judge)


def test_a_damaged_photograph_is_left_out_and_named(run: Run) -> None:
    assert run.status == SOME_FAILED
    assert (run.printed["photographs"], run.printed["failed"]) == (2, 1)
    assert f"{run.folder / 'rocket.png'}: The PNG image is truncated or damaged." in run.complaints
    assert "1 could not be scored, 2 were." in run.complaints


def test_every_no_reference_model_has_an_outcome_of_every_variant(run: Run) -> None:
    assert list(run.printed["models"]) == MODELS
    assert (run.printed["folder"], run.printed["split"]) == (str(run.folder), "all")
    for name, found in run.printed["models"].items():
        assert (found["weights"], found["dtype"]) == (f"{name}-tiny", "float32")
        assert len(found["sha256"]) == 64
        assert list(found["variants"]) == [variant.name for variant in VARIANTS]
        for variant in VARIANTS:
            outcome = found["variants"][variant.name]
            assert list(outcome) == [field.name for field in fields(GateOutcome)]
            assert outcome["photographs"] == 2
            assert outcome["share"] == outcome["as_good"] / 2
            assert (outcome["bound"], outcome["most"]) == (variant.bound, variant.most)
            assert (outcome["difference"] is None) == (variant.bound == "share")


def test_every_broken_bound_is_a_sentence(run: Run) -> None:
    assert run.printed["kept"] is False  # random weights cannot keep them
    found = {
        name: {variant: GateOutcome(**outcome) for variant, outcome in model["variants"].items()}
        for name, model in run.printed["models"].items()
    }
    assert run.printed["broken"] == broken(found) != []
    assert set(run.printed["broken"]) <= set(run.complaints.splitlines())


def test_the_outcomes_are_those_of_the_plain_models(run: Run, weights_environment: dict[str, str]) -> None:
    bpclip = load_model("bpclip", weights_environment["IQA_BPCLIP_WEIGHTS"])
    found = run.printed["models"]["bpclip"]["variants"]
    photos = {path.stem: np.array(Image.open(path)) for path in sorted(run.folder.glob("c*.png"))}
    assert list(photos) == ["chelsea", "coffee"]
    untouched = np.array([scored(bpclip, photo)[0] for photo in photos.values()])
    made = [variants_of(photo, name) for name, photo in photos.items()]
    checked = 0
    for variant in VARIANTS:
        scores = np.array([scored(bpclip, each[variant.name])[0] for each in made])
        if variant.bound == "difference":
            mean = np.abs(scores - untouched).mean()
            assert found[variant.name]["difference"] == pytest.approx(mean, abs=1e-5)
        if (np.abs(scores - untouched) > 1e-5).all():  # else the order is a matter of the last digits
            assert found[variant.name]["as_good"] == (scores > untouched).sum()
            checked += 1
    assert checked > len(VARIANTS) / 2


@pytest.mark.usefixtures("keep")
def test_the_status_is_0_where_every_bound_is_kept(
    tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    folder = save_photographs(tmp_path / "good", "chelsea", "coffee")
    result = invoke("evaluate", folder, "--gate", "--json", environment=weights_environment)
    assert result.exit_code == 0
    assert result.stderr == ""
    printed = json.loads(result.stdout)
    assert (printed["kept"], printed["broken"], printed["photographs"]) == (True, [], 2)
    assert printed["models"]["bpclip"]["variants"]["jpeg 95"] == asdict(
        GateOutcome(2, 2, 1.0, 0.0, "difference", 0.02, True)
    )


@pytest.mark.parametrize("bound", ["share", "difference"])
def test_the_status_is_1_where_one_bound_is_broken(
    bound: str, tmp_path: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = next(each for each in VARIANTS if each.bound == bound)
    kept = {"share": 0.1, "difference": 0.9}
    violated = {"share": 0.9, "difference": 0.1}
    answer_by(monkeypatch, lambda each: (violated if each is variant else kept)[each.bound])
    folder = save_photographs(tmp_path / "good", "chelsea", "coffee")
    result = invoke("evaluate", folder, "--gate", environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    sentences = result.stderr.splitlines()
    assert [sentence.partition(":")[0] for sentence in sentences] == MODELS
    assert all(variant.name in sentence and f"{variant.most:g}" in sentence for sentence in sentences)
    assert "No bound is broken." not in result.stdout


@pytest.mark.usefixtures("keep")
def test_the_table_has_a_row_with_its_bound_for_each_variant(
    tmp_path: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "piq", None)  # the gate has to do without it
    folder = save_photographs(tmp_path / "good", "chelsea", "coffee")
    arguments = ("--gate", "--limit", "1", "--models", "bpclip")
    result = invoke("evaluate", folder, *arguments, environment=weights_environment)
    assert result.exit_code == 0, result.stderr
    rows = {line.split("  ")[0].strip(): line for line in result.stdout.splitlines()}
    for variant in VARIANTS:
        row = rows[variant.name]
        assert variant.limit in row
        assert "1 of 1 (100.0 %)  " in row if variant.bound == "difference" else "0 of 1 (0.0 %)  " in row
        assert row.split()[-1] == ("0.0000" if variant.bound == "difference" else "-")
    assert "qualiclip" not in result.stdout
    assert "No bound is broken." in result.stdout


@pytest.mark.usefixtures("keep")
def test_progress_is_not_on_standard_output(
    tmp_path: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_LINE_EVERY_S", 0.0)
    folder = save_photographs(tmp_path / "good", "chelsea", "coffee")
    result = invoke("evaluate", folder, "--gate", "--json", environment=weights_environment)
    effort = images_of_variants()
    assert f"judging: {effort} of {2 * effort} images" in result.stderr
    assert f"judging: {2 * effort} of {2 * effort} images" in result.stderr
    assert "judging" not in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert json.loads(result.stdout)["kept"] is True


@pytest.mark.usefixtures("keep")
def test_where_photographs_are_left_out_the_status_is_1_though_bounds_are_kept(
    tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    folder = save_photographs(tmp_path / "good", "chelsea", "coffee")
    cut_off(folder / "coffee.png")
    result = invoke("evaluate", folder, "--gate", "--json", environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    assert "1 could not be scored, 1 were." in result.stderr
    assert json.loads(result.stdout)["kept"] is True


def test_where_nothing_can_be_judged_no_bound_is_kept(
    tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    folder = save_photographs(tmp_path / "good", "coffee")
    cut_off(folder / "coffee.png")
    result = invoke("evaluate", folder, "--gate", environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    assert "coffee.png: The PNG image is truncated or damaged." in result.stderr
    assert result.stdout == ""
    result = invoke("evaluate", folder, "--gate", "--json", environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    printed = json.loads(result.stdout)
    assert (printed["kept"], printed["broken"], printed["models"]) == (False, [], {})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--gate", "--robustness"), "--robustness and --gate are two questions; ask one at a time."),
        (("--gate", "--policy", "upload"), "--policy and --gate are two questions; ask one at a time."),
        (("--gate", "--plot", "plot.svg"), "--plot goes with --robustness."),
        (("--gate", "--scores", "scores.csv"), "With --gate there are no people's scores"),
        (("--gate", "--weights", "a=1"), "With --gate there are no people's scores"),
        (("--gate", "--out", "out.csv"), "With --gate there are no people's scores"),
        (("--gate", "--split", "train"), "holds no photographs of the split train"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: tuple[str, ...], reason: str, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    folder = save_photographs(tmp_path / "good", "coffee")  # which is held out, by its name
    result = invoke("evaluate", folder, *arguments, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    (sentence,) = result.stderr.splitlines()
    assert reason in sentence
