"""A file of scores in the making: begun, gone on with, finished.

While images are scored, their rows stand in a journal beside the file (``scores.csv.part.jsonl``); at the end
the file is made of it in one step, so whoever finds ``scores.csv`` finds a whole one. Parquet could not be
appended to anyway, and of JSON lines the journal is the file, but for its name.
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.bulk import journal
from app.bulk.file_formats import format_of
from app.bulk.journal import Journal
from app.bulk.rows import Calibrations, Row, answer_fields, columns, flat
from app.bulk.run_manifest import About, beside
from app.scoring.outcomes import Scored
from models.files import appearing, replace_durably

_PART: Final = ".part.jsonl"


class Output:
    """A file of scores.

    Args:
        path: of the file; the end of its name says the format.

    Raises:
        OutputError: there is no such format here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._format = format_of(path)
        self._part = path.with_name(path.name + _PART)
        self._journal: Journal | None = None
        self._calibrations: Calibrations = {}

    @property
    def exists(self) -> bool:
        """Whether the file is there, or what it is made of."""
        return self.path.exists() or self._part.exists()

    @property
    def finished(self) -> bool:
        """Whether nothing is left of making it."""
        return self.path.exists() and not self._part.exists()

    def remove(self) -> None:
        """Removes it, and what belongs to it.

        Raises:
            OSError: it cannot be removed.
        """
        # The journal first: as long as it is there, it counts.
        for path in (self._part, self.path, beside(self.path)):
            path.unlink(missing_ok=True)

    def about(self) -> About:
        """Where the scores come from that are there.

        Raises:
            OutputError: nobody knows.
        """
        return About.read(self.path)

    def rows(self) -> Iterator[Row]:
        """The rows that are there, those of failures too.

        Raises:
            OutputError: they cannot be read, or nobody knows where they come from.
        """
        calibrations = self.about().basis.calibrations
        for fields in self._fields():
            yield flat(fields, calibrations) if "models" in fields else fields

    def begin(self, about: About) -> None:
        """Makes ready for the first row.

        Raises:
            OutputError: another program is writing it.
            OSError: it cannot be written.
        """
        about.write(self.path)
        self._calibrations = about.basis.calibrations
        self._journal = Journal(self._part)

    def go_on(self, now: About) -> None:
        """Makes ready for further rows; those of failures are taken out, as the files are to be tried again.

        Args:
            now: what this run would be as the first one.

        Raises:
            OutputError: the rows that are there have another basis or cannot be read, or another program is
                writing them.
            OSError: it cannot be written.
        """
        before = self.about()
        before.basis.check(now.basis, self.path)
        self._calibrations = now.basis.calibrations
        if self.finished:
            # The file stays as it is until the new one takes its place.
            with appearing(self._part) as file:
                file.writelines(journal.encoded(fields) for fields in self._fields() if _is_score(fields))
        self._journal = Journal(self._part)
        if all(map(_is_score, journal.read(self._part))):
            self._journal.cut()
        else:
            self._journal.keep(_is_score)
        before.with_names_of(now).write(self.path)

    def append(self, scored: Scored) -> Row:
        """Writes the row of a file, and returns it.

        Raises:
            OSError: it cannot be written.
        """
        assert self._journal is not None, "begin or go_on comes first"
        fields = answer_fields(scored)
        row = flat(fields, self._calibrations)
        self._journal.append(row if self._format.table else fields)
        return row

    def finish(self) -> About:
        """Makes the file of the journal, if that has not been done.

        Raises:
            OSError: it cannot be written; the journal stays.
        """
        about = self.about()
        if self.finished:
            return about
        if self._journal is None:
            self._journal = Journal(self._part)
            self._journal.cut()
        self._journal.sync()
        about = about.model_copy(update={"ended": datetime.now(UTC)})
        about.write(self.path)
        if self._format.table:
            with appearing(self.path) as file:
                rows = journal.read(self._part)
                self._format.write(rows, columns(about.basis.names), file, about.model_dump_json())
            self._part.unlink()
        else:
            replace_durably(self._part, self.path)
        self.close()
        return about

    def close(self) -> None:
        """Lets go of the journal; a second time does nothing."""
        if self._journal is not None:
            with contextlib.suppress(OSError):
                self._journal.sync()
            self._journal.close()
            self._journal = None

    def _fields(self) -> Iterator[journal.Fields]:
        if self._part.exists():
            return journal.read(self._part)
        return self._format.read(self.path, columns(self.about().basis.names))


def _is_score(fields: journal.Fields) -> bool:
    return fields.get("problem") is None
