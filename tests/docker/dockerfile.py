"""A Dockerfile as its instructions, stage by stage."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

_STAGE = re.compile(r"(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One instruction; of a line that goes on, all of it."""

    keyword: str
    text: str

    def words(self) -> list[str]:
        """Of the exec form, a JSON list; ValueError for the shell form, whose shell would keep signals."""
        found = json.loads(self.text)
        assert isinstance(found, list)
        return found

    def pairs(self) -> dict[str, str]:
        """Of ENV, LABEL and ARG: names and values; "" for an ARG without a default."""
        found = re.findall(r'([\w.]+)(?:=("(?:[^"\\]|\\.)*"|\S*))?', self.text)
        return {name: value.strip('"') for name, value in found}


@dataclass
class Stage:
    """What begins with FROM.

    Attributes:
        base: an image, or the name of an earlier stage.
        name: "" for the last one, which is the image.
    """

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, keyword: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.keyword == keyword]

    def only(self, keyword: str) -> Instruction:
        (found,) = self.all(keyword)
        return found

    def pairs(self, keyword: str) -> dict[str, str]:
        """Those of all instructions of a kind."""
        return {
            name: value for instruction in self.all(keyword) for name, value in instruction.pairs().items()
        }


@dataclass
class Dockerfile:
    """All of it; `arguments` are those before the first stage."""

    arguments: dict[str, str]
    stages: list[Stage]

    def stage(self, name: str) -> Stage:
        (found,) = [stage for stage in self.stages if stage.name == name]
        return found

    def ancestors(self, stage: Stage) -> list[Stage]:
        """The stages that one is made of, itself first; their files are in it, and their history."""
        bases = [other for other in self.stages if other.name == stage.base]
        return [stage, *(self.ancestors(bases[0]) if bases else [])]


def read(path: Path) -> Dockerfile:
    text = re.sub(r"(?m)^[ \t]*#.*\n", "", path.read_text(encoding="utf-8"))
    text = re.sub(r"\\\n\s*", " ", text)
    found = Dockerfile({}, [])
    for line in filter(str.strip, text.splitlines()):
        keyword, _, rest = line.strip().partition(" ")
        instruction = Instruction(keyword.upper(), rest.strip())
        if instruction.keyword == "FROM":
            match = _STAGE.fullmatch(instruction.text)
            assert match, line
            found.stages.append(Stage(match["base"], match["name"] or ""))
        elif found.stages:
            found.stages[-1].instructions.append(instruction)
        else:
            assert instruction.keyword == "ARG", line
            found.arguments |= instruction.pairs()
    return found
