"""The commands and snippets of README.md, CONTRIBUTING.md and docs/ are run; settings and links are checked.

How these pages have to be written for this:

- A block of ``console`` has commands after ``$ ``, with ``\\`` at the end of a line that goes on, and below
  each what it prints on standard output, if that is to be seen. Numbers may differ, white space too, and
  ``...`` stands for anything. All commands of a block share a shell, in a folder with the files of fixture
  ``folder``. Port 8000 of this machine is a service with the bundled weights.
- A block of ``json`` is what one of the commands of the block before it prints.
- ``make ...`` is only asked whether it would, and ``iqa serve ...`` whether it knows its flags: the service
  is there already. What downloads or installs (``git``, ``cd``, ``pip``, ``docker``) is passed over.
- A block of ``python`` is run as a program in the same folder.
- ``<!-- not run: why -->`` on the line before a block exempts it. Blocks of other languages are only text.
- In tables, a row begins with the variable in backticks; a default in backticks in the next column is held
  against that of the setting.
"""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from app.settings import Settings
from tests.app.command_line import save_crops
from tests.app.running import running
from tests.photographs import named
from tests.test_architecture import _FLOORS as FLOORS

_ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(
    r"^(?P<before>[^\n]*)\n+```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_ROW = re.compile(r"^\| *`(IQA_\w+)`[^|]*\|(?: *`([^`|]*)`)?", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_ELSEWHERE = ("git ", "cd ", "pip ", "docker ")
_MOST_WORDS = 1500
_MARK = "=== end of command ==="


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``answers`` are the JSON blocks that come after it."""

    language: str
    text: str
    line: int
    exempt: bool
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """A command of a console block, and what it is said to print."""

    command: str
    printed: str


def blocks(markdown: str) -> list[Block]:
    found: list[Block] = []
    for match in _BLOCK.finditer("\n" + markdown):
        line = markdown.count("\n", 0, match.start("language")) + 1
        exempt = match["before"].startswith("<!-- not run:")
        if match["language"] == "json" and found and not exempt:
            found[-1] = replace(found[-1], answers=(*found[-1].answers, match["text"]))
        else:
            found.append(Block(match["language"], match["text"], line, exempt))
    return found


def steps(console: str) -> list[Step]:
    commands: list[list[str]] = []
    going_on = False
    for line in console.splitlines():
        if line.startswith("$ "):
            commands.append([line[2:], ""])
        elif going_on:
            commands[-1][0] += "\n" + line
        else:
            commands[-1][1] += line + "\n"
            continue
        going_on = line.endswith("\\")
    return [Step(command, printed) for command, printed in commands]


def agree(printed: str, expected: str) -> bool:
    """Whether an output is the expected one, up to numbers, white space and ``...``."""
    printed, expected = (_NUMBER.sub("#", "".join(text.split())) for text in (printed, expected))
    pattern = ".*".join(re.escape(part) for part in re.split(r"\.\.\.|…", expected))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def script(commands: list[str], address: str) -> str:
    """A shell script of a block, with a mark after what each of its commands prints."""
    lines = ["set -e"]  # without pipefail: `iqa score ... | head` is a fine command
    for command in commands:
        for port in ("localhost:8000", "127.0.0.1:8000"):
            command = command.replace(port, address)
        if command.startswith(_ELSEWHERE):
            command = ":"
        elif command.startswith("make "):
            command = f"make -n -C {shlex.quote(str(_ROOT))} {command.removeprefix('make ')} > /dev/null"
        elif re.search(r"\biqa serve\b", command):
            command += " --help > /dev/null"
        lines += [command, f"echo; echo '{_MARK}'"]
    return "\n".join(lines)


def without_code(markdown: str) -> str:
    """The text without its blocks and its code in backticks."""
    return re.sub(r"`[^`\n]+`", "", _FENCED.sub("", markdown))


def anchors(markdown: str) -> set[str]:
    """Fragments by which the headings of a page can be linked to, as GitHub makes them."""
    headings = (heading.replace("`", "").lower() for heading in _HEADING.findall(_FENCED.sub("", markdown)))
    return {re.sub(r"[^\w -]", "", heading).strip().replace(" ", "-") for heading in headings}


@cache
def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _pages() -> list[Path]:
    """The pages whose commands are run; test_the_readme_is_there says if the first is missing."""
    pages = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md")), _ROOT / "CONTRIBUTING.md"]
    return [page for page in pages if page.is_file()]


def _everything() -> str:
    return "\n".join(map(_text, _pages()))


def _documents() -> list[Path]:
    """All pages of the repository that link to one another."""
    folders = (
        _ROOT,
        _ROOT / "docs",
        _ROOT / "docker",
        _ROOT / "models" / "weights",
        _ROOT / "tests/benchmarks",
    )
    return [page for folder in folders for page in sorted(folder.glob("*.md"))]


def _parameters(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{page.relative_to(_ROOT).as_posix()}-line-{block.line}")
        for page in _pages()
        for block in blocks(_text(page))
        if block.language == language and not block.exempt
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of the pages would be, with photographs of their own.

    ``photo.jpg``; ``a.jpg`` and ``b.jpg``, ``reference.jpg`` and ``distorted.jpg``, ``original.png`` and
    ``compressed.jpg``, the second a blurred or compressed first; ``photos/`` with ``scores.csv``;
    ``accepted/`` and ``rejected/``, the second blurred; ``originals/`` and ``copies/``.
    """
    folder = tmp_path_factory.mktemp("reader")
    first, *others = (Image.fromarray(pixels) for pixels in named().values())
    for name in ("photo.jpg", "a.jpg", "reference.jpg", "original.png"):
        first.save(folder / name)
    for name in ("b.jpg", "distorted.jpg"):
        first.filter(ImageFilter.GaussianBlur(3)).save(folder / name)
    first.save(folder / "compressed.jpg", quality=10)
    (folder / "photos").mkdir()
    rows = []
    for number, photo in enumerate(others):
        for level, sigma in enumerate((0, 2)):
            name = f"{number}-{level}.jpg"
            photo.filter(ImageFilter.GaussianBlur(sigma)).save(folder / "photos" / name, quality=92)
            rows.append([name, 0.9 - 0.3 * level - 0.01 * number])
    with (folder / "photos" / "scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "mos"], *rows])
    (folder / "copies").mkdir()
    for path in save_crops(folder / "originals", 3):
        with Image.open(path) as crop:
            crop.save(folder / "copies" / f"{path.stem}.webp", quality=30)
    save_crops(folder / "accepted", 20)
    for path in save_crops(folder / "rejected", 10):
        with Image.open(path) as crop:
            crop.filter(ImageFilter.GaussianBlur(4)).save(path)
    return folder


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """``host:port`` of a service as it is without any settings."""
    with running({"IQA_CACHE_BYTES": None, "IQA_DECODE_PROCESSES": None}) as (_, client):
        yield client.base_url.netloc.decode()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The reader's: ``iqa`` and ``python`` are those of this environment."""
    programs = tmp_path_factory.mktemp("bin")
    for name, arguments in (("iqa", "-m app.cli"), ("python", ""), ("python3", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("block", _parameters("console"))
def test_console_blocks_do_what_they_say(
    block: Block, folder: Path, address: str, environment: dict[str, str]
) -> None:
    if "curl " in block.text and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    expected = steps(block.text)
    done = subprocess.run(
        ["bash", "-c", script([step.command for step in expected], address)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(_MARK)
    for step, text in zip(expected, printed, strict=False):
        is_run = not step.command.startswith(("make ", *_ELSEWHERE))
        assert not is_run or not step.printed.strip() or agree(text, step.printed), (step, text)
        assert "/problems/" not in text or "/problems/" in step.printed, (step, text)
    for answer in block.answers:
        assert any(agree(text, answer) for text in printed), (answer, printed)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("block", _parameters("python"))
def test_python_blocks_run(block: Block, folder: Path, address: str, environment: dict[str, str]) -> None:
    program = block.text.replace("localhost:8000", address).replace("127.0.0.1:8000", address)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_is_there_and_shows_both_commands() -> None:
    commands = [
        step.command
        for block in blocks(_text(_ROOT / "README.md"))
        if block.language == "console"
        for step in steps(block.text)
    ]
    assert "make serve" in commands
    assert "make test" in commands


def test_the_table_of_settings_has_them_all_with_their_defaults() -> None:
    found = _ROW.findall(_everything())
    rows = dict(found)
    assert len(rows) == len(found), "a setting has two rows"
    fields = {f"IQA_{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    assert set(rows) == set(fields)
    stated = {name: default for name, default in rows.items() if default}
    assert stated == {name: as_text(fields[name]) for name in stated}


def as_text(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_no_page_names_a_setting_that_there_is_not() -> None:
    known = {f"IQA_{name.upper()}" for name in Settings.model_fields}
    known.add("IQA_API_KEY")  # the command line's own, as a client
    assert set(re.findall(r"\bIQA_[A-Z][A-Z0-9_]*[A-Z0-9]\b", _everything())) <= known


@pytest.mark.parametrize("page", _documents(), ids=lambda page: page.relative_to(_ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(without_code(_text(page))) if "://" not in link]
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = target.exists() and target.is_relative_to(_ROOT)
        if not is_there or (anchor and anchor not in anchors(_text(target))):
            broken.append(link)
    assert broken == []


def test_the_architecture_page_shows_the_floors_as_they_are() -> None:
    rows = re.findall(r"^\| (\d+) \| (`app[^|]*|`models`) \|", _text(_ROOT / "ARCHITECTURE.md"), re.MULTILINE)
    floors = {int(number): set(re.findall(r"`([\w.]+)`", packages)) for number, packages in rows}
    assert floors == {len(FLOORS) - down: packages for down, packages in enumerate(FLOORS)}


def test_the_readme_stays_short() -> None:
    assert len(_text(_ROOT / "README.md").split()) <= _MOST_WORDS


_SAMPLE = """# Title
```console
$ curl -s \\
  localhost:8000/score
{"score": 0.5, ...}
$ make serve PORT=9000
```
That is:
```json
{"score": 0.5}
```

<!-- not run: takes an hour -->
```console
$ iqa train
```
"""


def test_blocks_and_steps_are_found() -> None:
    first, second = blocks(_SAMPLE)
    assert (first.language, first.exempt, first.line) == ("console", False, 2)
    assert first.answers == ('{"score": 0.5}\n',)
    assert (second.exempt, second.line) == (True, 14)
    assert steps(first.text) == [
        Step("curl -s \\\n  localhost:8000/score", '{"score": 0.5, ...}\n'),
        Step("make serve PORT=9000", ""),
    ]


def test_commands_are_aimed_at_the_running_service() -> None:
    text = script(["curl localhost:8000/score", "make serve", "IQA_PORT=1 iqa serve --port 2"], "here:1")
    assert "curl here:1/score" in text
    assert f"make -n -C {_ROOT} serve" in text
    assert "IQA_PORT=1 iqa serve --port 2 --help" in text


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ('{"score":0.8123,"model":"bpclip"}', '{\n  "score": 0.5,\n  "model": "bpclip"\n}', True),
        ('{"score":0.8123,"model":"bpclip"}', '{"score": 0.5, ...}', True),
        ('{"score":0.8123,"model":"bpclip"}', '{"score": 0.5, "model": "qualiclip"}', False),
        ('{"score":0.8123,"model":"bpclip"}', '{"score": 0.5}', False),
        ("a.jpg 1e-05", "a.jpg 0.25", True),
    ],
)
def test_outputs_agree_up_to_numbers_and_dots(printed: str, expected: str, same: bool) -> None:
    assert agree(printed, expected) is same


def test_links_of_code_are_none_and_headings_have_anchors() -> None:
    text = "# A `GET /x` page, *short*\n```console\n# no heading [a](b)\n```\n`[c](d)` [e](f#g)\n"
    assert _LINK.findall(without_code(text)) == ["f#g"]
    assert anchors(text) == {"a-get-x-page-short"}
