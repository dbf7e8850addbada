"""What `helm template` makes of docker/helm, as far as its templates go.

They use values and the chart's own fields, variables, `if` with `else`, `with`, `range`, and a few functions.
Whatever else a template may say is rejected, and so is a value that there is not: nothing is overlooked.
Where helm is installed, a test holds this against it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

Resource = dict[str, Any]

_TAG: Final = re.compile(r"(\s*\{\{-|\{\{)\s+(.*?)\s+(-\}\}\s*|\}\})", re.DOTALL)
_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"()]+')
_RANGE: Final = re.compile(r"range (\$\w+), (\$\w+) := (.+)")
_BLOCKS: Final = ("if ", "with ", "range ")


class TemplateError(Exception):
    """A template says what is not known here, or names a value that there is not."""


@dataclass
class _Block:
    """A tag with what stands in it; that of the whole file has no tag."""

    tag: str = ""
    parts: list["str | _Block"] = field(default_factory=list)
    otherwise: list["str | _Block"] | None = None

    @property
    def open_part(self) -> list["str | _Block"]:
        return self.parts if self.otherwise is None else self.otherwise


@dataclass(frozen=True)
class _Scope:
    """What names mean: the whole, the dot, and variables."""

    root: Mapping[str, Any]
    dot: Any
    variables: Mapping[str, Any]


def render(chart: Path, files: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> list[Resource]:
    """The resources of a chart, in the order of its files.

    Args:
        chart: its folder.
        files: names of files of values in it, over those of ``values.yaml``.
        values: over all of these.

    Raises:
        TemplateError: a template is not understood.
    """
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    merged: dict[str, Any] = {}
    for more in (
        *(yaml.safe_load((chart / name).read_text()) for name in ("values.yaml", *files)),
        values or {},
    ):
        merged = _over(merged, more)
    root = {"Values": merged, "Chart": {key[0].upper() + key[1:]: value for key, value in about.items()}}
    resources: list[Resource] = []
    for path in sorted((chart / "templates").iterdir()):
        text = render_text(path.read_text(), root)
        resources += [each for each in yaml.safe_load_all(text) if each is not None]
    return resources


def render_text(template: str, root: Mapping[str, Any]) -> str:
    """A template with what it names in place of the names."""
    return "".join(_written(_parsed(template).parts, _Scope(root, root, {})))


def _over(base: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Values over others, as helm merges them: maps key by key, all else as a whole."""
    merged = deepcopy(base)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = _over(merged[key], value) if both else deepcopy(value)
    return merged


def _parsed(template: str) -> _Block:
    stack = [_Block()]
    place = 0
    for match in _TAG.finditer(template):
        before, tag = template[place : match.start()], match.group(2)
        stack[-1].open_part.append(before)
        place = match.end()
        if tag.startswith(_BLOCKS):
            block = _Block(tag)
            stack[-1].open_part.append(block)
            stack.append(block)
        elif tag == "else" and stack[-1].tag.startswith(("if ", "with ")) and stack[-1].otherwise is None:
            stack[-1].otherwise = []
        elif tag == "end" and len(stack) > 1:
            stack.pop()
        else:
            stack[-1].open_part.append(_Block(f"= {tag}"))
    if len(stack) > 1:
        raise TemplateError(f"{stack[-1].tag} has no end")
    rest = template[place:]
    stack[0].parts.append(rest)
    if any("{{" in part or "}}" in part for part in _texts(stack[0])):
        raise TemplateError("there are braces that are no tag")
    return stack[0]


def _texts(block: _Block) -> Iterator[str]:
    for part in (*block.parts, *(block.otherwise or ())):
        if isinstance(part, str):
            yield part
        else:
            yield from _texts(part)


def _written(parts: Sequence[str | _Block], scope: _Scope) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
            continue
        kind, _, said = part.tag.partition(" ")
        if kind == "=":
            yield _printed(_pipeline(said, scope))
        elif kind == "range":
            yield from _repeated(part, scope)
        else:
            value = _pipeline(said, scope)
            inner = _Scope(scope.root, value if kind == "with" and value else scope.dot, scope.variables)
            yield from _written(part.parts if value else part.otherwise or (), inner)


def _repeated(block: _Block, scope: _Scope) -> Iterator[str]:
    match = _RANGE.fullmatch(block.tag)
    if match is None:
        raise TemplateError(f"not known: {block.tag}")
    key, value, said = match.groups()
    for name, each in sorted(_pipeline(said, scope).items()):
        yield from _written(
            block.parts, _Scope(scope.root, each, {**scope.variables, key: name, value: each})
        )


def _pipeline(said: str, scope: _Scope) -> Any:
    result: list[Any] = []
    for command in said.split(" | "):
        words = _WORD.findall(command)
        if not words or " ".join(words) != command.strip():
            raise TemplateError(f"not known: {said}")
        if words[0] in _FUNCTIONS:
            result = [_FUNCTIONS[words[0]](*(_value(word, scope) for word in words[1:]), *result)]
        elif len(words) == 1 and not result:
            result = [_value(words[0], scope)]
        else:
            raise TemplateError(f"not known: {said}")
    return result[0]


def _value(word: str, scope: _Scope) -> Any:
    if word.startswith('"'):
        return json.loads(word)
    if word.isdigit():
        return int(word)
    name, *path = word.split(".")
    if name:
        if name not in scope.variables:
            raise TemplateError(f"not known: {word}")
        value = scope.variables[name]
    else:
        value, path = (scope.dot, []) if word == "." else (scope.dot, path)
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            raise TemplateError(f"there is no value {word}")
        value = value[step]
    return value


def _printed(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TemplateError(f"{value!r} is not for printing: use toYaml")
    return str(value)


def _to_yaml(value: Any) -> str:
    return yaml.safe_dump(value).removesuffix("\n").removesuffix("\n...")


def _nindent(width: int, text: str) -> str:
    return "\n" + "\n".join(" " * width + line for line in text.split("\n"))


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "quote": lambda value: json.dumps(_printed(value), ensure_ascii=False),
    "toYaml": _to_yaml,
    "nindent": _nindent,
    "default": lambda instead, value: value or instead,
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "or": lambda *values: next((value for value in values if value), values[-1]),
}
