"""Sets of names: nothing is in them that was not added, and all that was."""

from pathlib import Path

import pytest

from app.bulk import path_set
from app.bulk.path_set import Names


def test_a_name_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_set, "_RECENT", 50)  # so that most are sorted in
    held = Names()
    paths = [Path(f"photos/{number}.jpg") for number in range(1000)]
    assert all(held.add(path) for path in paths)
    assert not any(held.add(path) for path in paths)
    assert len(held) == 1000
    assert all(path in held for path in paths)
    assert not any(Path("others") / path in held for path in paths)


def test_names_need_not_be_utf8() -> None:
    held = Names()
    held.add(Path("photos/\udcff.jpg"))
    assert Path("photos/\udcff.jpg") in held
    assert Path("photos/\udcfe.jpg") not in held


def test_a_name_takes_some_twenty_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_set, "_RECENT", 50)
    held = Names()
    for number in range(5000):
        held.add(Path("p" * 200, str(number)))
    assert len(held._settled) == 16 * (5000 - len(held._recent))
    assert len(held._recent) <= 5000 / 8
