"""The part file: every row that was appended is there again, whatever ended the program."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bulk.errors import OutputError
from app.bulk.part_file import PartFile, log_of
from app.bulk.rows import Row

_ROWS = [{"file": f"{number}.jpg", "score": number / 10} for number in range(5)]


def _written(path: Path) -> Path:
    with PartFile(path) as part:
        for row in _ROWS:
            part.append(dict(row))
    return path


def _read(path: Path) -> list[dict[str, object]]:
    with PartFile(path) as part:
        return list(part)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert _read(_written(tmp_path / "part")) == _ROWS
    assert list(tmp_path.iterdir()) == [tmp_path / "part"]


@pytest.mark.parametrize("name", ["\udcff.jpg", "a\nb.jpg", 'a"b,c.jpg', "é 日本.jpg", "\u2028.jpg"])
def test_any_name_is_kept(name: str, tmp_path: Path) -> None:
    with PartFile(tmp_path / "part") as part:
        part.append({"file": name})
    assert [row["file"] for row in _read(tmp_path / "part")] == [name]


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("torn", "left"), [(0, 5), (100, 4)])
def test_only_a_torn_row_is_lost(torn: int, left: int, tmp_path: Path) -> None:
    path = tmp_path / "part"
    child = os.fork()
    if child == 0:
        part = PartFile(path)
        for row in _ROWS:
            part.append(dict(row))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    log = log_of(path).read_bytes()
    log_of(path).write_bytes(log[: len(log) - torn])  # as a power cut may leave it
    assert _read(path) == _ROWS[:left]


def test_rows_to_begin_with_are_taken_once(tmp_path: Path) -> None:
    def broken() -> Iterator[Row]:
        yield _ROWS[0]
        raise OutputError("damaged")

    path = tmp_path / "part"
    with pytest.raises(OutputError, match="damaged"):
        PartFile(path, broken())
    PartFile(path, iter(_ROWS[:2])).close()
    PartFile(path, iter(_ROWS)).close()
    assert _read(path) == _ROWS[:2]


def test_failures_can_be_dropped(tmp_path: Path) -> None:
    path = _written(tmp_path / "part")
    with PartFile(path) as part:
        part.append({"file": "bad.jpg", "problem": "It is damaged."})
        assert len(list(part)) == 6
        part.drop_failures()
        part.append({"file": "new.jpg"})
    assert _read(path) == [*_ROWS, {"file": "new.jpg"}]


def test_only_one_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "part"
    with PartFile(path) as part:
        for _ in range(2):
            with pytest.raises(OutputError, match="part is being written by another program"):
                PartFile(path)
            part.append(dict(_ROWS[0]))
    PartFile(path).close()


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"anything else" * 1000)
    with pytest.raises(OutputError, match="part cannot be read"):
        PartFile(path)


@pytest.mark.process
def test_a_row_that_does_not_fit_is_an_error_of_the_disk(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = _written(tmp_path / "part")
    child = os.fork()  # the limit is of a process
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
            try:
                with PartFile(path) as part:
                    part.append({"file": "x" * 50_000})
            except OSError as error:
                status = 0 if error.strerror == "File too large" else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert _read(path) == _ROWS


def test_rows_of_an_earlier_version_get_the_names_of_today(tmp_path: Path) -> None:
    name = 'noisiness": .jpg'
    lines = [
        {"file": name, "dimensions": {"noisiness": 0.5}, "words": [{"dimension": "noisiness"}]},
        {"file": name, "bpclip_noisiness": 0.5, "reasons": ["noisiness"]},
    ]
    path = tmp_path / "part"
    with PartFile(path) as part:
        for line in lines:
            part.append(line)
    assert _read(path) == [
        {"file": name, "dimensions": {"cleanness": 0.5}, "words": [{"dimension": "cleanness"}]},
        {"file": name, "bpclip_cleanness": 0.5, "reasons": ["noisiness"]},
    ]
