"""What a benchmark has measured so far, kept beside its table until that is written, so that it can go on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from app.bulk.part_file import PartFile, part_of, remove_part
from app.commands.terminal import fail
from app.printable import shown

ImageScores = dict[str, float]
"""The scores of an image, by what gave them."""

_BASIS: Final = "basis"


class Journal:
    """The scores of images, by name.

    Args:
        table: file that the benchmark will write; None where nothing is kept.
        basis: what the scores depend on.

    Raises:
        CommandFailure: what is there was measured on another basis.
        OutputError: another program is writing it.
    """

    def __init__(self, table: Path | None, basis: Mapping[str, Any]) -> None:
        self.scores: dict[str, ImageScores] = {}
        self._part: PartFile | None = None
        if table is None:
            return
        self._table, self._path = table, part_of(table)
        self._part = PartFile(self._path, [{"file": "", _BASIS: dict(basis)}])
        before: Mapping[str, Any] | None = None
        self._part.drop_failures()
        for row in self._part:
            if _BASIS in row:
                before = row[_BASIS]
            else:
                self.scores[row["file"]] = row["scores"]
        if before != basis:
            self._part.close()
            different = sorted(key for key in basis if before is None or before.get(key) != basis[key])
            fail(
                f"{shown(self._path)} was begun with other {', '.join(different)}; --overwrite starts again."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._part is not None:
            self._part.close()

    def append(self, name: str, scores: ImageScores) -> None:
        """Keeps the scores of an image.

        Raises:
            OSError: they cannot be written.
        """
        self.scores[name] = scores
        if self._part is not None:
            self._part.append({"file": name, "scores": scores})

    def remove(self) -> None:
        """Removes what is kept, once the table is written."""
        if self._part is not None:
            self._part.close()
            remove_part(self._table)
