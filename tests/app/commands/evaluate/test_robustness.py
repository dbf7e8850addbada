"""``iqa evaluate --robustness`` on crops of real photographs, with random weights."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.commands.terminal import SOME_FAILED, UNUSABLE
from models.loading import load_model
from models.training.distortions import DISTORTIONS
from models.training.labels import NAMES
from models.training.robustness import HARMLESS, ORDERED, scored, seed_of, spoilt
from models.training.targets import teachers
from models.vocabulary import PAIRS
from tests.app.command_line import cut_off, invoke, save_photographs
from tests.photographs import named


@dataclass(frozen=True)
class Run:
    """What the command printed and drew of a folder with two photographs and a damaged one."""

    folder: Path
    plot: Path
    status: int
    printed: dict[str, Any]
    complaints: str


@pytest.fixture(scope="module")
def quick_teachers() -> Iterator[None]:
    """One of the measures in place of the two slow ones: that these are right is for other tests to see."""
    with pytest.MonkeyPatch.context() as patch:
        for slow in ("vsi", "cvvdp"):
            patch.setitem(teachers.MEASURES, slow, teachers.MEASURES["haarpsi"])
        yield


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, weights_environment: dict[str, str], quick_teachers: None
) -> Run:
    folder = save_photographs(tmp_path_factory.mktemp("robustness") / "good", "chelsea", "coffee", "rocket")
    cut_off(folder / "rocket.png")
    plot = folder.parent / "new" / "plot.svg"
    arguments = ("--robustness", "--plot", plot, "--json", "--dtype", "float32")
    result = invoke("evaluate", folder, *arguments, environment=weights_environment)
    return Run(folder, plot, result.exit_code, json.loads(result.stdout), result.stderr)


@pytest.mark.slow
def test_a_damaged_photograph_is_left_out_and_named(run: Run) -> None:
    assert run.status == SOME_FAILED
    assert (run.printed["photographs"], run.printed["failed"]) == (2, 1)
    assert f"{run.folder / 'rocket.png'}: The PNG image is truncated or damaged." in run.complaints
    assert "1 could not be scored, 2 were." in run.complaints


@pytest.mark.slow
def test_every_model_has_the_figures_of_its_kind(run: Run) -> None:
    models = run.printed["models"]
    assert list(models) == ["qualiclip", "bpclip", "bpclip-fr"]
    for name, found in models.items():
        assert (found["weights"], found["dtype"]) == (f"{name}-tiny", "float32")
        assert len(found["sha256"]) == 64
        assert list(found["order"]["adjacent"]) == list(found["order"]["worst"]) == list(ORDERED)
        assert 0 <= found["order"]["adjacent_least"] <= found["order"]["adjacent_mean"] <= 1
        low, high = found["order"]["adjacent_interval"]
        assert low <= found["order"]["adjacent_mean"] <= high
    for name in ("qualiclip", "bpclip"):
        assert len(models[name]["words"]["areas"]) == len(PAIRS)
        assert list(models[name]["steadiness"]) == list(HARMLESS)
        assert list(models[name]["curves"]) == list(NAMES)
        assert models[name]["full_reference"] is None
    pairs = models["bpclip-fr"]
    assert pairs["words"] is pairs["steadiness"] is None
    assert list(pairs["curves"]) == list(DISTORTIONS)
    assert list(pairs["full_reference"]["teachers"]["differences"]) == list(DISTORTIONS)


@pytest.mark.slow
def test_the_figures_are_those_of_the_plain_models(run: Run, weights_environment: dict[str, str]) -> None:
    photos = {path.stem: np.array(Image.open(path)) for path in sorted(run.folder.glob("c*.png"))}
    assert list(photos) == ["chelsea", "coffee"]
    images = {
        name: spoilt(photo, "motion-blur", seed_of(name, "motion-blur")) for name, photo in photos.items()
    }
    bpclip = load_model("bpclip", weights_environment["IQA_BPCLIP_WEIGHTS"])
    scores = np.array([[scored(bpclip, image)[0] for image in images[name]] for name in photos])
    found = run.printed["models"]["bpclip"]
    assert list(found["curves"]["motion-blur"]) == ["0", "2", "3", "4", "5"]
    assert list(found["curves"]["motion-blur"].values()) == pytest.approx(scores.mean(axis=0), abs=1e-4)
    mirrored = [scored(bpclip, np.ascontiguousarray(photo[:, ::-1]))[0] for photo in photos.values()]
    assert found["steadiness"]["mirrored"]["largest"] == pytest.approx(
        np.abs(mirrored - scores[:, 0]).max(), abs=1e-4
    )
    pairs = load_model("bpclip-fr", weights_environment["IQA_BPCLIP_FR_WEIGHTS"])
    compared = [[scored(pairs, level, levels[0])[0] for level in levels] for levels in images.values()]
    found = run.printed["models"]["bpclip-fr"]
    assert found["full_reference"]["identical_least"] == pytest.approx(np.min(compared, axis=0)[0], abs=1e-4)
    assert list(found["curves"]["motion-blur"].values()) == pytest.approx(np.mean(compared, axis=0), abs=1e-4)
    wanted = [
        float(teachers.targets(as_tensor(level), as_tensor(levels[0])))
        for levels in images.values()
        for level in levels[1:]
    ]
    differences = np.abs(np.array([row[1:] for row in compared]).ravel() - wanted)
    taught = found["full_reference"]["teachers"]
    assert taught["differences"]["motion-blur"] == pytest.approx(differences.mean(), abs=1e-4)
    assert taught["pairs"] == 2 * sum(6 - each.first_ordered for each in DISTORTIONS.values())


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.slow
def test_the_plot_has_a_panel_for_each_type_and_the_words(run: Run) -> None:
    drawn = run.plot.read_text()
    assert drawn.startswith("<?xml")
    # Text is drawn as outlines; comments say what.
    for text in (*NAMES, "stable/shaky", "qualiclip", "bpclip-fr"):
        assert f"<!-- {text} -->" in drawn


@pytest.mark.slow
def test_the_tables_have_a_row_for_each_type_pair_and_change(
    tmp_path: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "piq", None)
    monkeypatch.delitem(sys.modules, "models.training.targets.teachers")
    monkeypatch.delattr("models.training.targets.teachers")
    folder = save_photographs(tmp_path / "good", "chelsea", "coffee", "rocket")
    result = invoke(
        "evaluate",
        folder,
        "--robustness",
        "--limit",
        "1",
        "--models",
        "bpclip",
        environment=weights_environment,
    )
    assert result.exit_code == 0, result.stderr
    rows = {line.split("  ")[0].strip(): line.split() for line in result.stdout.splitlines()}
    assert {*ORDERED, *(f"{pair.positive}/{pair.negative}" for pair in PAIRS), *HARMLESS} <= set(rows)
    assert "bpclip: adjacent" in result.stdout
    assert "qualiclip" not in result.stdout
    assert rows["95 %"][2:] == ["-"]  # of the words, which come last; one photograph has no interval
    assert "bpclip-fr: identical pairs score" in result.stdout
    # Without piq there are no teachers to ask.
    assert "needs the extra `train`" in result.stderr
    assert "teachers" not in result.stdout


def test_where_nothing_can_be_judged_nothing_is_reported(
    tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    Image.fromarray(named()["coffee"][:60, :200]).save(folder / "small.png")
    plot = tmp_path / "plot.png"
    result = invoke("evaluate", folder, "--robustness", "--plot", plot, environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    assert "small.png: Each side must have at least 64 pixels" in result.stderr
    assert result.stdout == ""
    assert not plot.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--robustness", "--plot", "plot.gif"), "--plot writes .svg, .png and .pdf, not plot.gif."),
        (("--robustness", "--plot", "folder.svg"), "is a folder; --plot names the file to write."),
        (("--robustness", "--scores", "scores.csv"), "--scores, --weights and --out do not apply"),
        (("--robustness", "--weights", "a=1"), "--scores, --weights and --out do not apply"),
        (("--robustness", "--out", "out.csv"), "--scores, --weights and --out do not apply"),
        (("--robustness", "--split", "train"), "holds no photographs of the split train"),
        (("--plot", "plot.svg"), "--plot goes with --robustness."),
        (("--limit", "3"), "--limit goes with --robustness, --policy and --gate."),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: tuple[str, ...],
    reason: str,
    tmp_path: Path,
    weights_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.svg").mkdir()
    folder = save_photographs(tmp_path / "good", "coffee")  # which is held out, by its name
    result = invoke("evaluate", folder, *arguments, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    (sentence,) = result.stderr.splitlines()
    assert reason in sentence


def test_a_plot_without_matplotlib_is_refused_before_the_work(
    tmp_path: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else find(name, *rest)
    )
    folder = save_photographs(tmp_path / "good", "coffee")
    plot = tmp_path / "plot.svg"
    result = invoke("evaluate", folder, "--robustness", "--plot", plot, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    assert "--plot needs matplotlib of the extra `train`" in result.stderr
