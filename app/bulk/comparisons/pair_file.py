"""A file of comparisons in the making: what is compared already is kept beside it until it is whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from app.bulk.errors import OutputError
from app.bulk.part_file import PartFile, part_of
from app.bulk.rows import Row

_BASIS: Final = "basis"
_NAMED: Final = {
    "models": "other weights",
    "max_scored_pixels": "another --max-scored-pixels",
    "policy": "another policy",
    "measures": "other measures",
    "resize": "another --resize",
}


class UnfinishedPairs:
    """The comparisons of a file that is not finished, locked against other programs while the block runs.

    Args:
        path: of the file.
        basis: all that a comparison depends on beside the two images, by the names above.

    Attributes:
        lines: of JSON, of the pairs that were compared before; those that could not be are tried again.

    Raises:
        OutputError: they were made on another basis, or another program is making them.
        OSError: they cannot be read or written.
    """

    def __init__(self, path: Path, basis: Mapping[str, Any]) -> None:
        try:
            self._part = PartFile(part_of(path), [{_BASIS: basis}])
        except OutputError as error:
            raise OutputError(f"{path.name} cannot be gone on with: {error}") from error
        try:
            self._part.drop_failures()
            first, *self.lines = self._part
            was = first.get(_BASIS, {})
            if differing := [_NAMED[name] for name in _NAMED if was.get(name) != basis[name]]:
                raise OutputError(
                    f"{path.name} cannot be gone on with: it was begun with {', '.join(differing)}. Give "
                    "another file, or --overwrite."
                )
        except BaseException:
            self._part.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._part.close()

    def append(self, line: Row) -> None:
        """Keeps a further line.

        Raises:
            OSError: it cannot be written; those before it are kept.
        """
        self._part.append(line)
