"""Scores in a bucket: Parquet parts below a prefix, each written once.

``s3://photos/scores/`` gets ``part-000000.parquet``, ``part-000001.parquet``, ...: the images in the order in
which they were scored, so many in each. A part that is there is never written again, so whoever reads the
parts sees whole ones only. ``run.json`` beside them says where the scores come from.
"""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from app.bulk.errors import OutputError
from app.bulk.file_formats import Parquet
from app.bulk.rows import Row, answer_fields, flat
from app.bulk.run_manifest import About, score_columns
from app.errors import FetchFailed
from app.fetching.bucket_files import Buckets
from app.fetching.buckets import StoredObject
from app.scoring.outcomes import ScoredFile

ROWS_OF_PART: Final = 2000
"""Some hundred kilobytes; what a driver that is killed has to score again."""
_RUN: Final = "run.json"
_PART: Final = re.compile(r"part-(\d{6,})\.parquet")


class ScoreParts:
    """Scores below a prefix.

    A row stays, that of an image that could not be scored, too. One program at a time writes: of two, the
    one that comes second to a part ends.

    Args:
        place: the prefix.
        rows: of a part.

    Raises:
        OutputError: pyarrow is missing.
        BucketFailure: the library that writes to buckets is missing.
    """

    retries = False

    def __init__(self, place: StoredObject, rows: int = ROWS_OF_PART) -> None:
        self.path = place
        self._format = Parquet()
        self._buckets = Buckets()
        self._rows_of_part = rows
        self._next = 0
        self._written = False
        self._waiting: list[Row] = []

    @property
    def exists(self) -> bool:
        """Whether there are scores, or a run has begun."""
        return self._buckets.find(self.path.below(_RUN)) is not None or next(self._parts(), None) is not None

    def remove(self) -> None:
        """Removes all parts, then what says where they come from.

        Raises:
            BucketFailure: they cannot be removed.
        """
        for _, part in list(self._parts()):
            self._buckets.remove(part)
        self._buckets.remove(self.path.below(_RUN))

    def about(self) -> About:
        """Where the scores come from that are there.

        Raises:
            OutputError: that is unknown.
        """
        try:
            return About.model_validate_json(self._buckets.read(self.path.below(_RUN)))
        except FetchFailed:
            raise OutputError(
                f"There is no {_RUN} in {self.path}, which says where its scores come from, so it cannot be "
                "gone on with."
            ) from None
        except ValidationError:
            raise OutputError(f"{self.path.below(_RUN)} is not what this program writes.") from None

    def rows(self) -> Iterator[Row]:
        """The rows that are there; a part is held at a time.

        Raises:
            OutputError: they cannot be read.
        """
        columns = None
        for number, part in self._parts():
            columns = columns or score_columns(self.about())
            self._next = max(self._next, number + 1)
            yield from self._format.read_open(io.BytesIO(self._buckets.read(part)), part.name, columns)

    def begin(self, about: About) -> None:
        """Makes ready for the first row.

        Raises:
            BucketFailure: it cannot be written.
        """
        self._next = 0
        self._write_about(about)

    def go_on(self, now: About) -> None:
        """Makes ready for further rows, once :meth:`rows` has been gone through.

        Args:
            now: what this run would be as the first one.

        Raises:
            OutputError: the rows that are there have another basis.
            BucketFailure: it cannot be written.
        """
        before = self.about()
        before.basis.check(now.basis, self.path)
        self._write_about(before.with_names_of(now))

    def append(self, scored: ScoredFile) -> Row:
        """Takes the row of an image, and returns it; with the last one of a part, the part is written.

        Raises:
            OutputError: another program writes there.
            BucketFailure: it cannot be written.
        """
        row = flat(answer_fields(scored))
        self._waiting.append(dict(row))
        if len(self._waiting) >= self._rows_of_part:
            self._write_part()
        return row

    def finish(self) -> About:
        """Writes the last part, and that the run has ended.

        Raises:
            OutputError: another program writes there.
            BucketFailure: it cannot be written.
        """
        self._write_part()
        about = self.about()
        if about.ended is None or self._written:
            about = about.model_copy(update={"ended": datetime.now(UTC)})
            self._write_about(about)
        return about

    def close(self) -> None:
        """Writes the rows that no part has yet; a second time does nothing.

        Raises:
            OutputError: another program writes there.
            BucketFailure: it cannot be written.
        """
        self._write_part()

    def _parts(self) -> Iterator[tuple[int, StoredObject]]:
        """With their numbers, in the order in which they were written."""
        for found in self._buckets.below(self.path):
            match = _PART.fullmatch(found.name)
            if match is not None and found == self.path.below(found.name):
                yield int(match[1]), found

    def _write_part(self) -> None:
        if not self._waiting:
            return
        rows, self._waiting = self._waiting, []
        about = self.about()
        file = io.BytesIO()
        self._format.write(rows, score_columns(about), file, about.model_dump_json())
        part = self.path.below(f"part-{self._next:06}.parquet")
        if not self._buckets.write(part, file.getvalue(), once=True):
            raise OutputError(f"{part} was written by another program meanwhile.")
        self._next += 1
        self._written = True

    def _write_about(self, about: About) -> None:
        self._buckets.write(self.path.below(_RUN), about.model_dump_json(indent=1).encode() + b"\n")
