"""Policies from TOML files, and the complaints about an invalid file.

Complaints name the file, the policy and the key, in words of ours.
"""

import json
import logging
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from app import text_file
from app.policies.definition import (
    MOST_LIMITS,
    MOST_PIXELS,
    Limit,
    Policy,
    PolicyTable,
    SizeLimit,
)
from app.policies.pair_limits import LARGEST_LIMIT, GradeLimit, PairLimit
from app.policies.written import LONGEST_TEXT, PoliciesError, Written
from app.schemas.measured.exposure import EXPOSURE_MEASURES
from app.schemas.measured.pair_measures import PAIR_MEASURES
from models.grades import GRADES
from models.registry import FULL_REFERENCE, no_reference
from models.vocabulary import DIMENSIONS, FORMER_DIMENSIONS

BUILT_IN_POLICIES: Final = Path(__file__).with_name("built-in.toml")
MOST_POLICIES: Final = 100
"""Each has series of its own among the metrics."""

_LOG: Final = logging.getLogger(__name__)
_LARGEST_FILE: Final = 2**20
_LONGEST_SHOWN: Final = 40  # characters of a file's text that a complaint repeats
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_TEXT: Final = f"a text of 1 to {LONGEST_TEXT} printable characters"
_WANTED: Final = {
    "description": _TEXT,
    "origin": _TEXT,
    "weights": 'a table with the name or the SHA-256 of each model\'s weights, as { bpclip = "..." }, of '
    f"the models {', '.join((*no_reference(), FULL_REFERENCE))}",
    "side": "a table of pixels, as { fail = 200 }",
    "pixels": "a table of pixels, as { fail = 40000 }",
    "not_a_photograph": '"review", "fail", or left out',
    "grade": 'a table of grades, as { fail = "annoying" }',
    "misaligned": '"review", "fail", or left out',
    "comparisons": f"at most {MOST_LIMITS} tables, each under [[NAME.comparisons]]",
    "measure": f"one of {', '.join(PAIR_MEASURES)}",
    "strong_fault": '"review", "fail", or left out',
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
_WANTED_GRADE: Final = f"one of the grades {', '.join(json.dumps(grade) for grade in GRADES[1:])}"
_WANTED_VALUE: Final = f"a number from 0 to 1, or of psnr_db from 0 to {LARGEST_LIMIT:g}"
_WANTED_PIXELS: Final = f"a whole number of pixels from 1 to {MOST_PIXELS}"

_SMALL_TABLES: Final[Mapping[str, type[Written]]] = {
    "side": SizeLimit,
    "pixels": SizeLimit,
    "grade": GradeLimit,
}
_WANTED_BOUNDS: Final[Mapping[type[Written], str]] = {
    SizeLimit: _WANTED_PIXELS,
    GradeLimit: _WANTED_GRADE,
    PairLimit: _WANTED_VALUE,
}


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


def is_policy_name(text: str) -> bool:
    """Whether a policy can be called so."""
    return _NAME.fullmatch(text) is not None


def _policy(name: str, table: object, source: str, built_in: bool) -> Policy:
    if not is_policy_name(name):
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
    for limit in table.get("limits", ()):
        if (today := FORMER_DIMENSIONS.get(limit.get("dimension"))) is not None:
            _LOG.warning(
                "%s, policy %s: the dimension %s is called %s now; please write that",
                source,
                name,
                limit["dimension"],
                today,
            )
    return Policy(name=name, built_in=built_in, **dict(written))


def _complaint(error: ValidationError) -> str:
    """What is wrong first, to be put behind the name of the policy."""
    fault = error.errors(include_url=False, include_context=False)[0]
    where, keys = "", list(fault["loc"])
    kind: type[Written] = PolicyTable
    if keys[:1] == ["limits"] and len(keys) > 1:
        where, keys, kind = f", limit {int(keys[1]) + 1}", keys[2:], Limit
    elif keys[:1] == ["comparisons"] and len(keys) > 1:
        where, keys, kind = f", comparison {int(keys[1]) + 1}", keys[2:], PairLimit
    elif keys and keys[0] in _SMALL_TABLES and len(keys) > 1:
        where, keys, kind = f", {keys[0]}", keys[1:], _SMALL_TABLES[str(keys[0])]
    if not keys:
        if fault["type"] == "value_error":
            return f"{where}, {fault['msg'].removeprefix('Value error, ')}"
        return f"{where}, has to be a table"
    key = str(keys[0])
    if fault["type"] == "extra_forbidden":
        there_are = ", ".join(f"`{each}`" for each in kind.model_fields)
        return f"{where}, has a key {_shown(key)}; there are {there_are}"
    if len(keys) == 1 and fault["type"] == "value_error" and kind is PolicyTable and key in _SMALL_TABLES:
        return f", {key}, {fault['msg'].removeprefix('Value error, ')}"
    wanted = _WANTED[key] if key not in ("fail", "review") else _WANTED_BOUNDS.get(kind, _WANTED[key])
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
