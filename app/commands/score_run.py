"""One run of ``iqa score``: where the results go as they come, and what is said when it ends."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from app.bulk.buckets.score_parts import ScoreParts
from app.bulk.file_formats import encoded
from app.bulk.path_set import PathSet
from app.bulk.rows import answer_fields, flat, path_of
from app.bulk.run_manifest import About
from app.bulk.score_file import ScoreFile
from app.bulk.scorers import Source
from app.bulk.summary import Summary
from app.commands.table import Table
from app.commands.terminal import CommandFailure, Meter, sentence_of, stoppable
from app.fetching.bucket_files import BucketFailure
from app.scoring.outcomes import FileName, ScoredFile

_MOST_NAMED: Final = 1000
_GO_ON: Final = "The same command with --resume goes on from there."


class Run:
    """A run.

    Args:
        output: file or prefix of a bucket that the scores go to; None where they are printed.
        overwrite: whether an existing file is started over.
        as_json: whether they are printed as lines of JSON; otherwise as a table.

    Attributes:
        summary: of all images of the file, or of the run where there is no file.
        about: where the scores come from; None as long as there are none.
        scored: images of this run.
        failed: those of this run that could not be scored.
        failures: the first thousand of them.
        interrupted: how far it was when it was interrupted; None where it was not.
    """

    def __init__(
        self, output: ScoreFile | ScoreParts | None, *, overwrite: bool = False, as_json: bool = False
    ) -> None:
        self.summary = Summary()
        self.about: About | None = None
        self.scored = self.failed = 0
        self.interrupted: str | None = None
        self._output = output
        self._overwrite = overwrite
        self._as_json = as_json
        self._table = Table()
        self._done = PathSet()
        self.failures: list[ScoredFile] = []

    def take_over(self) -> PathSet:
        """The images that need no further score. They are counted as if they had been scored now.

        Raises:
            OutputError: the file cannot be resumed.
        """
        if self._output is not None and self._output.exists and not self._overwrite:
            self.about = self._output.about()
            for row in self._output.rows():
                self.summary.add(row)
                if row.get("problem") is None or not self._output.retries:
                    self._done.add(path_of(row))
        return self._done

    def score(
        self,
        source: Source,
        meant: Iterable[FileName],
        total: int | None,
        about: About,
        count: Callable[[], int] | None = None,
    ) -> None:
        """Scores files until all are done, or Ctrl-C is pressed.

        Args:
            source: that scores.
            meant: the files.
            total: how many they are; None where that is not known yet.
            about: what this run would be as the first one.
            count: tells how many they are, which may take minutes.

        Raises:
            CommandFailure: no further file can be scored, or written down; what is done is kept.
            OutputError: the file cannot be resumed.
        """
        if self._output is not None and self.about is not None:
            self._output.go_on(about)
            if self._output.retries:
                self.summary.forget_failures()
        else:
            self.about = about
            if self._output is not None:
                self._output.remove()  # not before it is known that there will be another one
                self._output.begin(about)
        with self._kept(), Meter("scoring", total) as meter, stoppable() as stopped:
            if count is not None:
                threading.Thread(target=_expect, args=(meter, count), daemon=True).start()
            results = source.score(meant)
            with contextlib.closing(results):
                for scored in results:
                    meter.advance()
                    self._take(scored, meter)
                    if stopped():
                        self.interrupted = f"Interrupted after {meter.progress} files."
                        break

    def finish(self) -> None:
        """Makes the file of scores.

        Raises:
            CommandFailure: it cannot be written; what is done is kept.
        """
        if self._output is not None and self.about is not None:
            with self._kept():
                self.about = self._output.finish()

    def show(self) -> None:
        """Prints the table, if it is one."""
        self._table.show()

    def close(self) -> None:
        """Lets go of the file."""
        self._done.close()
        if self._output is not None:
            self._output.close()

    def go_on(self) -> str:
        """How to, where that is possible."""
        return "" if self._output is None else f" {_GO_ON}"

    def _take(self, scored: ScoredFile, meter: Meter) -> None:
        if scored.answer is None:
            self.failed += 1
            if len(self.failures) < _MOST_NAMED:
                self.failures.append(scored)
        else:
            self.scored += 1
        if self._output is not None:
            self.summary.add(self._output.append(scored))
            return
        fields = answer_fields(scored)
        self.summary.add(flat(fields))
        if scored.answer is None:
            return
        if self._as_json:
            meter.print(to_json(fields))
        else:
            self._table.add(scored.path, scored.answer)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Says how to resume the run, where the block fails in an expected way."""
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Interrupted.{self.go_on()}") from None
        except (BrokenPipeError, CommandFailure):
            raise
        except Exception as error:
            sentence = sentence_of(error)
            if sentence is None:
                raise
            raise CommandFailure(f"{sentence}{self.go_on()}") from error


def _expect(meter: Meter, count: Callable[[], int]) -> None:
    """Tells a meter how much there is, once that has been counted."""
    # Whoever goes through the images meets it, too; and what was done is closed when the run is over.
    with contextlib.suppress(BucketFailure, sqlite3.Error):
        meter.expect(count())


def to_json(fields: dict[str, object]) -> str:
    """One line."""
    return encoded(fields).decode().rstrip("\n")
