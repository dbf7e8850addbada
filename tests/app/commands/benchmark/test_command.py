"""``iqa benchmark`` on folders laid out as the published data sets are, with random weights."""

import csv
from pathlib import Path
from typing import Any

import pytest

from app.bulk.part_file import part_of
from app.commands.benchmark.command import DatasetName
from app.commands.benchmark.journal import Journal
from app.commands.terminal import SOME_FAILED, UNUSABLE
from models.correlation import agreement, pearson
from models.datasets.known import DATASETS
from tests.app.command_line import cut_off, invoke
from tests.models.datasets.layouts import COPIES, lay_out

pytestmark = pytest.mark.process  # the first to load a model looks for libraries by a process


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def one_model(weights_environment: dict[str, str]) -> dict[str, str]:
    return {**weights_environment, "IQA_MODELS": "qualiclip"}


def test_the_command_knows_the_data_sets() -> None:
    assert [name.value for name in DatasetName] == list(DATASETS)


def test_figures_are_those_of_the_scores_beside_published_ones(
    tmp_path: Path, one_model: dict[str, str]
) -> None:
    folder = lay_out("koniq-10k", tmp_path / "data")
    table, scores = tmp_path / "table.csv", tmp_path / "scores.csv"
    result = invoke(
        *("benchmark", "koniq-10k", "--data", folder, "--out", table, "--scores", scores),
        environment=one_model,
    )
    assert result.exit_code == 0, result.stderr
    images = _rows(scores)
    assert len(images) == COPIES
    predicted, mos = ([float(row[name]) for row in images] for name in ("qualiclip", "mos"))
    assert mos == [90 - place for place in range(COPIES)]
    measured, *published = _rows(table)
    found = agreement(predicted, mos)
    assert (measured["kind"], measured["model"], measured["split"]) == ("measured", "qualiclip", "test")
    expected = {
        "srcc": found.srcc,
        "plcc": pearson(predicted, mos),
        "plcc_fitted": found.plcc,
        "krcc": found.krcc,
    }
    for name, value in expected.items():
        assert float(measured[name]) == pytest.approx(value, abs=2e-4)
    assert {row["kind"] for row in published} == {"published"}
    topiq = next(row for row in published if row["model"] == "topiq_nr")
    assert (topiq["srcc"], topiq["by"], topiq["n"]) == ("0.9299", "IQA-PyTorch", "")
    assert "published by IQA-PyTorch" in result.stdout
    assert "measured here" in result.stdout
    assert not part_of(table).exists()


def test_pairs_are_compared_and_the_sign_of_labels_and_measures_is_heeded(
    tmp_path: Path, one_model: dict[str, str]
) -> None:
    folder, table = lay_out("csiq", tmp_path / "data"), tmp_path / "table.csv"
    result = invoke(
        *("benchmark", "csiq", "--data", folder, "--out", table, "--measures", "mdsi"), environment=one_model
    )
    assert result.exit_code == 0, result.stderr
    found = {row["model"]: row for row in _rows(table) if row["kind"] == "measured"}
    assert list(found) == ["qualiclip", "bpclip-fr", "psnr", "ssim", "mdsi"]
    # More blur is a higher DMOS, a lower PSNR and SSIM, and a higher MDSI.
    for name in ("psnr", "ssim", "mdsi"):
        assert float(found[name]["srcc"]) == pytest.approx(1, abs=0.1)


def test_an_interrupted_benchmark_goes_on(tmp_path: Path, one_model: dict[str, str]) -> None:
    folder, table = lay_out("biq2021", tmp_path / "data"), tmp_path / "table.csv"
    arguments: tuple[Any, ...] = ("benchmark", "biq2021", "--data", folder, "--out", table)
    damaged = folder / "Images" / "ss01 (3).jpg"
    whole = damaged.read_bytes()
    cut_off(damaged)
    result = invoke(*arguments, environment=one_model)
    assert result.exit_code == SOME_FAILED
    assert "1 could not be scored, 5 were." in result.stderr
    assert _rows(table)[0]["n"] == str(COPIES - 1)
    table.unlink()
    damaged.write_bytes(whole)

    with Journal(table, {"models": ["another"]}) as journal:
        journal.append("ss01 (0).jpg", {"qualiclip": 0.5})
    assert "was begun: --resume goes on" in invoke(*arguments, environment=one_model).stderr
    result = invoke(*arguments, "--resume", environment=one_model)
    assert result.exit_code == UNUSABLE
    assert "was begun with other data set, max_scored_pixels, measures, models" in result.stderr
    result = invoke(*arguments, "--overwrite", environment=one_model)
    assert result.exit_code == 0, result.stderr
    assert "exists already" in invoke(*arguments, environment=one_model).stderr


def test_what_a_journal_has_is_not_measured_again(tmp_path: Path, one_model: dict[str, str]) -> None:
    table = tmp_path / "table.csv"
    with Journal(table, {"models": ["one"]}) as journal:
        journal.append("a.jpg", {"one": 0.25})
    with Journal(table, {"models": ["one"]}) as journal:
        assert journal.scores == {"a.jpg": {"one": 0.25}}
        journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_missing_images_end_it_unless_asked_for_a_part(tmp_path: Path, one_model: dict[str, str]) -> None:
    folder = lay_out("clive", tmp_path / "data")
    (folder / "Images" / "2.bmp").unlink()
    arguments: tuple[Any, ...] = ("benchmark", "clive", "--data", folder)
    result = invoke(*arguments, environment=one_model)
    assert result.exit_code == UNUSABLE
    assert "1 images that the labels of LIVE In the Wild (CLIVE) name are not in" in result.stderr
    assert "2.bmp" in result.stderr
    result = invoke(*arguments, "--partial", environment=one_model)
    assert result.exit_code == 0, result.stderr
    assert "published by" not in result.stdout  # other images than they measured on


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--split", "test"), "SPAQ has no official split test; it has none."),
        (("--resume",), "--resume and --overwrite go with --out."),
        (("--measures", "lpips"), "There is no measure 'lpips'"),
        (("--data", "nowhere"), "There is no folder nowhere."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: tuple[str, ...], reason: str, tmp_path: Path, one_model: dict[str, str]
) -> None:
    folder = lay_out("spaq", tmp_path / "data")
    result = invoke("benchmark", "spaq", "--data", folder, *arguments, environment=one_model)
    assert result.exit_code == UNUSABLE
    assert reason in result.stderr
