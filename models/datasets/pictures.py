"""The image files of a data set that are to be measured on: which, where, and which are not there."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from models.datasets.known import Dataset
from models.datasets.labels import LabeledImage, LayoutError

_SUFFIXES: Final = frozenset({".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff"})


@dataclass(frozen=True)
class BenchmarkPicture:
    """An image file, what people said of it (higher is better), and its reference where it has one."""

    name: str
    path: Path
    target: float
    reference: Path | None = None


@dataclass(frozen=True)
class Located:
    """What of a data set is to be measured on.

    Attributes:
        split: train, validation, test or all.
        pictures: in the order of the labels.
        missing: names that the labels have and the folder has not.
        surplus: files beside those of the labels, which the labels do not name.
    """

    split: str
    pictures: tuple[BenchmarkPicture, ...]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]


def locate(dataset: Dataset, folder: Path, split: str | None = None, limit: int | None = None) -> Located:
    """Reads the labels of a data set and looks for the files that they name.

    Names are compared without their case: of TID2013, labels and files differ in it.

    Args:
        dataset: which one.
        folder: where it is.
        split: train, validation, test or all; None for the test split where there is one, and else all.
        limit: no more than so many images, a sample that is always the same; None for all of them.

    Raises:
        LayoutError: the folder is not the data set's, or it has no such split.
    """
    labels = dataset.read(folder)
    splits = {label.split for label in labels} - {""}
    split = split or ("test" if "test" in splits else "all")
    if split != "all" and split not in splits:
        there_are = f"it has {', '.join(sorted(splits))}" if splits else "it has none"
        raise LayoutError(f"{dataset.title} has no official split {split}; {there_are}.")
    images = _index(dataset, folder, dataset.images)
    references = _index(dataset, folder, dataset.references) if dataset.references else {}
    pictures, missing = [], []
    for label in _sample([each for each in labels if split in ("all", each.split)], limit):
        path = images.get(label.image.lower())
        reference = references.get((label.reference or "").lower()) if dataset.references else None
        if path is None:
            missing.append(label.image)
        elif label.reference is not None and reference is None:
            missing.append(label.reference)
        else:
            assert label.score is not None
            target = -label.score if dataset.lower_is_better else label.score
            pictures.append(BenchmarkPicture(label.image, path, target, reference))
    return Located(split, tuple(pictures), tuple(dict.fromkeys(missing)), _surplus(labels, images))


def _sample(labels: Sequence[LabeledImage], limit: int | None) -> list[LabeledImage]:
    """Those with a score; with a limit the first by a digest of their names, in the order of the labels."""
    scored = [label for label in labels if label.score is not None]
    if limit is None or limit >= len(scored):
        return scored
    chosen = sorted(scored, key=lambda label: hashlib.sha256(label.image.encode()).digest())[:limit]
    kept = set(chosen)
    return [label for label in scored if label in kept]


def _index(dataset: Dataset, folder: Path, patterns: Sequence[str]) -> dict[str, Path]:
    """The image files of the first pattern that is there, by their lower-case path below it."""
    for pattern in patterns:
        folders = [folder] if pattern == "." else [each for each in folder.glob(pattern) if each.is_dir()]
        if folders:
            return {
                path.relative_to(each).as_posix().lower(): path
                for each in folders
                for path in sorted(each.rglob("*"))
                if path.suffix.lower() in _SUFFIXES
            }
    raise LayoutError(
        f"There is no folder {patterns[0]} in {folder}. {dataset.title} as published has {dataset.layout}."
    )


def _surplus(labels: Sequence[LabeledImage], images: dict[str, Path]) -> tuple[str, ...]:
    """Files in the folders that labels name images in, which they do not name; references are none."""
    known = {label.image.lower() for label in labels} | {(label.reference or "").lower() for label in labels}
    folders = {PurePosixPath(label.image.lower()).parent for label in labels}
    return tuple(name for name in images if name not in known and PurePosixPath(name).parent in folders)
