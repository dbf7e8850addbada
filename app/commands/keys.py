"""``iqa keys``: making API keys, and hashing those of another source."""

import fcntl
import getpass
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from app.auth.api_keys import MOST_KEYS, ApiKey, digest_of, is_name, new_key, parse_keys
from app.commands.terminal import complain, fail, reported
from app.printable import shown

keys_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Make API keys for the service."
)

_SHORT: Final = 32
"""Shorter keys can be found by trying, given the hash."""


@keys_app.command()
@reported
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; the log names it.")],
    pixels_per_second: Annotated[
        int | None,
        typer.Option(min=1, max=10**15 - 1, help="Budget of the key; without it there is no limit."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="List to add the key to (IQA_API_KEYS_FILE); made if it is not there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a key, and print it for the only time: the list of keys holds its hash alone.

    A service that uses FILE takes the key within a second.
    """
    if not is_name(name):
        fail("A name has 1 to 64 letters, digits and ._@- of ASCII, and begins with a letter or a digit.")
    secret = new_key()
    key = ApiKey(name, digest_of(secret.encode()), pixels_per_second)
    if file is not None:
        _append(file.expanduser(), key)
    if as_json:
        print(json.dumps({"name": name, "key": secret, "line": key.line()}))
        return
    print(f"key:  {secret}")
    print(f"line: {key.line()}")
    if file is not None:
        complain(f"The line has been added to {shown(file)}. The key cannot be shown again.")
    else:
        complain("The line belongs into the file of IQA_API_KEYS_FILE. The key cannot be shown again.")


@keys_app.command("hash")
@reported
def hash_key() -> None:
    """Read a key from standard input, and print its SHA-256 as a list of keys has it."""
    key = getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()
    key = key.strip()
    if not key:
        fail("There is no key on standard input.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        fail("A key is sent in a header: it has to be printable ASCII without spaces.")
    if len(key) < _SHORT:
        complain(f"The key has fewer than {_SHORT} characters. Unless they are random, it can be guessed.")
    print(digest_of(key.encode()).hex())


def _append(path: Path, key: ApiKey) -> None:
    """Adds a key to a list, which its owner alone may read if it is new.

    Raises:
        KeysError: the list cannot be used as it is.
    """
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "rb+") as file:
        # Two processes that add at once take turns, or both could add the same name.
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            fail(f"{shown(path)} is not UTF-8 text.")
        keys = parse_keys(text, shown(path))
        if any(other.name == key.name for other in keys):
            fail(f"{shown(path)} has a key of {key.name} already.")
        if len(keys) >= MOST_KEYS:
            fail(f"{shown(path)} has {len(keys)} keys already; no more are taken.")
        separator = "\n" if text and not text.endswith("\n") else ""
        # In one piece: a service that reads it meanwhile sees the whole line or none.
        os.write(file.fileno(), f"{separator}{key.line()}\n".encode())
