"""``iqa score --ray`` on a cluster of this machine: an actor that is killed costs no row and doubles none."""

import csv
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from app.commands.terminal import SOME_FAILED, UNUSABLE
from tests.app.bulk.part_files import rows_in
from tests.app.bulk.ray_data.actor_processes import actors_below
from tests.app.command_line import cut_off, invoke, save_crops, start

_PATIENCE_S = 200.0
_IMAGES = 150


@pytest.mark.process
@pytest.mark.slow
def test_a_killed_actor_costs_no_row_and_doubles_none(
    tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    photos = tmp_path / "photos"
    save_crops(photos, _IMAGES, (64, 48))
    cut_off(photos / "007.jpg")
    out = tmp_path / "scores.csv"
    command = ("score", photos, "--out", out, "--ray", "local", "--threads", 1)
    process = start(*command, environment=weights_environment)
    part = out.with_name(out.name + ".part.sqlite")
    began = time.monotonic()
    while not (part.exists() and rows_in(part)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < _PATIENCE_S
        time.sleep(0.02)
    killed = actors_below(process.pid)
    assert killed
    os.kill(killed[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == SOME_FAILED, errors
    assert "007.jpg: The JPEG image is truncated" in errors
    assert f"{_IMAGES - 1} images scored, 1 could not be." in errors
    assert "Traceback" not in errors
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["file"] for row in rows) == Counter(map(str, photos.iterdir()))
    here = tmp_path / "here.csv"
    invoke("score", photos / "000.jpg", "--out", here, environment=weights_environment)
    with here.open(newline="") as file:
        (expected,) = csv.DictReader(file)
    (there,) = (row for row in rows if row["file"] == expected["file"])
    assert float(there["score"]) == pytest.approx(float(expected["score"]), abs=1e-3)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--ray", "local", "--server", "http://127.0.0.1:9"), "--ray and --server both say what scores"),
    ],
)
def test_wrong_usage_is_one_sentence(flags: tuple[str, ...], said: str, tmp_path: Path) -> None:
    save_crops(tmp_path, 1)
    result = invoke("score", tmp_path, *flags)
    assert result.exit_code == UNUSABLE
    assert said in result.stderr


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_crops(tmp_path, 1)
    monkeypatch.setattr("app.bulk.ray_data.source.find_spec", lambda _: None)
    result = invoke("score", tmp_path, "--ray", "local")
    assert result.exit_code == UNUSABLE
    assert "pip install 'iqa-service[ray]'" in result.stderr
