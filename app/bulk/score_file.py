"""A file of scores in the making: begun, resumed, finished.

While images are scored, their rows stand in a part file beside it (``scores.csv.part.sqlite``); at the end
the file is made of that in one step, so ``scores.csv`` is always a whole file.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.bulk.file_formats import JsonLines, format_of
from app.bulk.part_file import PartFile, part_of, remove_part
from app.bulk.rows import Row, answer_fields, flat
from app.bulk.run_manifest import About, beside, score_columns
from app.scoring.outcomes import ScoredFile
from models.files import appearing

_EARLIER_PART: Final = ".part.jsonl"  # as earlier versions wrote it


class ScoreFile:
    """A file of scores.

    Args:
        path: of the file; the end of its name says the format.

    Raises:
        OutputError: there is no such format here.
    """

    retries = True
    """Whether the rows of files that could not be scored are taken out when it is resumed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._format = format_of(path)
        self._part_path = part_of(path)
        self._earlier_part = path.with_name(path.name + _EARLIER_PART)
        self._part: PartFile | None = None

    @property
    def exists(self) -> bool:
        """Whether the file is there, or what it is made of."""
        return self.path.exists() or self._begun

    @property
    def finished(self) -> bool:
        """Whether nothing is left of making it."""
        return self.path.exists() and not self._begun

    @property
    def _begun(self) -> bool:
        return self._part_path.exists() or self._earlier_part.exists()

    def remove(self) -> None:
        """Removes it, and what belongs to it.

        Raises:
            OSError: it cannot be removed.
        """
        self._remove_parts()  # first: as long as they are there, they count
        for path in (self.path, beside(self.path)):
            path.unlink(missing_ok=True)

    def about(self) -> About:
        """Where the scores come from that are there.

        Raises:
            OutputError: that is unknown.
        """
        return About.read(self.path)

    def rows(self) -> Iterator[Row]:
        """The rows that are there, those of failures too.

        Raises:
            OutputError: they cannot be read.
        """
        for fields in self._fields():
            yield flat(fields) if "models" in fields else fields

    def begin(self, about: About) -> None:
        """Makes ready for the first row.

        Raises:
            OutputError: another program is writing it.
            OSError: it cannot be written.
        """
        about.write(self.path)
        self._part = self._open()

    def go_on(self, now: About) -> None:
        """Makes ready for further rows; those of failures are taken out, as these files are retried.

        Args:
            now: what this run would be as the first one.

        Raises:
            OutputError: the rows that are there have another basis or cannot be read, or another program is
                writing them.
            OSError: it cannot be written.
        """
        before = self.about()
        before.basis.check(now.basis, self.path)
        self._part = self._open()
        self._part.drop_failures()
        before.with_names_of(now).write(self.path)

    def append(self, scored: ScoredFile) -> Row:
        """Writes the row of a file, and returns it.

        Raises:
            OSError: it cannot be written.
        """
        assert self._part is not None, "begin or go_on comes first"
        fields = answer_fields(scored)
        row = flat(fields)
        self._part.append(row if self._format.table else fields)
        return row

    def finish(self) -> About:
        """Makes the file of the part file, if that has not been done.

        Raises:
            OSError: it cannot be written; the part file stays.
        """
        about = self.about()
        if self.finished:
            return about
        self._part = self._part or self._open()
        about = about.model_copy(update={"ended": datetime.now(UTC)})
        about.write(self.path)
        with appearing(self.path) as file:
            if self._format.table:
                self._format.write(self._part, score_columns(about), file, about.model_dump_json())
            else:
                file.writelines(self._part.lines())
        self.close()
        self._remove_parts()
        return about

    def close(self) -> None:
        """Lets go of the part file; a second time does nothing."""
        if self._part is not None:
            self._part.close()
            self._part = None

    def _fields(self) -> Iterator[Row]:
        if self._part is not None:
            yield from self._part
        elif self._part_path.exists():
            with self._open() as part:
                yield from part
        else:
            yield from self._before()

    def _open(self) -> PartFile:
        return PartFile(self._part_path, self._before())

    def _before(self) -> Iterator[Row]:
        """The rows that a part file begins with."""
        if self._earlier_part.exists():
            yield from JsonLines().read(self._earlier_part, ())
        elif self.path.exists():
            # The file stays as it is until the new one takes its place.
            yield from self._format.read(self.path, score_columns(self.about()))

    def _remove_parts(self) -> None:
        self._earlier_part.unlink(missing_ok=True)
        remove_part(self.path)
