"""The folder of a service: locked while it lives, removed at its end or by the next one."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.processes.runtime_dir import PrivateFolder

_KILLED = (
    "import os; from app.processes.runtime_dir import PrivateFolder;"
    "print(PrivateFolder().path, flush=True); os._exit(9)"
)
_LONG_AGO_S = 3600


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own have paths too long for sockets
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def _left_by_a_killed_one(place: Path, age_s: float) -> Path:
    told = subprocess.run(
        [sys.executable, "-c", _KILLED],
        env={**os.environ, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    folder = Path(told.stdout.strip())
    for path in folder.iterdir():
        os.utime(path, (time.time() - age_s,) * 2)
    return folder


def test_it_is_for_this_user_alone_and_can_be_removed(place: Path) -> None:
    folder = PrivateFolder()
    assert folder.path.parent == place
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.remove()
    assert list(place.iterdir()) == []


@pytest.mark.process
def test_what_a_killed_service_left_is_removed(place: Path) -> None:
    abandoned = _left_by_a_killed_one(place, _LONG_AGO_S)
    assert abandoned.is_dir()
    folder = PrivateFolder()
    assert list(place.iterdir()) == [folder.path]
    folder.remove()


@pytest.mark.process
def test_what_is_not_known_to_be_abandoned_stays(place: Path) -> None:
    young = _left_by_a_killed_one(place, 0)  # its owner may be about to lock it
    alive = PrivateFolder()
    for path in alive.path.iterdir():
        os.utime(path, (time.time() - _LONG_AGO_S,) * 2)
    somebodys = place / "iqa-photographs"
    somebodys.mkdir()
    folder = PrivateFolder()
    assert set(place.iterdir()) == {young, alive.path, somebodys, folder.path}


def test_a_folder_that_was_deleted_is_made_again(place: Path) -> None:
    folder = PrivateFolder()
    assert not folder.restore()
    shutil.rmtree(folder.path)
    assert folder.restore()
    assert not folder.restore()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    with (folder.path / "supervisor.lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is held again
    (folder.path / "supervisor.lock").unlink()
    assert folder.restore()
    folder.remove()
    assert not folder.path.exists()


def test_a_place_that_was_taken_is_not_used(place: Path) -> None:
    folder = PrivateFolder()
    shutil.rmtree(folder.path)
    folder.path.mkdir(mode=0o755)
    with pytest.raises(PermissionError):
        folder.restore()
    folder.path.rmdir()
    folder.path.symlink_to(place)
    with pytest.raises(PermissionError):
        folder.restore()
    folder.path.unlink()
    folder.remove()
