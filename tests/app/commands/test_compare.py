"""``iqa compare`` on real photographs, with random weights."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageFilter

from app.commands.terminal import SOME_FAILED, UNUSABLE
from app.schemas.compare import CompareAnswer
from tests.app.command_line import cut_off, invoke
from tests.photographs import named

_ONLY_OVER_HTTP = {"timing_ms", "batch", "quality_map"}


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
