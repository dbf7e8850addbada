"""A finished file takes its name, and what had it before is gone."""

import os
from pathlib import Path

import pytest

from models.files import replace_durably


def test_the_new_file_takes_the_name_and_the_name_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()))
    (tmp_path / "old").write_text("old")
    (tmp_path / "new").write_text("new")
    replace_durably(tmp_path / "new", tmp_path / "old")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "new")]
    assert synced == [tmp_path]


def test_what_cannot_be_renamed_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_durably(tmp_path / "nothing", tmp_path / "name")
