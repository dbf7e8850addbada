"""The command line for tests: in this process where that is enough, in one of its own where it is not."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from typer.testing import CliRunner, Result

from app.cli import app
from tests.photographs import named, photographs

ROOT = Path(__file__).parents[2]
SIZE = (80, 112)  # of :func:`save_photographs`: height, width


def invoke(
    *arguments: object, environment: Mapping[str, str] | None = None, standard_input: bytes | None = None
) -> Result:
    """The outcome of a command that is run in this process; a bug in it is raised."""
    # Threads of several tests at a time would wait for each other's cores, and decoders take long to start.
    variables = {"IQA_THREADS": "1", "IQA_DECODE_PROCESSES": "1", **(environment or {})}
    texts = [str(argument) for argument in arguments]
    result = CliRunner().invoke(app, texts, input=standard_input, env=variables)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def start(*arguments: object, environment: Mapping[str, str], **options: Any) -> subprocess.Popen[str]:
    """A command as a user starts it: a process of its own, and a group of its own for signals."""
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", *(str(argument) for argument in arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        text=True,
        start_new_session=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def lines_of_json(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def save_photographs(folder: Path, *names: str) -> Path:
    """A new folder with a crop of each of these photographs, in PNG."""
    folder.mkdir()
    for name in names:
        Image.fromarray(named()[name][50 : 50 + SIZE[0], 60 : 60 + SIZE[1]]).save(folder / f"{name}.png")
    return folder


def save_crops(folder: Path, count: int, size: tuple[int, int] = (160, 120)) -> list[Path]:
    """Files of different crops of real photographs, named so that their order is that of their making."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = photographs()
    paths = []
    for number in range(count):
        step = 7 * (number // len(photos))
        pixels = photos[number % len(photos)][step : step + size[1], step : step + size[0]]
        paths.append(folder / f"{number:03}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=90)
    return paths


def cut_off(path: Path) -> None:
    """Leaves the first half of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
