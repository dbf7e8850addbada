"""Image files by the thousand: which ones are meant by names of files and folders, and what came of each."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.bulk.path_set import PathSet
from app.imaging.formats.registry import SUFFIXES
from app.scoring.outcomes import ScoredFile


class Meant:
    """The files that are meant: those named, and the images in folders that are named, in the order of names.

    They are looked up while they are gone through, each once. Only the names in one folder at a time are held
    in memory; where several names were given, which may overlap, the others are on disk.

    Args:
        named: files and folders.
        recursive: whether the folders within folders are searched too.
        done: names that are left out.

    Attributes:
        failures: of the last :meth:`count`: a folder that cannot be read or has no images.
    """

    def __init__(
        self, named: Iterable[Path], *, recursive: bool = False, done: PathSet | tuple[()] = ()
    ) -> None:
        self._named = tuple(named)
        self._recursive = recursive
        self._done = done
        self.failures: list[ScoredFile] = []

    def __iter__(self) -> Iterator[Path]:
        return self._walk([])

    def count(self) -> int:
        """How many there are now; none of them is opened."""
        self.failures = []
        return sum(1 for _ in self._walk(self.failures))

    def _walk(self, failures: list[ScoredFile]) -> Iterator[Path]:
        with PathSet() as met:
            for named in self._named:
                for path in _images_in(named, self._recursive, failures) if named.is_dir() else [named]:
                    if path not in self._done and (len(self._named) == 1 or met.add(path)):
                        yield path


def _images_in(folder: Path, recursive: bool, failures: list[ScoredFile]) -> Iterator[Path]:
    errors: list[OSError] = []
    found = False
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        for name in sorted(names):
            # Hidden files are previews and resource forks more often than images.
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122
                found = True
                yield Path(parent, name)
    for error in errors:
        failures.append(ScoredFile(Path(error.filename), None, f"It cannot be read: {error.strerror}."))
    if not found and not errors:
        deeper = "" if recursive else "; with --recursive, the folders in it are searched too"
        failures.append(ScoredFile(folder, None, f"There is no image in this folder{deeper}."))
