"""Lists of API keys: what a line may be, what is said of a wrong one, how a changed file is taken over."""

import hashlib
import hmac
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.auth import api_keys
from app.auth.api_keys import (
    MOST_KEYS,
    ApiKey,
    KeyList,
    KeyRing,
    KeysError,
    check_keys,
    digest_of,
    find,
    new_key,
    parse_keys,
    read_keys,
)


def _line(name: str, key: str, *rest: str) -> str:
    return ":".join([name, hashlib.sha256(key.encode()).hexdigest(), *rest])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_list_may_have_comments_blank_lines_and_budgets() -> None:
    text = f"# callers\n\n{_line('anna', 'a')}  # since May\r\n {_line('bob@home', 'b', '5000000')}\n"
    assert parse_keys(text, "x") == [
        ApiKey("anna", digest_of(b"a")),
        ApiKey("bob@home", digest_of(b"b"), 5_000_000),
    ]
    assert parse_keys(_line("anna", "a").upper(), "x") == [ApiKey("ANNA", digest_of(b"a"))]


def test_a_key_is_written_as_it_is_read() -> None:
    for key in (ApiKey("a.b-c_d", digest_of(b"1")), ApiKey("z", digest_of(b"2"), 7)):
        assert parse_keys(key.line(), "x") == [key]


@pytest.mark.parametrize(
    "line",
    [
        "secret-key-itself",
        "anna:secret",
        "anna:" + "g" * 64,
        "anna:" + "a" * 63,
        "anna:" + "a" * 65,
        ":" + "a" * 64,
        "an na:" + "a" * 64,
        "änna:" + "a" * 64,
        "x" * 65 + ":" + "a" * 64,
        _line("anna", "a", "0"),
        _line("anna", "a", "-5"),
        _line("anna", "a", "1e6"),
        _line("anna", "a", ""),
        _line("anna", "a", "5", "6"),
    ],
)
def test_a_wrong_line_is_named_and_never_repeated(line: str) -> None:
    with pytest.raises(KeysError) as caught:
        parse_keys(f"# one\n{_line('bob', 'b')}\n{line}\n", "The list")
    assert str(caught.value).startswith("The list, line 3, is neither ")
    assert not [part for part in line.split(":") if len(part) > 2 and part in str(caught.value)]


@pytest.mark.parametrize("second", [_line("anna", "other"), _line("bob", "a")])
def test_names_and_keys_are_listed_once(second: str) -> None:
    with pytest.raises(KeysError, match="The list, line 2, has the name or the key of an earlier one"):
        parse_keys(f"{_line('anna', 'a')}\n{second}", "The list")


def test_entries_are_separated_by_commas_or_newlines() -> None:
    entries = f"{_line('a', '1')}, {_line('b', '2', '10')}\n# none\n{_line('c', '3')},"
    listed = read_keys(None, entries)
    assert ([key.name for key in listed.keys], listed.faults) == (["a", "b", "c"], ())
    listed = read_keys(None, f"{_line('a', '1')},nonsense")
    assert [key.name for key in listed.keys] == ["a"]
    assert listed.faults[0].startswith("IQA_API_KEYS, entry 2, is neither")


def test_without_settings_there_are_no_keys() -> None:
    assert read_keys(None, None) == KeyList()
    check_keys(None, None)


def test_file_and_entries_add_up(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(_line("a", "1"))
    assert [key.name for key in read_keys(path, _line("b", "2")).keys] == ["a", "b"]
    for other in (_line("a", "2"), _line("b", "1")):
        listed = read_keys(path, other)
        assert [key.name for key in listed.keys] == ["a"]
        assert listed.faults == ("IQA_API_KEYS has a name or a key that the file of API keys has too.",)


def test_valid_lines_are_in_force_beside_faulty_ones(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{_line('a', '1')}\nbob:oops\n{_line('c', '3')}\n{_line('a', '4')}\n")
    listed = read_keys(path, None)
    assert [key.name for key in listed.keys] == ["a", "c"]
    assert [fault.split(", ")[1] for fault in listed.faults] == ["line 2", "line 4"]
    check_keys(path, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"", "holds none"),
        (b"# nobody\n\n", "holds none"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"#" * (2**20 + 1), "has more than 1048576 bytes"),
        (b"nonsense", "line 1, is neither"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeysError, match=reason) as caught:
        check_keys(path, None)
    assert read_keys(path, None) == KeyList(faults=(str(caught.value),))
    assert str(caught.value).startswith(f"The file of API keys {path}")
    assert str(caught.value).endswith(".")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(KeysError, match="is not a regular file"):
            check_keys(path, None)


def test_there_is_a_limit_to_how_many_are_compared() -> None:
    lines = [_line(f"n{number}", str(number)) for number in range(MOST_KEYS + 1)]
    assert read_keys(None, "\n".join(lines[:-1])).faults == ()
    listed = read_keys(None, "\n".join(lines))
    assert len(listed.keys) == MOST_KEYS
    assert listed.faults == ("There are 1001 API keys; only the first 1000 are in force.",)


def test_a_key_is_found_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [ApiKey(str(number), digest_of(str(number).encode())) for number in range(5)]
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def counting(stored: bytes, presented: bytes) -> bool:
        compared.append(stored)
        return bool(compare(stored, presented))

    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert find(listed, b"0") is listed[0]
    assert find(listed, b"4") is listed[4]
    assert find(listed, b"5") is None
    assert compared == [key.digest for key in listed] * 3  # none left out, wherever the right one stands


def test_new_keys_differ_and_can_be_sent() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(key.isascii() and key.isprintable() and " " not in key and len(key) >= 43 for key in made)


def _names(ring: KeyRing) -> list[str]:
    return [key.name for key in ring.current().keys]


def test_a_changed_file_is_taken_over_at_the_next_look(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys", Clock()
    path.write_text(_line("a", "1"))
    ring = KeyRing(path, _line("e", "9"), clock)
    path.write_text(f"{_line('b', '2')}\n{_line('c', '3')}")
    clock.now = 0.4
    assert _names(ring) == ["a", "e"]
    clock.now = 1.1
    assert _names(ring) == ["b", "c", "e"]
    # Put in its place, as editors and Kubernetes do.
    replacement = tmp_path / "new"
    replacement.write_text(f"{_line('d', '2')}\n{_line('c', '3')}")
    os.utime(replacement, ns=(path.stat().st_mtime_ns,) * 2)
    replacement.replace(path)
    clock.now = 3
    assert _names(ring) == ["d", "c", "e"]


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "keys", Clock()
    path.write_text(_line("a", "1"))
    ring = KeyRing(path, None, clock)
    monkeypatch.delattr(api_keys, "read_file")
    for clock.now in (1.5, 3, 10):
        assert _names(ring) == ["a"]


def test_a_broken_version_locks_at_the_second_look_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "keys", Clock()
    path.write_text(f"{_line('a', '1')}\n{_line('b', '2')}")
    ring = KeyRing(path, None, clock)

    def errors() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]

    breakings: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: path.write_text(f"my-secret-key\n{_line('a', '1')}"), ["a"]),
        (lambda: path.write_text("my-secret-key"), []),
        (lambda: path.write_text(""), []),
        (path.unlink, []),
    ]
    for count, (breaking, left) in enumerate(breakings, 1):
        breaking()
        clock.now += 1
        assert _names(ring) == (["a", "b"] if count == 1 else left)  # an editor may be writing it
        for _ in range(3):
            clock.now += 1
            assert _names(ring) == left
            assert len(ring.current().faults) == 1
        assert len(errors()) == count
        assert errors()[-1].endswith(f" {len(left)} API keys are in force.")
    assert "my-secret-key" not in caplog.text
    path.write_text(_line("b", "2"))
    clock.now += 1
    assert _names(ring) == ["b"]
    assert ring.current().faults == ()
    path.write_text("")
    clock.now += 1
    assert _names(ring) == ["b"]
    clock.now += 1
    assert _names(ring) == []
    assert len(errors()) == 5  # what is broken again is told again


def test_what_could_not_be_read_for_a_moment_keeps_the_keys_and_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing about the file shows that it can be read now, and a removed key must not stay in use."""
    path, clock = tmp_path / "keys", Clock()
    path.write_text(_line("a", "1"))
    ring = KeyRing(path, None, clock)
    path.write_text(_line("b", "2"))

    def fail(_: Path) -> str:
        raise KeysError("Too many open files.")

    for names in (["a"], []):
        with monkeypatch.context() as patch:
            patch.setattr(api_keys, "read_file", fail)
            clock.now += 1
            assert _names(ring) == names
    clock.now += 1
    assert _names(ring) == ["b"]
