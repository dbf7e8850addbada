"""``iqa evaluate`` on real photographs, with random weights."""

import csv
import json
from pathlib import Path

import pytest
from scipy import stats

from app.commands.terminal import SOME_FAILED, UNUSABLE
from models.correlation import agreement
from models.training.photos import is_held_out
from tests.app.command_line import cut_off, invoke, save_crops


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Thirty photographs with scores in two subsets, and three in one too small to measure."""
    folder = tmp_path / "scored"
    with _table(folder).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "mos", "subset"])
        for number, path in enumerate(save_crops(folder, 30)):
            subset = "few" if number < 3 else f"half-{number % 2}"
            writer.writerow([path.name, (number * 7 % 30) / 30, subset])
    return folder


@pytest.mark.slow
def test_the_measures_are_those_of_the_written_scores(
    scored: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    out = tmp_path / "new" / "per-image.csv"
    result = invoke("evaluate", scored, "--json", "--out", out, environment=weights_environment)
    assert result.exit_code == 0, result.stderr
    with out.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["image"] for row in written] == [f"{number:03}.jpg" for number in range(30)]
    rows = {(row["model"], row["subset"]): row for row in json.loads(result.stdout)["results"]}
    assert set(rows) == {
        (model, subset) for model in ("qualiclip", "bpclip") for subset in ("all", "few", "half-0", "half-1")
    }
    for model in ("qualiclip", "bpclip"):
        row = rows[model, "all"]
        expected = stats.spearmanr([row[model] for row in written], [row["mos"] for row in written])
        assert row["n"] == 30
        # The file has six decimals, of which random weights leave few that differ.
        assert row["srcc"] == pytest.approx(expected.statistic, abs=0.02)
        assert row["srcc_interval"][0] <= row["srcc"] <= row["srcc_interval"][1]
        assert "at least 5" in rows[model, "few"]["problem"]
        assert rows[model, "half-0"]["n"] + rows[model, "half-1"]["n"] == 27


def test_the_table_has_a_row_for_each_model_and_subset(
    scored: Path, weights_environment: dict[str, str]
) -> None:
    result = invoke("evaluate", scored, "--models", "bpclip", environment=weights_environment)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if line.strip().startswith("bpclip")]
    assert [row[1:3] for row in rows] == [["all", "30"], ["few", "3"], ["half-0", "13"], ["half-1", "14"]]
    assert rows[1][3:] == ["-"] * 5
    assert "bpclip, subset few: Agreement needs at least 5 pairs" in result.stderr


@pytest.mark.slow
def test_subsets_can_be_weighed(scored: Path, tmp_path: Path, weights_environment: dict[str, str]) -> None:
    out = tmp_path / "per-image.csv"
    arguments = ("--models", "bpclip", "--json", "--out", out)
    # Scored twice: alone, for the batches not to differ, since random weights leave scores hardly apart.
    environment = {**weights_environment, "IQA_BATCH_IMAGES": "1", "IQA_DTYPE": "float32"}
    plain = json.loads(invoke("evaluate", scored, *arguments, environment=environment).stdout)
    weights = "few=20, half-0=1,half-1=1"
    result = invoke("evaluate", scored, *arguments, "--weights", weights, environment=environment)
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert plain["weights"] is None
    assert printed["weights"] == {"few": 20.0, "half-0": 1.0, "half-1": 1.0}
    # Three, 13 and 14 photographs share what their subset weighs.
    shares = {"few": 20 / 3, "half-0": 1 / 13, "half-1": 1 / 14}
    with out.open(newline="") as file:
        written = list(csv.DictReader(file))
    expected = agreement(
        [float(row["bpclip"]) for row in written],
        [float(row["mos"]) for row in written],
        [shares[row["subset"]] for row in written],
    )
    overall, *subsets = printed["results"]
    # The file has six decimals, of which random weights leave few that differ.
    assert overall["srcc"] == pytest.approx(expected.srcc, abs=0.02)
    assert overall["krcc"] == pytest.approx(expected.krcc, abs=0.02)
    assert overall["n"] == 30
    assert abs(overall["srcc"] - plain["results"][0]["srcc"]) > 0.05
    assert _rounded(subsets) == _rounded(plain["results"][1:])


def _rounded(value: object) -> object:
    """What JSON holds, with numbers to six digits."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def test_the_table_says_how_subsets_are_weighed(scored: Path, weights_environment: dict[str, str]) -> None:
    weights = "few=1,half-0=1,half-1=4"
    arguments = ("--models", "bpclip", "--weights", weights)
    result = invoke("evaluate", scored, *arguments, environment=weights_environment)
    assert result.stdout.rstrip().endswith(f"In the rows of all, subsets weigh {weights}.")


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ("", "takes positive numbers by subset, as ss01=1,ss02=1,ss03=4"),
        ("few", "takes positive numbers by subset"),
        ("few=1,half-0=0,half-1=1", "takes positive numbers by subset"),
        ("few=1,half-0=inf,half-1=1", "takes positive numbers by subset"),
        ("few=1,half-0=1,half-1=4,", "takes positive numbers by subset"),
        ("few=1,half-0=1,half-1=4,few=2", "names the subset few twice"),
        ("few=1,half-0=1,half-1=4,many=1", "names the subset many, of which there is no photograph"),
        ("few=1,half-0=1", "has to name every subset, and half-1 is missing"),
    ],
)
def test_wrong_weights_are_one_sentence(
    weights: str, reason: str, scored: Path, weights_environment: dict[str, str]
) -> None:
    result = invoke("evaluate", scored, "--weights", weights, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    (sentence,) = result.stderr.splitlines()
    assert reason in sentence


def test_photographs_without_a_subset_cannot_be_weighed(
    scored: Path, weights_environment: dict[str, str]
) -> None:
    table = _table(scored)
    table.write_text(table.read_text().replace(",few", ","))
    weights = ("--weights", "half-0=1,half-1=1")
    result = invoke("evaluate", scored, *weights, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    assert "needs a subset for every photograph" in result.stderr


@pytest.mark.slow
def test_only_the_split_is_measured(scored: Path, weights_environment: dict[str, str]) -> None:
    held_out = [f"{number:03}.jpg" for number in range(30) if is_held_out(f"{number:03}.jpg")]
    assert 0 < len(held_out) < 30
    counts = {}
    for split in ("all", "train", "holdout"):
        result = invoke("evaluate", scored, "--split", split, "--json", environment=weights_environment)
        counts[split] = json.loads(result.stdout)["results"][0]["n"]
    assert counts == {"all": 30, "train": 30 - len(held_out), "holdout": len(held_out)}


@pytest.mark.slow
def test_a_damaged_photograph_is_left_out_and_named(
    scored: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    cut_off(scored / "010.jpg")
    out = tmp_path / "per-image.csv"
    result = invoke("evaluate", scored, "--json", "--out", out, environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    printed = json.loads(result.stdout)
    assert (printed["failed"], printed["results"][0]["n"]) == (1, 29)
    assert f"{scored / '010.jpg'}: The JPEG image is truncated: its data ends" in result.stderr
    assert "010.jpg" not in out.read_text()


@pytest.mark.slow
def test_a_table_elsewhere_can_be_named(
    scored: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    table = _table(scored).rename(tmp_path / "other.csv")
    assert invoke("evaluate", scored, environment=weights_environment).exit_code == UNUSABLE
    assert invoke("evaluate", scored, "--scores", table, environment=weights_environment).exit_code == 0


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (None, "There is no table of scores at"),
        ("image,score\n000.jpg,0.5\n", "needs the columns image and mos"),
        ("image,mos\n000.jpg,55\n", "is not a number from 0 to 1"),
        ("image,mos\nmissing.jpg,0.5\n", "the file is missing"),
    ],
)
def test_a_wrong_table_is_one_sentence(
    table: str | None, reason: str, scored: Path, weights_environment: dict[str, str]
) -> None:
    _table(scored).unlink()
    if table is not None:
        _table(scored).write_text(table)
    result = invoke("evaluate", scored, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    (sentence,) = result.stderr.splitlines()
    assert reason in sentence


def _table(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / "scores.csv"
