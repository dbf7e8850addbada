"""What came of scoring an image file, or of comparing two."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.fetching.buckets import StoredObject
from app.schemas.compare import UntimedCompare
from app.schemas.score import UntimedScore

if TYPE_CHECKING:  # it brings numpy and Pillow
    from app.picking.look import LumaThumb

FileName = Path | StoredObject
"""What an image is known by: the path of a file, or the address of an object in a bucket."""

STANDARD_INPUT: Final = Path("-")
"""The name of a file that stands for the standard input."""


@dataclass(frozen=True)
class ScoredFile:
    """An image file and the answer to ``POST /score`` for it (without timing), or why there is none.

    `look` is the image, small, where that was wanted.

    Not the exception: with its traceback it would hold the file's bytes, for every damaged file of many.
    """

    path: FileName
    answer: UntimedScore | None
    problem: str = ""
    look: "LumaThumb | None" = None

    @property
    def local(self) -> Path:
        """The path, where only files were given."""
        assert isinstance(self.path, Path), "it is in a bucket"
        return self.path


@dataclass(frozen=True)
class FilePair:
    """An image file and its reference."""

    reference: Path
    copy: Path


@dataclass(frozen=True)
class ComparedFiles:
    """Two image files and the answer to ``POST /compare`` for them (without timing), or why there is none."""

    pair: FilePair
    answer: UntimedCompare | None
    problem: str = ""
