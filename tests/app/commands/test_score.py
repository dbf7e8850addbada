"""``iqa score`` on real photographs, with random weights: what is printed where, and what stops it."""

import csv
import io
import os
import pty
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from app.bulk.image_files import Meant
from app.commands.terminal import INTERRUPTED, PIPE_CLOSED, SOME_FAILED, UNUSABLE
from app.imaging import score_warnings
from app.imaging.decode import Picture
from app.imaging.metering import measure_exposure
from app.schemas.score import ScoreAnswer
from app.scoring.offline import Scorer
from app.settings import Settings
from models.calibration import READINGS, Thresholds
from models.runtime.backend import OutOfMemory
from tests.app.command_line import cut_off, invoke, lines_of_json, save_crops, start
from tests.calibrations import calibrated

_BAD = "050.jpg"


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a hundred photographs, the 51st of which is damaged."""
    folder = tmp_path_factory.mktemp("hundred")
    save_crops(folder, 100)
    cut_off(folder / _BAD)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photographs, with a folder in it that has one more."""
    folder = tmp_path / "photos"
    save_crops(folder, 3)
    save_crops(folder / "deeper", 1)
    return folder


@pytest.mark.process
def test_one_bad_file_in_a_hundred_stops_nothing(hundred: Path, weights_environment: dict[str, str]) -> None:
    output, errors = _run("score", hundred, "--json", environment=weights_environment, status=SOME_FAILED)
    found = [Path(line["file"]).name for line in lines_of_json(output)]
    assert found == [f"{number:03}.jpg" for number in range(100) if number != 50]
    lines = [line for line in errors.splitlines() if not line.startswith("scoring:")]
    assert lines == [
        f"{hundred / _BAD}: The JPEG image is truncated: its data ends before the picture does. "
        "Send the whole file again.",
        "1 could not be scored, 99 were.",
    ]


@pytest.mark.process
def test_a_terminal_sees_a_bar_and_the_results_stay_clean(
    hundred: Path, weights_environment: dict[str, str]
) -> None:
    ours, terminal = pty.openpty()
    process = start(
        "score", hundred, "--json", environment={**weights_environment, "TERM": "xterm"}, stderr=terminal
    )
    os.close(terminal)
    output, _ = process.communicate(timeout=120)
    screen = "".join(_screen(ours))
    assert process.returncode == SOME_FAILED
    assert len(lines_of_json(output)) == 99
    assert "100/100" in screen
    assert "scoring" in screen
    assert "/s" in screen
    assert screen.index("100/100") < screen.index("truncated")


@pytest.mark.process
def test_an_interrupt_shows_what_is_done(hundred: Path, weights_environment: dict[str, str]) -> None:
    process = start("score", hundred, "--json", environment={**weights_environment, "IQA_BATCH_IMAGES": "1"})
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    done = len(output.splitlines()) + 1
    assert done < 99
    assert errors.splitlines()[-1].startswith("Interrupted after ")
    assert "Traceback" not in errors


@pytest.mark.process
def test_a_reader_that_goes_away_is_no_error(hundred: Path, weights_environment: dict[str, str]) -> None:
    process = start("score", hundred, "--json", environment=weights_environment)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == PIPE_CLOSED
    assert errors == ""


def test_lines_have_the_names_of_the_http_answer(photos: Path, weights_environment: dict[str, str]) -> None:
    result = invoke("score", photos, "--json", environment=weights_environment)
    assert result.exit_code == 0, result.stderr
    only_over_http = {"timing_ms", "batch", "quality_map", "embedding"}
    for line in lines_of_json(result.stdout):
        assert set(line) == {"file", *ScoreAnswer.model_fields} - only_over_http
        assert set(line["models"]) == {"qualiclip", "bpclip"}
        assert all(len(model["adjectives"]) == 40 for model in line["models"].values())


def test_tiles_at_native_size_where_they_are_asked_for(
    tmp_path: Path, photos: Path, weights_environment: dict[str, str]
) -> None:
    environment = {**weights_environment, "IQA_RUNTIME": "eager"}
    (line, *_) = lines_of_json(
        invoke("score", photos, "--json", "--detail-crops", environment=environment).stdout
    )
    assert len(line["detail"]["tiles"]) >= 1
    shown = invoke("score", line["file"], "--detail-crops", environment=environment).stdout
    assert f"worst part at native size: score {line['detail']['score']:.3f}, sharpness" in shown
    assert "native size" not in invoke("score", line["file"], environment=environment).stdout
    out = tmp_path / "scores.csv"
    arguments = ("score", photos, "--out", out)
    assert invoke(*arguments, "--detail-crops", environment=environment).exit_code == 0
    (row, *_) = csv.DictReader(io.StringIO(out.read_text()))
    assert float(row["detail_sharpness"]) == pytest.approx(line["detail"]["sharpness"], abs=1e-6)
    assert float(row["detail_cleanness"]) == pytest.approx(line["detail"]["cleanness"], abs=1e-6)
    resumed = invoke(*arguments, "--resume", environment=environment)
    assert resumed.exit_code == 2
    assert "scored with --detail-crops, and now without it" in resumed.stderr


@pytest.mark.process
def test_scores_are_those_of_the_service(
    photos: Path, weights_environment: dict[str, str], client: httpx.Client
) -> None:
    printed = lines_of_json(invoke("score", photos, "--json", environment=weights_environment).stdout)
    assert len(printed) == 3
    for line in printed:
        answer = client.post("/score", content=Path(line["file"]).read_bytes()).json()
        assert line["image"] == answer["image"]
        assert line["warnings"] == answer["warnings"]
        assert line["facts"] == answer["facts"]
        for name, model in answer["models"].items():
            assert line["models"][name]["weights"] == model["weights"]
            assert line["models"][name]["scored"] == model["scored"]
            assert line["models"][name]["score"] == pytest.approx(model["score"], abs=1e-4)
            assert line["models"][name]["dimensions"] == pytest.approx(model["dimensions"], abs=1e-3)


def test_several_files_are_a_table(photos: Path, weights_environment: dict[str, str]) -> None:
    result = invoke("score", photos, environment=weights_environment)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if ".jpg" in line]
    scores = lines_of_json(invoke("score", photos, "--json", environment=weights_environment).stdout)
    scores.sort(key=lambda line: line["score"])  # the worst first
    assert [row[0] for row in rows] == [line["file"] for line in scores]
    assert [row[1] for row in rows] == [f"{line['score']:.3f}" for line in scores]
    header = next(line for line in result.stdout.splitlines() if "file" in line)
    assert header.split() == [
        *("file", "score", "qualiclip", "bpclip"),
        *("sharpness", "brightness", "colorfulness", "contrast", "cleanness", "overall"),
        "reading",
    ]
    assert {row[-1] for row in rows} <= set(READINGS)


@pytest.mark.parametrize(("threshold", "faults"), [(0.0, "oversaturated"), (1.0, "none")])
def test_readings_and_faults_are_by_the_calibration_of_the_weights(
    threshold: float,
    faults: str,
    photos: Path,
    tmp_path: Path,
    weights_environment: dict[str, str],
    weights_folder: Path,
) -> None:
    limits = {"oversaturated": Thresholds(slight=threshold, strong=threshold)}
    path = calibrated(weights_folder / "bpclip.safetensors", "bpclip", tmp_path, faults=limits)
    environment = weights_environment | {"IQA_BPCLIP_WEIGHTS": str(path)}
    table = invoke("score", photos, environment=environment).stdout
    header = next(line for line in table.splitlines() if "file" in line)
    assert header.split()[-2:] == ["reading", "faults"]
    assert {line.split()[-1] for line in table.splitlines() if ".jpg" in line} == {faults}
    one = invoke("score", photos / "000.jpg", environment=environment).stdout
    assert re.search(
        rf"^bpclip: [a-z]+, better than \d+ of 100 real photographs; faults: {faults}\.$", one, re.MULTILINE
    )
    assert "its weights carry no calibration" in one  # qualiclip's


def test_a_narrow_terminal_has_no_room_for_dimensions(
    photos: Path, weights_environment: dict[str, str]
) -> None:
    result = invoke("score", photos, environment={**weights_environment, "COLUMNS": "80"})
    assert "bpclip" in result.stdout
    assert "sharpness" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_single_file_is_told_in_full(photos: Path, weights_environment: dict[str, str]) -> None:
    result = invoke("score", photos / "000.jpg", environment=weights_environment)
    assert result.exit_code == 0
    assert "JPEG, 160 x 120" in result.stdout
    assert "sharpness" in result.stdout
    assert re.search(r"^qualiclip: [a-z]+ \(its weights carry no calibration", result.stdout, re.MULTILINE)
    with Image.open(photos / "000.jpg") as image:
        light = measure_exposure(np.array(image))
    assert (
        f"exposure: luminance {light.mean_luminance:.3f} on average and {light.p99_luminance:.3f} in the "
        f"brightest hundredth; {light.clipped_shadows:.1%} clipped to black, "
        f"{light.clipped_highlights:.1%} to white."
    ) in result.stdout.splitlines()


@pytest.mark.process
def test_standard_input_and_pipes_are_scored(photos: Path, weights_environment: dict[str, str]) -> None:
    data = (photos / "000.jpg").read_bytes()
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as pipe:
        assert pipe.write(data) == len(data) < 1 << 16  # fits into the pipe
        pipe.close()
        result = invoke(
            *("score", "-", f"/dev/fd/{reading}", photos / "000.jpg", "--json"),
            environment=weights_environment,
            standard_input=data,
        )
    assert result.exit_code == 0, result.stderr
    scores = [line["score"] for line in lines_of_json(result.stdout)]
    assert len(scores) == 3
    assert scores == pytest.approx([scores[2]] * 3, abs=1e-4)


def test_what_has_no_end_is_not_read(weights_environment: dict[str, str]) -> None:
    result = invoke("score", "/dev/zero", environment=weights_environment)
    assert result.exit_code == 1
    assert "It is not a file." in result.stderr


def test_only_the_models_asked_for_answer(photos: Path, weights_environment: dict[str, str]) -> None:
    arguments = ("score", photos, "--json", "--models", "qualiclip", "--bpclip-weights", "missing")
    for line in lines_of_json(invoke(*arguments, environment=weights_environment).stdout):
        assert list(line["models"]) == ["qualiclip"]
        assert line["model"] == "qualiclip"


def test_files_that_cannot_be_scored_are_named_each_with_its_reason(
    photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "nothing").mkdir()
    named = [tmp_path / name for name in ("missing.jpg", "text.jpg", "empty.jpg", "nothing")]
    result = invoke("score", *named, "/dev/zero", photos / "000.jpg", environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    assert "000.jpg: JPEG" in result.stdout
    lines = dict(line.split(": ", 1) for line in result.stderr.splitlines() if ": " in line)
    assert lines[str(named[0])] == "There is no such file."
    assert lines[str(named[1])].startswith("The bytes are not an image")
    assert lines[str(named[2])] == "The image is empty."
    assert lines[str(named[3])].startswith("There is no image in this folder")
    assert lines["/dev/zero"] == "It is not a file."
    assert result.stderr.splitlines()[-1] == "5 could not be scored, 1 were."


def test_limits_of_the_settings_hold(photos: Path, weights_environment: dict[str, str]) -> None:
    result = invoke("score", photos, "--max-pixels", "5000", environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    assert result.stderr.count("An image may have 5000 pixels.") == 3


def test_names_that_would_fool_a_terminal_are_shown_and_kept(
    tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    (odd,) = save_crops(tmp_path, 1)
    odd = odd.rename(tmp_path / "[bold]a\n\x1b[31m:smile:.jpg")
    (other,) = save_crops(tmp_path / "other", 1)
    table = invoke("score", odd, other, environment=weights_environment).stdout
    assert "[bold]a\\n\\x1b[31m:smile:.jpg" in table
    (line,) = lines_of_json(invoke("score", odd, "--json", environment=weights_environment).stdout)
    assert line["file"] == str(odd)


@pytest.mark.parametrize("fault", ["missing", "truncated", "another model", "not weights"])
def test_unusable_weights_are_one_sentence(
    fault: str, photos: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    weights = tmp_path / "weights.safetensors"
    good = Path(weights_environment["IQA_BPCLIP_WEIGHTS"]).read_bytes()
    if fault == "truncated":
        weights.write_bytes(good[: len(good) // 2])
    elif fault == "another model":
        weights.write_bytes(Path(weights_environment["IQA_QUALICLIP_WEIGHTS"]).read_bytes())
    elif fault == "not weights":
        weights.write_text("hello, this is no weights file")
    result = invoke("score", photos, "--bpclip-weights", weights, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    assert result.stdout == ""
    (sentence,) = result.stderr.splitlines()
    assert str(weights) in sentence


def test_a_device_that_is_not_there_is_one_sentence(
    photos: Path, weights_environment: dict[str, str]
) -> None:
    result = invoke("score", photos, "--devices", "cuda:99", environment=weights_environment)
    assert result.exit_code == UNUSABLE
    assert result.stderr.startswith("cuda:99 was asked for")


def test_without_files_the_usage_is_shown() -> None:
    result = invoke("score")
    assert result.exit_code == UNUSABLE
    assert "FILE" in result.stderr


def test_folders_give_their_images_by_name(photos: Path) -> None:
    for name in ("notes.txt", ".hidden.jpg", "scores.csv"):
        (photos / name).touch()
    (photos / "AN.PNG").touch()
    meant = Meant([photos, photos / "001.jpg"])
    assert [path.name for path in meant] == ["000.jpg", "001.jpg", "002.jpg", "AN.PNG"]
    assert (meant.count(), meant.failures) == (4, [])
    files = list(Meant([photos], recursive=True))
    assert [path.relative_to(photos).as_posix() for path in files][-1] == "deeper/000.jpg"
    assert len(files) == 5


def test_a_folder_that_may_not_be_read_is_named(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deeper, scandir = str(photos / "deeper"), os.scandir

    def refusing(path: str) -> object:  # root, as which tests may run, is never refused
        if os.fspath(path) == deeper:
            raise PermissionError(13, "Permission denied", deeper)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    meant = Meant([photos], recursive=True)
    assert meant.count() == 3
    assert [(failure.path, failure.problem) for failure in meant.failures] == [
        (photos / "deeper", "It cannot be read: Permission denied.")
    ]


def test_no_more_files_are_read_ahead_than_are_needed(
    hundred: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in weights_environment.items():
        monkeypatch.setenv(name, value)
    asked = 0

    def paths() -> Iterator[Path]:
        nonlocal asked
        for path in sorted(hundred.iterdir()):
            asked += 1
            yield path

    settings = Settings(decode_processes=2, threads=1, batch_images=4)
    results = Scorer(settings).score(paths())
    for count in range(1, 41):
        assert next(results).answer is not None
        assert asked - count <= settings.decoders() + 2 * settings.batch_images
    results.close()
    assert asked < 60


def test_a_bug_in_one_file_stops_nothing(
    photos: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_picture = score_warnings.of_picture
    seen = 0

    def stumbling(picture: Picture) -> list[str]:
        nonlocal seen
        seen += 1
        return of_picture(picture) if seen != 2 else [str(1 / 0)]

    monkeypatch.setattr(score_warnings, "of_picture", stumbling)
    arguments = ("score", photos, "--json", "--decode-processes", 1)
    result = invoke(*arguments, environment=weights_environment)
    assert result.exit_code == SOME_FAILED
    assert len(lines_of_json(result.stdout)) == 2
    assert "001.jpg: It could not be scored (ZeroDivisionError: division by zero)." in result.stderr


def test_a_batch_keeps_to_its_budget(
    hundred: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in weights_environment.items():
        monkeypatch.setenv(name, value)
    scorer = Scorer(Settings(batch_pixels=3 * 2 * 160 * 120, threads=1))  # two models look at each
    sizes = []
    run = scorer.engine.run
    monkeypatch.setattr(scorer.engine, "run", lambda tasks: sizes.append(len(tasks)) or run(tasks))
    assert len(list(scorer.score(sorted(hundred.iterdir())[:20]))) == 20
    assert sum(sizes) == 20
    assert max(sizes) <= 3


def test_memory_for_half_a_batch_is_enough(
    hundred: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in weights_environment.items():
        monkeypatch.setenv(name, value)
    scorer = Scorer(Settings(threads=1))
    run = scorer.engine.run

    def alone(tasks):  # type: ignore[no-untyped-def]
        if len(tasks) > 1:
            raise OutOfMemory("There is no memory for so many images at once.")
        return run(tasks)

    monkeypatch.setattr(scorer.engine, "run", alone)
    scored = list(scorer.score(sorted(hundred.iterdir())[:8]))
    assert [item.problem for item in scored if item.answer is None] == []
    assert len(scored) == 8


def _run(*arguments: object, environment: dict[str, str], status: int) -> tuple[str, str]:
    process = start(*arguments, environment=environment)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    return output, errors


def _screen(terminal: int) -> Iterator[str]:
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        try:
            while data := screen.read(65536):
                yield data.decode(errors="replace")
        except OSError:  # how Linux says that the other end is closed
            return
