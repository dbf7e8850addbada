"""What came of scoring an image file."""

from dataclasses import dataclass
from pathlib import Path

from app.schemas.score import UntimedScore


@dataclass(frozen=True)
class ScoredFile:
    """An image file and the answer to ``POST /score`` for it (without timing), or why there is none.

    Not the exception: with its traceback it would hold the file's bytes, for every damaged file of many.
    """

    path: Path
    answer: UntimedScore | None
    problem: str = ""
