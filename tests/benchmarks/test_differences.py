"""The program that measures the map of differences takes the right half for the distorted one."""

from pathlib import Path

import pytest
from PIL import Image

from models.training.photos import is_held_out
from tests.benchmarks.differences import half, main
from tests.photographs import named


def test_halves_are_where_they_are_called() -> None:
    assert half("left", 4, 6).tolist() == [[True] * 3 + [False] * 3] * 4
    assert (half("right", 4, 6) == ~half("left", 4, 6)).all()
    assert half("top", 4, 6)[:, 0].tolist() == [True, True, False, False]
    assert (half("bottom", 4, 6) == ~half("top", 4, 6)).all()


def test_it_tells_what_was_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = next(name for number in range(99) if is_held_out(name := f"{number}.png"))
    Image.fromarray(named()["chelsea"]).save(tmp_path / name)
    main([str(tmp_path)])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("1 photographs")
    assert len(printed) == 1 + 4 * 2
    assert all(": 100.0% marked" in line for line in printed if "lossless" in line)
