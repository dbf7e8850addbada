"""``iqa compare`` on real photographs, with random weights."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageFilter

from app.commands.score import NOT_GOOD_ENOUGH
from app.commands.terminal import INTERRUPTED, SOME_FAILED, UNUSABLE
from app.schemas.compare import CompareAnswer
from tests.app.command_line import cut_off, invoke, lines_of_json, save_photographs
from tests.photographs import named

_ONLY_OVER_HTTP = {"timing_ms", "batch", "quality_map", "embedding", "detail"}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A photograph of 451x300 pixels, and the same, blurred."""
    photo = Image.fromarray(named()["chelsea"])
    reference, distorted = tmp_path / "reference.png", tmp_path / "distorted.png"
    photo.save(reference)
    photo.filter(ImageFilter.GaussianBlur(3)).save(distorted)
    return reference, distorted


@pytest.mark.process
def test_the_answer_is_that_of_the_service(
    pair: tuple[Path, Path], weights_environment: dict[str, str], client: httpx.Client
) -> None:
    result = invoke("compare", *pair, "--json", environment=weights_environment)
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    files = {"reference": pair[0].read_bytes(), "distorted": pair[1].read_bytes()}
    answer = client.post("/compare", files=files).json()
    assert set(printed) == set(CompareAnswer.model_fields) - _ONLY_OVER_HTTP
    assert printed["reference"].pop("file") == str(pair[0])
    assert printed["distorted"].pop("file") == str(pair[1])
    _assert_agree(printed, answer)


@pytest.mark.slow
def test_a_table_shows_both_and_the_difference(
    pair: tuple[Path, Path], weights_environment: dict[str, str]
) -> None:
    result = invoke("compare", *pair, environment=weights_environment)
    assert result.exit_code == 0
    answer = json.loads(invoke("compare", *pair, "--json", environment=weights_environment).stdout)
    assert f"score {answer['score']:.3f}" in result.stdout
    assert f"PSNR {answer['signal']['psnr_db']:.2f} dB" in result.stdout
    (row,) = (line.split() for line in result.stdout.splitlines() if line.split()[:1] == ["sharpness"])
    sides = [answer[side]["dimensions"]["sharpness"] for side in ("reference", "distorted")]
    assert row[1:] == [*(f"{side:.3f}" for side in sides), f"{sides[1] - sides[0]:+.3f}"]


def test_identical_files_have_no_psnr(pair: tuple[Path, Path], weights_environment: dict[str, str]) -> None:
    result = invoke("compare", pair[0], pair[0], environment=weights_environment)
    assert result.exit_code == 0
    assert "PSNR identical pixels, SSIM 1.0000" in result.stdout


def test_another_size_is_refused_or_brought_to_the_references(
    pair: tuple[Path, Path], weights_environment: dict[str, str]
) -> None:
    Image.open(pair[1]).resize((200, 133)).save(pair[1])
    result = invoke("compare", *pair, environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    assert "451 x 300" in result.stderr
    assert "--resize reference" in result.stderr
    result = invoke("compare", *pair, "--resize", "reference", "--json", environment=weights_environment)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["resized_from"] == {"width": 200, "height": 133}


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_the_file_at_fault_is_named(
    side: int, fault: str, pair: tuple[Path, Path], weights_environment: dict[str, str]
) -> None:
    if fault == "missing":
        pair[side].unlink()
    else:
        cut_off(pair[side])
    result = invoke("compare", *pair, environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    reason = {"missing": "There is no such file.", "damaged": "The PNG image is truncated or damaged."}[fault]
    assert result.stderr == f"{pair[side]}: {reason}\n"
    assert result.stdout == ""


def test_missing_full_reference_weights_are_one_sentence(
    pair: tuple[Path, Path], weights_environment: dict[str, str]
) -> None:
    result = invoke("compare", *pair, "--bpclip-fr-weights", "nowhere", environment=weights_environment)
    assert result.exit_code == UNUSABLE
    assert result.stderr == "There is no weights file at nowhere.\n"


def _assert_agree(printed: Any, answer: Any) -> None:
    """Everything that is printed is in the answer, numbers up to what a batch may change."""
    if isinstance(printed, dict):
        for key, value in printed.items():
            _assert_agree(value, answer[key])
    elif isinstance(printed, list):
        assert len(printed) == len(answer)
        for own, other in zip(printed, answer, strict=True):
            _assert_agree(own, other)
    elif isinstance(printed, float):
        assert printed == pytest.approx(answer, abs=2e-3)
    else:
        assert printed == answer


POLICY = """
[close]
misaligned = "fail"
comparisons = [{ measure = "psnr_db", fail = 12, review = 60, message = "Too far apart." }]
"""


@pytest.fixture
def policy(tmp_path: Path, weights_environment: dict[str, str]) -> dict[str, str]:
    """The environment of the tests with a file of policies."""
    path = tmp_path / "policies.toml"
    path.write_text(POLICY)
    return weights_environment | {"IQA_POLICIES_FILE": str(path)}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three references, and two copies of them, a bad one and an exact one, and one of nothing."""
    originals = save_photographs(tmp_path / "originals", "chelsea", "coffee", "china")
    copies = tmp_path / "copies"
    copies.mkdir()
    Image.open(originals / "chelsea.png").save(copies / "chelsea.webp", lossless=True)
    with Image.open(originals / "coffee.png") as image:
        image.filter(ImageFilter.GaussianBlur(3)).save(copies / "coffee.jpg", quality=20)
    Image.open(originals / "china.png").save(copies / "other.png")
    return originals, copies


@pytest.mark.slow
def test_a_verdict_is_shown_and_gives_the_exit_status(
    pair: tuple[Path, Path], policy: dict[str, str]
) -> None:
    result = invoke("compare", *pair, "--policy", "close", "--measures", "mdsi,ms_ssim", environment=policy)
    assert result.exit_code == 0, result.stderr
    assert ", MS-SSIM 0." in result.stdout
    assert ", MDSI 0." in result.stdout
    assert "close: review" in result.stdout
    assert "review: Too far apart. (" in result.stdout
    for fail_on, status in (("fail", 0), ("review", NOT_GOOD_ENOUGH)):
        judged = invoke("compare", *pair, "--policy", "close", "--fail-on", fail_on, environment=policy)
        assert judged.exit_code == status
    printed = invoke("compare", *pair, "--policy", "close", "--json", environment=policy).stdout
    assert json.loads(printed)["verdict"]["outcome"] == "review"
    refused = invoke("compare", *pair, "--policy", "transcode", environment=policy)
    assert refused.exit_code == UNUSABLE
    assert "no steps for grades" in refused.stderr


def test_the_map_is_written(
    pair: tuple[Path, Path], tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    result = invoke("compare", *pair, "--map", tmp_path / "map.png", environment=weights_environment)
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "map.png") as image:
        assert (image.format, image.size) == ("PNG", (384, 255))


def test_folders_are_compared_by_name_the_worst_first(
    folders: tuple[Path, Path], tmp_path: Path, policy: dict[str, str]
) -> None:
    out = tmp_path / "table.csv"
    arguments = ("--out", out, "--policy", "close", "--measures", "vsi")
    result = invoke("compare", *folders, *arguments, environment=policy)
    assert result.exit_code == SOME_FAILED
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]).name for row in rows[2:]] == ["other.png", "china.png"]
    by_name = {Path(row["file"]).name: row for row in rows}
    assert set(by_name) == {"coffee.jpg", "chelsea.webp", "other.png", "china.png"}
    assert float(rows[0]["score"]) <= float(rows[1]["score"])
    exact, bad = by_name["chelsea.webp"], by_name["coffee.jpg"]
    assert exact["reference"] == str(folders[0] / "chelsea.png")
    assert (exact["psnr_db"], exact["verdict"]) == ("", "pass")
    assert float(exact["vsi"]) == pytest.approx(1, abs=1e-3)
    assert "mdsi" not in exact
    assert (bad["verdict"], bad["reasons"]) == ("review", "Too far apart.")
    assert by_name["other.png"]["problem"] == f"It has no reference in {folders[0]}."
    assert by_name["china.png"]["problem"] == f"It has no copy in {folders[1]}."
    assert f"{folders[1] / 'other.png'}: It has no reference" in result.stderr
    assert f"{out}: 2 pairs compared; 2 files without a comparison." in result.stderr
    again = invoke("compare", *folders, "--out", out, environment=policy)
    assert again.exit_code == UNUSABLE
    assert "--overwrite replaces it" in again.stderr


@pytest.mark.slow
def test_a_run_that_stopped_is_gone_on_with(
    folders: tuple[Path, Path], tmp_path: Path, policy: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "table.csv"
    asked = ("--policy", "close", "--fail-on", "review")
    invoke("compare", *folders, *asked, "--out", whole, environment=policy)

    @contextmanager
    def after_the_first() -> Iterator[Callable[[], bool]]:
        yield lambda: True

    with monkeypatch.context() as patched:
        patched.setattr("app.commands.compare_run.stoppable", after_the_first)
        stopped = invoke("compare", *folders, *asked, "--out", out, environment=policy)
    assert stopped.exit_code == INTERRUPTED
    assert "the same command with --resume goes on from there" in stopped.stderr
    assert not out.exists()
    for wrong, sentence in (
        ([], "was begun and is not finished: --resume goes on with it"),
        (["--resume", "--measures", "vsi"], "it was begun with other measures. Give another file"),
        (["--resume", "--overwrite"], "it can only be one of them"),
    ):
        result = invoke("compare", *folders, *asked, "--out", out, *wrong, environment=policy)
        assert (result.exit_code, sentence in result.stderr) == (UNUSABLE, True), result.stderr
    resumed = invoke("compare", *folders, *asked, "--out", out, "--resume", environment=policy)
    assert f"{out} has 1 pairs already; 1 are left." in resumed.stderr
    assert out.read_text() == whole.read_text()
    again = invoke("compare", *folders, *asked, "--out", out, "--resume", environment=policy)
    assert again.exit_code == resumed.exit_code == SOME_FAILED
    assert "is finished; nothing is left to compare." in again.stderr
    assert {path.name for path in tmp_path.iterdir() if "table" in path.name} == {out.name}


@pytest.mark.slow
def test_folders_give_a_table_or_lines_of_json(folders: tuple[Path, Path], policy: dict[str, str]) -> None:
    for each in (folders[1] / "other.png", folders[0] / "china.png"):
        each.unlink()
    shown = invoke("compare", *folders, "--policy", "close", "--fail-on", "review", environment=policy)
    assert shown.exit_code == NOT_GOOD_ENOUGH
    lines = [line.split() for line in shown.stdout.splitlines() if str(folders[1]) in line]
    assert {Path(line[0]).name: line[2] for line in lines if line}["chelsea.webp"] == "identical"
    printed = invoke("compare", *folders, "--json", environment=policy)
    assert printed.exit_code == 0, printed.stderr
    by_name = {Path(line["file"]).name: line for line in lines_of_json(printed.stdout)}
    assert by_name["chelsea.webp"]["signal"]["psnr_db"] is None
    assert by_name["coffee.jpg"]["signal"]["psnr_db"] > 10


def test_a_bad_copy_stops_nothing(folders: tuple[Path, Path], policy: dict[str, str], tmp_path: Path) -> None:
    cut_off(folders[1] / "coffee.jpg")
    out = tmp_path / "table.jsonl"
    assert invoke("compare", *folders, "--out", out, environment=policy).exit_code == SOME_FAILED
    by_name = {Path(line["file"]).name: line for line in lines_of_json(out.read_text())}
    assert "coffee.jpg: " in by_name["coffee.jpg"]["problem"]
    assert by_name["chelsea.webp"]["score"] > 0


@pytest.mark.slow
def test_colorvideovdp_is_an_extra(
    pair: tuple[Path, Path], weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("compare", *pair, "--measures", "cvvdp", "--json")
    (answer,) = lines_of_json(invoke(*command, environment=weights_environment).stdout)
    assert 0 < answer["signal"]["cvvdp"] < 10
    monkeypatch.setattr("app.commands.compare.find_spec", lambda name: None)
    result = invoke(*command, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    assert "pip install 'iqa-service[perceptual]'" in result.stderr


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (["--out", "{tmp}/t.csv"], "--out is for two folders"),
        (["--fail-on", "fail"], "--fail-on needs --policy."),
        (["--overwrite"], "--overwrite goes with --out."),
        (["--measures", "vmaf"], "There is no measure 'vmaf'; there are ms_ssim, haarpsi, vsi, mdsi, cvvdp."),
    ],
)
def test_what_cannot_be_combined_is_refused(
    pair: tuple[Path, Path], tmp_path: Path, extra: list[str], sentence: str
) -> None:
    result = invoke("compare", *pair, *(each.format(tmp=tmp_path) for each in extra))
    assert result.exit_code == UNUSABLE
    assert sentence in result.stderr
    mixed = invoke("compare", tmp_path, pair[1])
    assert mixed.exit_code == UNUSABLE
    assert "A folder is compared with a folder" in mixed.stderr


@pytest.mark.slow
def test_by_the_bundled_weights_metadata_is_no_distortion_and_blur_fails(tmp_path: Path) -> None:
    originals, copies = tmp_path / "originals", tmp_path / "copies"
    originals.mkdir()
    copies.mkdir()
    comment = b"\xff\xfe\x00\x0atold me."  # a segment of JPEG
    for name in ("coffee", "chelsea"):
        photo = Image.fromarray(named()[name])
        photo.save(originals / f"{name}.jpg", quality=90)
        data = (originals / f"{name}.jpg").read_bytes()
        (copies / f"{name}.jpg").write_bytes(data[:2] + comment + data[2:])
        photo.save(originals / f"{name}-blurred.jpg", quality=90)
        photo.filter(ImageFilter.GaussianBlur(5)).save(copies / f"{name}-blurred.jpg", quality=90)
    arguments = ("--policy", "transcode", "--fail-on", "fail", "--json")
    result = invoke("compare", originals, copies, *arguments)
    assert result.exit_code == NOT_GOOD_ENOUGH, result.stderr
    for line in lines_of_json(result.stdout):
        same = "blurred" not in line["file"]
        assert (line["grade"] == "imperceptible") == same
        assert line["verdict"]["outcome"] == ("pass" if same else "fail")
        assert (line["signal"]["psnr_db"] is None) == same
