"""Looks for contradictions in answers of the bundled weights: reading, faults, summary, verdict, confidence.

    python -m tests.benchmarks.contradictions PHOTOS... [--copies 3] [--split holdout]

Scores every photograph of the folders as it is, and some copies of it that are distorted on purpose, judges
all of them by the policy upload, and prints each kind of contradiction with how often it occurs and an
example. Exits with 1 where there is one.
"""

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from app.bulk.scorers import InProcess
from app.settings import Settings
from models.training.distortions.table import DISTORTIONS, EXTRA_FAULTS, LEVELS, distort
from models.training.photos import list_photos
from tests.contradictions import contradictions

_KINDS: Final = [(name, level) for name in (*DISTORTIONS, *EXTRA_FAULTS) for level in LEVELS]


def distorted_copies(photo: Path, number: int, folder: Path) -> Iterator[Path]:
    """Writes so many copies of a photograph to a folder, each distorted otherwise; always the same ones."""
    with Image.open(photo) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255
    draw = random.Random(photo.name)
    for name, level in draw.sample(_KINDS, number):
        generator = torch.Generator().manual_seed(draw.randrange(2**31))
        distorted = (255 * distort(pixels, name, level, generator)).round().byte().permute(1, 2, 0)
        path = folder / f"{photo.stem}-{name}-{level}.png"
        Image.fromarray(distorted.numpy()).save(path, compress_level=1)
        yield path


def found_in(paths: Iterable[Path]) -> tuple[int, dict[str, list[str]]]:
    """How many files were scored, and by kind of contradiction the names of the files with what each says.

    Raises:
        RuntimeError: a file could not be scored.
    """
    found: dict[str, list[str]] = defaultdict(list)
    scored = 0
    source = InProcess(Settings(), "upload")
    for each in source.score(paths):
        if each.answer is None:
            raise RuntimeError(f"{each.path}: {each.problem}")
        scored += 1
        for contradiction in contradictions(each.answer):
            kind, _, about = contradiction.partition(" / ")
            found[kind].append(f"{each.path.name}: {about}")
    return scored, found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what is found; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="+", help="folders of photographs")
    parser.add_argument("--copies", type=int, default=3, help="distorted copies of each photograph")
    parser.add_argument("--split", choices=("train", "holdout", "all"), default="holdout")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:

        def files() -> Iterator[Path]:
            for photo in (each for photos in given.photos for each in list_photos(photos, given.split)):
                yield photo
                yield from distorted_copies(photo, given.copies, Path(folder))

        scored, found = found_in(files())
    for kind, examples in sorted(found.items(), key=lambda item: -len(item[1])):
        print(f"{len(examples):5} {kind}; for example {examples[0]}")
    print(f"{scored} images, {sum(map(len, found.values()))} contradictions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
