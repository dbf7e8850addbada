"""Text files that operators write: what is read, and what is refused in a sentence."""

import os
from pathlib import Path

import pytest

from app.text_file import UnreadableText, read_text


def test_the_text_comes_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_bytes(b"\xef\xbb\xbfgr\xc3\xbcn\n")
    assert read_text(path, "The file", 100) == "grün\n"


def test_as_many_bytes_as_allowed_are_read_and_not_one_more(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("12345")
    assert read_text(path, "The file", 5) == "12345"
    with pytest.raises(UnreadableText, match=rf"^The file {path} has more than 4 bytes\.$"):
        read_text(path, "The file", 4)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UnreadableText, match=rf"^The file {path} is not a regular file\.$"):
            read_text(path, "The file", 100)


def test_what_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableText, match=r"cannot be read: No such file or directory\.$"):
        read_text(tmp_path / "nothing", "The file", 100)
    (tmp_path / "latin").write_bytes(b"gr\xfcn")
    with pytest.raises(UnreadableText, match=r"is not UTF-8 text\.$"):
        read_text(tmp_path / "latin", "The file", 100)
