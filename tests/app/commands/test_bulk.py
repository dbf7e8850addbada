"""``iqa score --out``: many images, with random weights; killed, resumed, by a server, with odd names."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.bulk.part_file import PartFile
from app.commands import score
from app.commands.score import NOT_GOOD_ENOUGH
from app.commands.terminal import INTERRUPTED, SOME_FAILED, UNUSABLE
from models.calibration import READINGS, Thresholds
from tests.app.bulk.part_files import rows_in
from tests.app.command_line import ROOT, cut_off, invoke, lines_of_json, save_crops, start
from tests.app.running import running
from tests.calibrations import calibrated

_PART = ".part.sqlite"
_PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sixty photographs in two folders, one of which is damaged."""
    folder = tmp_path_factory.mktemp("sixty")
    save_crops(folder, 40)
    save_crops(folder / "deeper", 20)
    cut_off(folder / "010.jpg")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photographs."""
    save_crops(tmp_path / "photos", 3)
    return tmp_path / "photos"


def _rows(out: Path) -> list[dict[str, str]]:
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _names(out: Path) -> Counter[str]:
    if out.suffix == ".csv":
        return Counter(row["file"] for row in _rows(out))
    if out.suffix == ".parquet":
        from pyarrow import parquet

        return Counter(parquet.read_table(out).column("file").to_pylist())
    return Counter(str(line["file"]) for line in _lines(out))


def _lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def _all_once(folder: Path) -> Counter[str]:
    return Counter(str(path) for path in folder.rglob("*.jpg"))


@pytest.mark.process
@pytest.mark.slow
def test_every_image_once_whatever_ends_the_program(
    sixty: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    out = tmp_path / "scores.csv"
    part = out.with_name(out.name + _PART)
    command = ("score", sixty, "-r", "--out", out, "--resume", "--batch-images", "2")
    for lines, number in ((3, signal.SIGKILL), (22, signal.SIGINT), (40, signal.SIGKILL)):
        lines = max(lines, rows_in(part) + 1)
        process = start(*command, environment=weights_environment)
        _wait_for(part, lines, process)
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=_PATIENCE_S)
        assert process.returncode == (INTERRUPTED if number == signal.SIGINT else -signal.SIGKILL)
        assert not out.exists()
        assert "Traceback" not in errors
        if number == signal.SIGINT:
            assert re.search(r"Interrupted after \d+ of \d+ files\. The same command with --resume", errors)
    result = invoke(*command, environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    assert re.search(r"has \d+ images already; \d+ are left\.", result.stderr)
    assert "010.jpg: The JPEG image is truncated: its data ends" in result.stderr
    assert result.stderr.splitlines()[-1] == f"{out}: 59 images scored, 1 could not be."
    assert result.stdout == ""
    assert _names(out) == _all_once(sixty)
    assert not part.exists()


def test_rows_say_what_the_service_says(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    lines = lines_of_json(invoke("score", photos, "--json", environment=weights_environment).stdout)
    out = tmp_path / "scores.csv"
    assert invoke("score", photos, "--out", out, environment=weights_environment).exit_code == 0
    for row, line in zip(_rows(out), lines, strict=True):
        assert row["file"] == line["file"]
        assert float(row["score"]) == pytest.approx(line["score"], abs=1e-4)
        assert row["model"] == "bpclip"
        assert float(row["qualiclip_sharpness"]) == pytest.approx(
            line["models"]["qualiclip"]["dimensions"]["sharpness"], abs=1e-3
        )
        assert (row["width"], row["height"], row["format"]) == ("160", "120", "JPEG")
        assert row["sha256"] == line["image"]["sha256"]
        assert row["reading"] in READINGS
        assert row["percentile"] == row["faults"] == ""  # these weights have no calibration
        assert row["verdict"] == row["problem"] == ""
    about = json.loads((tmp_path / "scores.csv.run.json").read_text())
    assert [model["name"] for model in about["basis"]["models"]] == ["qualiclip", "bpclip"]
    assert about["named"] == [str(photos)]


@pytest.mark.slow
def test_readings_and_faults_are_by_the_calibration_also_after_a_resume(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str], weights_folder: Path
) -> None:
    always = {"oversaturated": Thresholds(slight=0.0, strong=0.0)}
    weights = calibrated(weights_folder / "bpclip.safetensors", "bpclip", tmp_path, faults=always)
    environment = weights_environment | {"IQA_BPCLIP_WEIGHTS": str(weights)}
    for name in ("scores.csv", "scores.jsonl", "scores.parquet"):
        out, page = tmp_path / name, tmp_path / f"{name}.html"
        command = ("score", photos, "--out", out, "--report", page)
        assert invoke(*command, environment=environment).exit_code == 0
        first = page.read_text()
        assert re.search("<p>(Fair|Poor|Bad): oversaturated</p>", first)
        about = json.loads((tmp_path / f"{name}.run.json").read_text())
        assert about["basis"]["models"][0]["calibration"] is None
        assert about["basis"]["models"][1]["calibration"]["source"] == "photographs for tests"
        page.unlink()
        assert invoke(*command, "--resume", environment=environment).exit_code == 0
        again = page.read_text()
        assert re.findall("<p>[A-Z][a-z]+: oversaturated</p>", again) == re.findall(
            "<p>[A-Z][a-z]+: oversaturated</p>", first
        )
    for row in _rows(tmp_path / "scores.csv"):
        assert row["faults"] == "oversaturated"
        assert row["reading"] in ("fair", "poor", "bad")
        assert 0 <= float(row["percentile"]) <= 100


def test_what_came_since_is_scored_and_what_failed_is_tried_again(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    good = (photos / "001.jpg").read_bytes()
    cut_off(photos / "001.jpg")
    out = tmp_path / "scores.jsonl"
    command = ("score", photos, "--out", out, "--resume")
    assert invoke(*command, environment=weights_environment).exit_code == SOME_FAILED
    before = {line["file"]: line for line in _lines(out)}
    assert before[str(photos / "001.jpg")]["problem"].startswith("The JPEG image is truncated")
    (photos / "001.jpg").write_bytes(good)
    shutil.copy(photos / "000.jpg", photos / "a copy.jpg")
    result = invoke(*command, environment=weights_environment)
    assert result.exit_code == 0
    assert f"{out} has 2 images already; 2 are left." in result.stderr
    after = {line["file"]: line for line in _lines(out)}
    assert _names(out) == _all_once(photos)
    assert after[str(photos / "000.jpg")] == before[str(photos / "000.jpg")]
    assert after[str(photos / "001.jpg")]["score"] > 0


def test_nothing_left_to_do_needs_no_weights(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    out, page = tmp_path / "scores.parquet", tmp_path / "report.html"
    invoke("score", photos, "--out", out, environment=weights_environment)
    before = out.read_bytes()
    gone = {name: str(tmp_path / "gone") for name in weights_environment}
    result = invoke("score", photos, "--out", out, "--resume", "--report", page, environment=gone)
    assert result.exit_code == 0, result.stderr
    assert out.read_bytes() == before
    text = page.read_text(encoding="utf-8")
    assert "Quality of 3 images" in text
    assert text.count("data:image/jpeg;base64,") == 3


def test_what_is_there_is_not_written_over_unasked(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    out = tmp_path / "scores.csv"
    command = ("score", photos, "--out", out)
    invoke(*command, environment=weights_environment)
    before = out.read_bytes()
    result = invoke(*command, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    assert "--resume goes on with them, --overwrite begins anew" in result.stderr
    assert out.read_bytes() == before
    gone = dict.fromkeys(weights_environment, "gone")
    assert invoke(*command, "--overwrite", environment=gone).exit_code == UNUSABLE
    assert out.read_bytes() == before  # nothing is to take its place
    (photos / "000.jpg").unlink()
    assert invoke(*command, "--overwrite", environment=weights_environment).exit_code == 0
    assert len(_rows(out)) == 2


def test_other_models_policies_and_weights_are_refused(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    out = tmp_path / "scores.csv"
    command = ("score", photos, "--out", out, "--resume")
    invoke(*command, environment=weights_environment)
    save_crops(photos / "more", 1)
    for flags, said in (
        (("--models", "bpclip"), "and now bpclip would score"),
        (("--policy", "upload"), "it has no verdicts, and now those of upload are asked for"),
        (("-r", "--max-scored-pixels", "5000"), "no more than 2097152 pixels, not 5000"),
        (("-r", "--dtype", "float16"), "were computed in"),
    ):
        before = out.read_bytes()
        result = invoke(*command, *flags, environment=weights_environment)
        assert result.exit_code == UNUSABLE
        assert said in result.stderr
        assert len(result.stderr.splitlines()) <= 2
        assert out.read_bytes() == before


def test_two_programs_do_not_write_one_file(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    out = tmp_path / "scores.csv"
    command = ("score", photos, "-r", "--out", out, "--resume")
    invoke(*command, environment=weights_environment)
    save_crops(photos / "more", 1)
    with PartFile(out.with_name(out.name + _PART)):
        result = invoke(*command, environment=weights_environment)
        assert result.exit_code == UNUSABLE
        assert "is being written by another program" in result.stderr


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_odd_names_are_gone_on_with(
    suffix: str, photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    names = ["=1+1.jpg", "a,\"b\"\n'c'.jpg", "\udcff.jpg", "\\xff.jpg", "<b>.jpg", "é.jpg"]
    for name in names:
        shutil.copy(photos / "000.jpg", photos / name)
    out = tmp_path / f"scores.{suffix}"
    command = ("score", *(Path(name) for name in names), "--out", out, "--resume")
    here = Path.cwd()
    os.chdir(photos)  # so that the names are what is at the beginning
    try:
        assert invoke(*command, environment=weights_environment).exit_code == 0
        result = invoke(*command, "--report", tmp_path / "r.html", environment=weights_environment)
    finally:
        os.chdir(here)
    assert result.exit_code == 0
    assert f"{out} has 6 images already; 0 are left." in result.stderr
    assert sum(_names(out).values()) == 6
    assert "&lt;b&gt;.jpg" in (tmp_path / "r.html").read_text()


@pytest.mark.slow
def test_verdicts_are_shown_and_scripts_are_told(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    command = ("score", photos, "--policy", "upload")
    table = invoke(*command, environment=weights_environment)
    assert table.exit_code == 0
    assert table.stdout.count("fail: size") + table.stdout.count("fail: ") >= 3  # they are 160 x 120
    assert invoke(*command, "--fail-on", "fail", environment=weights_environment).exit_code == NOT_GOOD_ENOUGH
    one = invoke("score", photos / "000.jpg", "--policy", "upload", environment=weights_environment)
    assert "upload: fail" in one.stdout
    assert "too few pixels" in one.stdout
    out = tmp_path / "scores.csv"
    result = invoke(
        *command,
        "--out",
        out,
        "--fail-on",
        "review",
        "--report",
        tmp_path / "r.html",
        environment=weights_environment,
    )
    assert result.exit_code == NOT_GOOD_ENOUGH
    assert [row["verdict"] for row in _rows(out)] == ["fail"] * 3
    assert all("too few pixels" in row["reasons"] for row in _rows(out))
    assert "By the policy, 0 % pass" in (tmp_path / "r.html").read_text()
    again = (*command, "--out", out, "--resume", "--fail-on", "fail")
    assert invoke(*again, environment=weights_environment).exit_code == NOT_GOOD_ENOUGH
    unknown = invoke("score", photos, "--policy", "none-such", environment=weights_environment)
    assert unknown.exit_code == UNUSABLE
    assert "upload" in unknown.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--resume",), "go with --out"),
        (("--overwrite",), "go with --out"),
        (("--out", "a.csv", "--resume", "--overwrite"), "only be one of them"),
        (("--out", "a.csv", "--json"), "only be one of them"),
        (("--out", "a.xlsx"), "ends in .jsonl, .csv or .parquet"),
        (("--out", "no/such/folder/a.csv"), "There is no folder no/such/folder"),
        (("--report", "no/such/folder/a.html"), "There is no folder no/such/folder"),
        (("--out", "a.csv", "--report", "a.csv"), "the same file"),
        (("--fail-on", "fail"), "--fail-on needs --policy"),
        (("--server", "ftp://example"), "address"),
    ],
)
def test_wrong_usage_is_one_sentence(flags: tuple[str, ...], said: str, photos: Path) -> None:
    result = invoke("score", photos, *flags)
    assert result.exit_code == UNUSABLE
    (sentence,) = result.stderr.splitlines()
    assert said in sentence


def test_a_table_of_very_many_rows_is_refused(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "_MOST_ROWS", 2)
    result = invoke("score", photos)
    assert result.exit_code == UNUSABLE
    assert "3 images are too many for a table" in result.stderr


@pytest.mark.process
def test_a_full_disk_is_one_sentence_and_can_be_gone_on_from(
    sixty: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    out = tmp_path / "scores.jsonl"
    command = ("score", sixty, "-r", "--out", out, "--resume", "--batch-images", "2")
    limited = subprocess.run(
        [
            *("bash", "-c", 'ulimit -f 64; trap "" XFSZ; exec "$@"', "bash"),
            *(sys.executable, "-m", "app.cli", *map(str, command)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **weights_environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
    )
    assert limited.returncode == UNUSABLE
    assert "File too large. The same command with --resume goes on from there." in limited.stderr
    assert "Traceback" not in limited.stderr
    assert invoke(*command, environment=weights_environment).exit_code == SOME_FAILED
    assert _names(out) == _all_once(sixty)


@pytest.mark.process
def test_a_server_scores_the_same(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str], client: httpx.Client
) -> None:
    (photos / "text.jpg").write_text("no image")
    url = str(client.base_url)
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    assert invoke("score", photos, "--out", here, environment=weights_environment).exit_code == SOME_FAILED
    result = invoke("score", photos, "--out", there, "--server", url, "--workers", 2)
    assert result.exit_code == SOME_FAILED
    assert "text.jpg: The bytes are not an image" in result.stderr
    rows = {row["file"]: row for row in _rows(there)}
    for row in _rows(here):
        other = rows.pop(row["file"])
        assert other["sha256"] == row["sha256"]
        assert other["problem"] == row["problem"]
        if not row["problem"]:
            assert float(other["score"]) == pytest.approx(float(row["score"]), abs=1e-3)
    assert rows == {}
    # By the same weights, the one can go on with what the other began.
    save_crops(photos / "more", 2)
    more = ("score", photos, "-r", "--out", there, "--resume")
    assert invoke(*more, environment=weights_environment).exit_code == SOME_FAILED
    assert _names(there) == _all_once(photos)
    unknown = invoke("score", photos, "--server", url, "--policy", "none-such")
    assert unknown.exit_code == UNUSABLE
    assert "The server knows no policy none-such; it has upload, transcode, " in unknown.stderr


@pytest.mark.process
def test_a_server_scores_the_standard_input_and_pipes(photos: Path, client: httpx.Client) -> None:
    url = str(client.base_url)
    data = next(photos.iterdir()).read_bytes()
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as pipe:
        assert pipe.write(data) == len(data) < 1 << 16  # fits into the pipe
        pipe.close()
        arguments = ("score", "-", f"/dev/fd/{reading}", "--json", "--server", url)
        result = invoke(*arguments, standard_input=data)
    assert result.exit_code == 0, result.stderr
    lines = {line["file"]: line["score"] for line in lines_of_json(result.stdout)}
    assert set(lines) == {"-", f"/dev/fd/{reading}"}
    assert len({round(score, 4) for score in lines.values()}) == 1
    empty = invoke("score", "-", "--server", url, standard_input=b"")
    assert (empty.exit_code, empty.stderr) == (1, "-: It is empty.\n")


def test_a_server_that_is_not_there_is_one_sentence(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    arguments = ("--out", out, "--server", "http://127.0.0.1:9", "--patience", 0.2)
    result = invoke("score", photos, *arguments)
    assert result.exit_code == UNUSABLE
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("scores*"))


@pytest.mark.process
@pytest.mark.slow
def test_a_server_that_goes_away_ends_the_run_and_another_goes_on(
    sixty: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    out = tmp_path / "scores.csv"
    part = out.with_name(out.name + _PART)

    def command(url: object, patience: float) -> tuple[object, ...]:
        asking = ("--server", url, "--workers", 1, "--patience", patience)
        return ("score", sixty, "-r", "--out", out, "--resume", *asking)

    key = {"IQA_API_KEY": "secret-that-is-not-shown"}
    with running(weights_environment) as (server, client):
        url = client.base_url
        process = start(*command(url, 1), environment=key)
        _wait_for(part, 3, process)
        server.signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == UNUSABLE
    assert errors.splitlines()[-1].endswith("The same command with --resume goes on from there.")
    assert "secret" not in errors
    assert "Traceback" not in errors
    assert rows_in(part) >= 3
    with running({**weights_environment, "IQA_PORT": str(url.port)}):
        result = invoke(*command(url, 60), environment=key)
    assert result.exit_code == SOME_FAILED, result.stderr
    assert _names(out) == _all_once(sixty)


def _wait_for(part: Path, lines: int, process: subprocess.Popen[str]) -> None:
    """Until the part file has so many rows."""
    end = time.monotonic() + _PATIENCE_S
    while rows_in(part) < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.002)
