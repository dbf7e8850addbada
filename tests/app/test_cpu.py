"""How many cores are counted on, and how threads wait: nobody's own choice is overruled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cpu import cores, wait_briefly


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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_only_who_has_not_chosen_gets_a_default(
    before: dict[str, str], after: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    names = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    assert {name: os.environ[name] for name in names} == after
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)  # which it may have set behind monkeypatch's back


@pytest.mark.process
def test_the_command_line_does_not_import_torch_before_it() -> None:
    command = "import sys, app.cli; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    assert found.stdout.strip() == "False"
