"""A policy as the text of a TOML file, which :mod:`app.policies.reading` reads again."""

import json
from collections.abc import Iterator, Mapping

from app.policies.definition import Limit, PolicyTable


def to_toml(name: str, table: PolicyTable) -> str:
    """The text of a file with this policy alone."""
    return "\n".join([*_lines(name, table), ""])


def _lines(name: str, table: PolicyTable) -> Iterator[str]:
    yield f"[{name}]"
    written = table.model_dump(exclude_none=True, exclude={"weights", "comparisons", "limits"})
    yield from _pairs(written)
    if table.weights:
        yield from ("", f"[{name}.weights]")
        yield from _pairs(table.weights)
    for comparison in table.comparisons:
        yield from ("", f"[[{name}.comparisons]]")
        yield from _pairs(comparison.model_dump(exclude_none=True))
    for limit in table.limits:
        yield from ("", f"[[{name}.limits]]")
        yield from _pairs(_limit(limit))


def _limit(limit: Limit) -> Mapping[str, object]:
    return limit.model_dump(exclude_none=True)


def _pairs(values: Mapping[str, object]) -> Iterator[str]:
    for key, value in values.items():
        yield f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(_pairs(value))} }}"
    # JSON's texts, numbers and truth values are TOML's, too.
    return json.dumps(value, ensure_ascii=False)
