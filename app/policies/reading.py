"""Policies from TOML files, and the complaints about an invalid file.

Complaints name the file, the policy and the key, in words of ours.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from app import text_file
from app.policies.definition import (
    LONGEST_TEXT,
    MOST_LIMITS,
    MOST_PIXELS,
    Limit,
    PoliciesError,
    Policy,
    PolicyTable,
    SizeLimit,
    Written,
)
from app.schemas.exposure import EXPOSURE_MEASURES
from models.registry import no_reference
from models.vocabulary import DIMENSIONS

BUILT_IN_POLICIES: Final = Path(__file__).with_name("built-in.toml")
MOST_POLICIES: Final = 100
"""Each has series of its own among the metrics."""

_LARGEST_FILE: Final = 2**20
_LONGEST_SHOWN: Final = 40  # characters of a file's text that a complaint repeats
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_TEXT: Final = f"a text of 1 to {LONGEST_TEXT} printable characters"
_WANTED: Final = {
    "description": _TEXT,
    "origin": _TEXT,
    "weights": 'a table with the name or the SHA-256 of each model\'s weights, as { bpclip = "..." }, of '
    f"the models {', '.join(no_reference())}",
    "side": "a table of pixels, as { fail = 200 }",
    "pixels": "a table of pixels, as { fail = 40000 }",
    "limits": f"at most {MOST_LIMITS} tables, each under [[NAME.limits]]",
    "score": "true, or left out",
    "dimension": f"one of {', '.join(DIMENSIONS)}",
    "adjective": 'one of the 40 adjectives, as "blurry"',
    "exposure": f"one of {', '.join(EXPOSURE_MEASURES)}",
    "bad": '"below" or "above"',
    "model": f"one of {', '.join(no_reference())}",
    "fail": "a number from 0 to 1",
    "review": "a number from 0 to 1",
    "message": _TEXT,
}
_WANTED_PIXELS: Final = f"a whole number of pixels from 1 to {MOST_PIXELS}"


def load(path: Path | None) -> dict[str, Policy]:
    """The built-in policies and those of a file, whose definitions win.

    Raises:
        PoliciesError: the file cannot be read, or is invalid.
    """
    policies = parse(_read(BUILT_IN_POLICIES), "The file of the built-in policies", built_in=True)
    if path is None:
        return policies
    source = f"The file of policies {path}"
    written = parse(_read(path), source)
    if not written:
        raise PoliciesError(f"{source} holds none.")
    return policies | written


def parse(text: str, source: str, *, built_in: bool = False) -> dict[str, Policy]:
    """The policies of a file's text, of which there may be none.

    Raises:
        PoliciesError: the text is invalid; the message calls it `source`.
    """
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise PoliciesError(f"{source} is nested too deeply.") from None
    except tomllib.TOMLDecodeError as error:
        raise PoliciesError(f"{source} is not TOML: {error}.") from None
    except ValueError:  # of numbers with thousands of digits
        raise PoliciesError(f"{source} has a number that cannot be read.") from None
    if len(tables) > MOST_POLICIES:
        raise PoliciesError(f"{source} has {len(tables)} policies; at most {MOST_POLICIES} are taken.")
    return {name: _policy(name, table, source, built_in) for name, table in tables.items()}


def _policy(name: str, table: object, source: str, built_in: bool) -> Policy:
    if not _NAME.fullmatch(name):
        raise PoliciesError(
            f"{source} has a policy {_shown(name)}; a name has 1 to 64 small letters, digits and hyphens, "
            "and does not begin with a hyphen."
        )
    if not isinstance(table, dict):
        raise PoliciesError(f"{source} has `{name}` outside of a policy; a policy begins with [{name}].")
    try:
        written = PolicyTable.model_validate(table)
    except ValidationError as error:
        raise PoliciesError(f"{source}, policy {name}{_complaint(error)}.") from None
    return Policy(name=name, built_in=built_in, **dict(written))


def _complaint(error: ValidationError) -> str:
    """What is wrong first, to be put behind the name of the policy."""
    fault = error.errors(include_url=False, include_context=False)[0]
    where, keys = "", list(fault["loc"])
    kind: type[Written] = PolicyTable
    if keys[:1] == ["limits"] and len(keys) > 1:
        where, keys, kind = f", limit {int(keys[1]) + 1}", keys[2:], Limit
    elif keys[:1] in (["side"], ["pixels"]) and len(keys) > 1:
        where, keys, kind = f", {keys[0]}", keys[1:], SizeLimit
    if not keys:
        if fault["type"] == "value_error":
            return f"{where}, {fault['msg'].removeprefix('Value error, ')}"
        return f"{where}, has to be a table"
    key = str(keys[0])
    if fault["type"] == "extra_forbidden":
        there_are = ", ".join(f"`{each}`" for each in kind.model_fields)
        return f"{where}, has a key {_shown(key)}; there are {there_are}"
    if (
        len(keys) == 1
        and fault["type"] == "value_error"
        and kind is PolicyTable
        and key in ("side", "pixels")
    ):
        return f", {key}, {fault['msg'].removeprefix('Value error, ')}"
    wanted = _WANTED_PIXELS if kind is SizeLimit and key in ("fail", "review") else _WANTED[key]
    return f"{where}: `{key}` has to be {wanted}; it is {_shown(fault['input'])}"


def _shown(value: object) -> str:
    """A value of the file, on one line and not too long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _read(path: Path) -> str:
    try:
        return text_file.read_text(path, "The file of policies", _LARGEST_FILE)
    except text_file.UnreadableText as error:
        raise PoliciesError(str(error)) from error
