"""The journal: every line that was written is there again, and nothing that was torn."""

import os
from pathlib import Path

import pytest

from app.bulk.errors import OutputError
from app.bulk.journal import Journal, encoded, read

_LINES = [{"file": f"{number}.jpg", "score": number / 10} for number in range(5)]


def _written(path: Path) -> Path:
    with Journal(path) as journal:
        for line in _LINES:
            journal.append(dict(line))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert list(read(_written(tmp_path / "journal"))) == _LINES


@pytest.mark.parametrize("name", ["\udcff.jpg", "a\nb.jpg", 'a"b,c.jpg', "é 日本.jpg", "\u2028.jpg"])
def test_any_name_is_kept(name: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.append({"file": name})
    assert (tmp_path / "journal").read_bytes().count(b"\n") == 1
    (tmp_path / "journal").read_bytes().decode("utf-8")
    assert [line["file"] for line in read(tmp_path / "journal")] == [name]


def test_a_line_torn_anywhere_is_cut_off(tmp_path: Path) -> None:
    whole = _written(tmp_path / "whole").read_bytes()
    last = len(encoded(_LINES[-1]))
    torn = tmp_path / "torn"
    for missing in range(1, last + 1):
        torn.write_bytes(whole[:-missing])
        assert list(read(torn)) == _LINES[:-1]
        with Journal(torn) as journal:
            journal.cut()
            journal.append(dict(_LINES[-1]))
        assert torn.read_bytes() == whole


@pytest.mark.parametrize(
    "rubbish", [b"\0" * 512 + b"\n", b"[1]\n", b'{"score": 1}\n', b'"text"\n', b"\xff\xfe\n"]
)
def test_what_comes_after_rubbish_is_not_read(rubbish: bytes, tmp_path: Path) -> None:
    path = _written(tmp_path / "journal")
    path.write_bytes(path.read_bytes() + rubbish + encoded({"file": "later.jpg"}))
    assert list(read(path)) == _LINES


def test_lines_can_be_taken_out(tmp_path: Path) -> None:
    path = _written(tmp_path / "journal")
    with path.open("ab") as file:
        file.write(b'{"file": "tor')
    with Journal(path) as journal:
        journal.keep(lambda line: line["score"] > 0.15)
        journal.append({"file": "new.jpg"})
    assert [line["file"] for line in read(path)] == ["2.jpg", "3.jpg", "4.jpg", "new.jpg"]
    assert list(tmp_path.iterdir()) == [path]


def test_only_one_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        with pytest.raises(OutputError, match="written by another program"):
            Journal(path)
        journal.append(dict(_LINES[0]))
        journal.keep(lambda line: True)
        with pytest.raises(OutputError, match="written by another program"):
            Journal(path)
    Journal(path).close()


def test_of_a_line_that_does_not_fit_nothing_stays(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    path = _written(tmp_path / "journal")
    before = path.read_bytes()
    child = os.fork()  # the limit is of a process
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, len(before) + 10))
            try:
                with Journal(path) as journal:
                    journal.append({"file": "x" * 100})
            except OSError:
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert path.read_bytes() == before
