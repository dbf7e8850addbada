"""How the bundled weights answer to faults made on purpose, on photographs that packages carry.

    python -m tests.benchmarks.robustness

Is ``iqa evaluate --robustness`` on those photographs, in float32; what else is given, as ``--plot
curves.svg``, goes on to it.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from app.cli import app
from tests.photographs import named


def write_photographs(folder: Path) -> None:
    """The photographs as PNG files, by name."""
    for name, pixels in named().items():
        Image.fromarray(pixels).save(folder / f"{name}.png")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder))
        app(["evaluate", folder, "--robustness", "--dtype", "float32", *sys.argv[1:]])


if __name__ == "__main__":
    main()
