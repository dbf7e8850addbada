"""Folders of photographs: which are held out, what people said of them, and their pixels.

A folder of scored photographs holds a ``scores.csv`` with the columns ``image`` and ``mos`` (in [0, 1],
higher is better) and, where it has parts, ``subset``.
"""

import contextlib
import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from cachetools import LRUCache
from PIL import Image
from torch import Tensor

from models.color.upright import upright_srgb
from models.preprocessing import Preprocessing

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif"})
SCORES = "scores.csv"
Split = Literal["train", "holdout", "all"]


class DataError(Exception):
    """A folder or table cannot be used; the message is one sentence that says why."""


@dataclass(frozen=True)
class ScoredPhoto:
    """A photograph and the mean opinion score that people gave it, in [0, 1]."""

    path: Path
    mos: float
    subset: str


def is_held_out(name: str) -> bool:
    """Whether a file of this name is for measuring only: one in eight, by the SHA-256 of the name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") % 8 == 0


def list_photos(folder: Path, split: Split = "train") -> list[Path]:
    """Image files of a folder by name, the part of ``split``.

    Raises:
        DataError: no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
    chosen = [path for path in paths if _in_split(path.name, split)]
    if not chosen:
        raise DataError(f"The folder {folder} holds no photographs of the split {split}.")
    return chosen


def list_scored(folder: Path, split: Split = "train", scores: Path | None = None) -> list[ScoredPhoto]:
    """Photographs with scores, the part of ``split``, in the order of the table.

    Args:
        folder: where the photographs are.
        split: which part of them.
        scores: the table; ``scores.csv`` in the folder where it is left out.

    Raises:
        DataError: no table, wrong columns, a score that is no number in [0, 1], or a file that is missing.
    """
    table = scores or folder / SCORES
    if not table.is_file():
        raise DataError(f"There is no table of scores at {table}.")
    photos = []
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not {"image", "mos"} <= set(rows.fieldnames or ()):
            raise DataError(f"The table {table} needs the columns image and mos.")
        for row in rows:
            if not _in_split(row["image"], split):
                continue
            path = folder / row["image"]
            try:
                mos = float(row["mos"])
            except (TypeError, ValueError):
                mos = float("nan")
            if not 0 <= mos <= 1:
                raise DataError(f"The score of {row['image']} in {table} is not a number from 0 to 1.")
            if not path.is_file():
                raise DataError(f"{path} has a score in {table}, but the file is missing.")
            photos.append(ScoredPhoto(path, mos, row.get("subset") or ""))
    if not photos:
        raise DataError(f"The table {table} has no photographs of the split {split}.")
    return photos


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and sizes of files: tells data of the same name apart without reading it all."""
    summary = hashlib.sha256()
    for path in sorted(paths):
        summary.update(f"{path.name} {path.stat().st_size}\n".encode())
    return summary.hexdigest()


class PhotoReader:
    """Decoded photographs, kept in memory up to a bound.

    Args:
        cache_bytes: of pixels that are kept; the least recently used ones go first.
        longest_side: larger photographs are brought down to it, as for scoring.
    """

    def __init__(self, cache_bytes: int = 7 * 2**29, longest_side: int = 1024) -> None:
        self._photos: LRUCache[Path, Tensor] = LRUCache(cache_bytes, lambda photo: photo.nbytes)
        self._preprocessing = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), longest_side=longest_side)

    def read(self, path: Path) -> Tensor:
        """``(3, H, W)`` uint8, upright and sRGB; not to be changed.

        Raises:
            DataError: not an image that can be decoded.
        """
        if path in self._photos:
            return self._photos[path]
        try:
            with Image.open(path) as image:
                pixels = self._preprocessing.fit(upright_srgb(image).pixels, None)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{path} cannot be decoded.") from error
        photo = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        with contextlib.suppress(ValueError):  # it alone is over the bound
            self._photos[path] = photo
        return photo


def _in_split(name: str, split: Split) -> bool:
    return split == "all" or is_held_out(name) == (split == "holdout")
