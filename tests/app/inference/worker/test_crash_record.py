"""What a worker writes down for its successor."""

import errno
import os
from pathlib import Path

import pytest

from app.inference.worker.crash_record import Entry, Logbook

CLIENT, OTHER = b"a client", bytes(range(200, 232))


def _successor(path: Path) -> Entry | None:
    logbook = Logbook(path, "later")
    logbook.close()
    return logbook.predecessor


def test_a_successor_reads_what_was_on_the_device(tmp_path: Path) -> None:
    path = tmp_path / "aboard"
    assert _successor(path) is None
    logbook = Logbook(path, "first")
    logbook.write([(CLIENT, 3), (OTHER, 3), (CLIENT, 12)])
    entry = _successor(path)
    assert entry is not None
    assert (entry.boot, len(entry.keys)) == ("first", 3)
    assert (entry.ids_of(CLIENT), entry.ids_of(OTHER), entry.ids_of(b"nobody")) == ((3, 12), (3,), ())
    # Whoever ends before it has had anything leaves the page as it was.
    assert _successor(path) == entry
    logbook.write([(OTHER, 4)])
    shorter = _successor(path)
    assert shorter is not None
    assert shorter.ids_of(OTHER) == (4,)
    logbook.write([])
    assert _successor(path) is None
    logbook.close()


def test_a_page_cut_off_is_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "aboard"
    logbook = Logbook(path, "first")
    logbook.write([(CLIENT, 3)])
    logbook.close()
    page = path.read_bytes().rstrip(b"\0")
    for length in (1, 2, 3, len(page) - 1):
        path.write_bytes(page[:length])
        assert _successor(path) is None
    assert caplog.text.count("cannot be read") == 4


def test_a_full_disk_ends_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "aboard"
    logbook = Logbook(path, "first")
    logbook.write([(CLIENT, 3)])
    monkeypatch.setattr(os, "pwrite", full)
    logbook.write([(CLIENT, 4)])
    logbook.write([])
    # Not the jobs of another batch, which are not to blame.
    assert _successor(path) is None
    assert caplog.text.count("No space left on device") == 1


def test_room_is_made_before_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "aboard"
    Logbook(path, "first").close()
    assert path.stat().st_blocks * 512 >= 64 * 1024
