"""How many cores are counted on."""

from pathlib import Path

import pytest

from app.cpu import cores


@pytest.mark.parametrize(
    ("limit", "counted"),
    [
        ("max 100000\n", 6),
        ("200000 100000\n", 2),
        ("250000 100000\n", 3),
        ("50000 100000\n", 1),
        ("900000 100000\n", 6),
        ("rubbish", 6),
        ("1 0", 6),
        (None, 6),
    ],
)
def test_a_container_has_as_many_as_it_is_granted(
    limit: str | None, counted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    file = tmp_path / "cpu.max"
    if limit is not None:
        file.write_text(limit)
    assert cores(file) == counted
