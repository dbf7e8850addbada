"""``iqa keys``: what is printed, what is written down, and that the service can use it."""

import hashlib
import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.auth.api_keys import MOST_KEYS, ApiKey, digest_of, find, read_keys
from app.cli import app
from app.commands.terminal import UNUSABLE
from tests.app.command_line import ROOT, invoke, start


def test_a_new_key_is_printed_once_with_its_line() -> None:
    result = invoke("keys", "new", "anna", "--pixels-per-second", "5000000")
    assert result.exit_code == 0, result.stderr
    key, line = (printed.split(None, 1)[1] for printed in result.stdout.splitlines())
    assert line == f"anna:{hashlib.sha256(key.encode()).hexdigest()}:5000000"
    assert "IQA_API_KEYS_FILE" in result.stderr
    assert key not in result.stderr
    assert read_keys(None, line).keys == (ApiKey("anna", digest_of(key.encode()), 5_000_000),)
    assert invoke("keys", "new", "anna").stdout != result.stdout


def test_as_json() -> None:
    result = invoke("keys", "new", "anna", "--json")
    answer = json.loads(result.stdout)
    assert answer["name"] == "anna"
    assert answer["line"] == f"anna:{hashlib.sha256(answer['key'].encode()).hexdigest()}"


def test_a_key_is_added_to_a_file_that_the_service_can_use(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    made = [
        json.loads(invoke("keys", "new", name, "--file", path, "--json").stdout)
        for name in ("anna", "bob@example.org", "c.d_e-f")
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().splitlines() == [answer["line"] for answer in made]
    listed = read_keys(path, None).keys
    assert [find(listed, answer["key"].encode()) for answer in made] == list(listed)
    assert not any(answer["key"] in path.read_text() for answer in made)


def test_what_is_in_a_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    before = f"# ours\n{ApiKey('bob', digest_of(b'b')).line()}  # no newline follows"
    path.write_text(before)
    path.chmod(0o640)
    assert invoke("keys", "new", "anna", "--file", path).exit_code == 0
    assert path.read_text().startswith(before + "\nanna:")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [key.name for key in read_keys(path, None).keys] == ["bob", "anna"]


@pytest.mark.process
def test_a_name_is_used_once_even_by_two_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "keys"

    def add(_: int) -> int:
        command = [sys.executable, "-m", "app.cli", "keys", "new", "anna", "--file", str(path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=120).returncode

    with ThreadPoolExecutor(3) as pool:
        codes = list(pool.map(add, range(3)))
    assert sorted(codes) == [0, UNUSABLE, UNUSABLE]
    assert len(read_keys(path, None).keys) == 1
    result = invoke("keys", "new", "anna", "--file", path)
    assert result.exit_code == UNUSABLE
    assert result.stderr == f"{path} has a key of anna already.\n"
    assert result.stdout == ""


@pytest.mark.parametrize("content", ["my-secret", "anna:123", "\xff"])
def test_a_file_that_is_no_list_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content.encode("latin-1"))
    result = invoke("keys", "new", "bob", "--file", path)
    assert result.exit_code == UNUSABLE
    assert len(result.stderr.splitlines()) == 1
    assert content not in result.stderr
    assert result.stdout == ""
    assert path.read_bytes() == content.encode("latin-1")


def test_no_more_keys_are_added_than_the_service_takes(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    lines = [ApiKey(f"n{number}", digest_of(str(number).encode())).line() for number in range(MOST_KEYS)]
    path.write_text("\n".join(lines))
    result = invoke("keys", "new", "anna", "--file", path)
    assert (result.exit_code, result.stdout) == (UNUSABLE, "")
    assert len(read_keys(path, None).keys) == MOST_KEYS


@pytest.mark.parametrize("name", ["", "an na", "a:b", "a#b", "a,b", "ä", "-", "x" * 65, "a\n"])
def test_a_name_that_cannot_stand_in_a_line_is_refused(name: str) -> None:
    result = invoke("keys", "new", "--", name)
    assert result.exit_code == UNUSABLE
    assert "letters, digits" in result.stderr
    assert result.stdout == ""


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "none" / "keys"
    result = invoke("keys", "new", "anna", "--file", path)
    assert result.exit_code == UNUSABLE
    assert result.stderr == f"{path}: No such file or directory.\n"


@pytest.mark.parametrize("rate", ["0", "-1", "many"])
def test_a_budget_is_a_number_of_pixels(rate: str) -> None:
    assert invoke("keys", "new", "anna", "--pixels-per-second", rate).exit_code == UNUSABLE


@pytest.mark.parametrize("typed", ["k" * 40 + "\n", "k" * 40, "  " + "k" * 40 + "\r\n"])
def test_a_key_is_hashed_from_standard_input(typed: str) -> None:
    result = CliRunner().invoke(app, ["keys", "hash"], input=typed)
    assert result.exit_code == 0
    assert result.stdout == hashlib.sha256(b"k" * 40).hexdigest() + "\n"
    assert result.stderr == ""


def test_a_short_key_is_warned_of() -> None:
    result = CliRunner().invoke(app, ["keys", "hash"], input="secret\n")
    assert result.stdout == hashlib.sha256(b"secret").hexdigest() + "\n"
    assert "it can be guessed" in result.stderr
    assert "secret" not in result.stderr


@pytest.mark.parametrize("typed", ["", "\n", "two words\n", "schlüssel\n"])
def test_what_cannot_be_sent_is_no_key(typed: str) -> None:
    result = CliRunner().invoke(app, ["keys", "hash"], input=typed)
    assert (result.exit_code, result.stdout) == (UNUSABLE, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.process
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"IQA_API_KEYS_FILE": "/nowhere/keys"},
            "iqa serve: The file of API keys /nowhere/keys cannot be read: No such file or directory.",
        ),
        (
            {"IQA_API_KEYS": "anna:not-a-hash-but-the-key"},
            "iqa serve: IQA_API_KEYS, entry 1, is neither NAME:SHA256 nor NAME:SHA256:PIXELS_PER_SECOND, "
            "with a name of letters, digits and ._@-, and 64 hexadecimal digits.",
        ),
        ({"IQA_API_KEYS": " , "}, "iqa serve: IQA_API_KEYS is set and holds no key."),
    ],
)
def test_the_service_does_not_start_with_keys_that_cannot_be_used(
    environment: dict[str, str], sentence: str
) -> None:
    process = start("serve", "--port", "0", environment=environment)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (1, "", sentence + "\n")
