"""``iqa calibrate`` on crops of real photographs, with the bundled weights."""

from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from app.commands.terminal import SOME_FAILED, UNUSABLE
from app.policies import load
from tests.app.command_line import cut_off, invoke, lines_of_json, save_crops


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrate") / "good"
    save_crops(folder, 24)
    return folder


@pytest.fixture(scope="module")
def bad(good: Path) -> Path:
    folder = good.with_name("bad")
    folder.mkdir()
    for path in sorted(good.iterdir())[:12]:
        with Image.open(path) as image:
            image.filter(ImageFilter.GaussianBlur(4)).save(folder / path.name)
    return folder


@pytest.mark.slow
def test_the_policy_finds_the_bad_ones_again(good: Path, bad: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "shop.toml", tmp_path / "shop.html"
    result = invoke(
        *("calibrate", "--good", good, "--bad", bad, "--reject-at-most", "5%"),
        *("--review-at-most", "0.2", "--out", out, "--report", report),
    )
    assert result.exit_code == 0, result.stderr
    assert "4.0 % are expected to fail: of 24 further ones 0 to 4, 95 times in 100." in result.stdout
    policy = load(out)["shop"]
    assert policy.origin is not None
    assert "24 good and 12 bad photographs" in policy.origin
    assert list(policy.weights) == ["bpclip"]
    scored = invoke("score", bad, good, "--json", "--policy", "shop", "--policies-file", out)
    outcomes = [each["verdict"]["outcome"] for each in lines_of_json(scored.stdout)]
    assert outcomes[:12].count("pass") <= 1
    assert outcomes[12:].count("fail") <= 2
    assert not any("policy-uncalibrated" in each for each in scored.stdout.splitlines())
    page = report.read_text()
    assert page.count("<img") >= 6
    assert "The good photographs nearest to each limit" in page


def test_too_few_and_unreadable_photographs_are_named(good: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(good.iterdir())[:3]:
        (few / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "few.toml"
    result = invoke("calibrate", "--good", few, "--out", out)
    assert result.exit_code == UNUSABLE
    assert "3 good photographs are too few" in result.stderr
    assert not out.exists()
    cut_off(few / "000.jpg")
    result = invoke("calibrate", "--good", good, "--good", few, "--out", out, "--name", "mine")
    assert result.exit_code == SOME_FAILED
    assert f"{few / '000.jpg'}:" in result.stderr
    assert "mine" in load(out)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--reject-at-most", "60%"), "--reject-at-most is 60%"),
        (("--reject-at-most", "few"), "--reject-at-most is few"),
        (("--review-at-most", "1%"), "it must exceed --reject-at-most 2%"),
        (("--name", "My Shop"), "A policy cannot be called My Shop"),
        (("--report", "missing/folder.html"), "There is no folder missing"),
    ],
)
def test_wrong_options_are_said_before_anything_is_scored(
    good: Path, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    result = invoke("calibrate", "--good", good, "--out", tmp_path / "x.toml", *arguments)
    assert result.exit_code == UNUSABLE
    assert complaint in result.stderr
    assert "scoring" not in result.stderr
