"""What the commands share: where they write, how they say what went wrong, how they show how far they are.

Results go to standard output; progress and complaints go to standard error, so that results can be piped.
"""

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from app.printable import shown
from app.settings import SettingsError

SOME_FAILED: Final = 1
UNUSABLE: Final = 2
"""Wrong usage, settings or weights: nothing was done. Typer's own errors have this status too."""
INTERRUPTED: Final = 130  # as shells report the signal: 128 + SIGINT
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE

_LINE_EVERY_S: Final = 5.0
_PIPED_WIDTH: Final = 240  # what is read by a program or from a file is not to be squeezed into 80 columns

# Looked up and not imported: with most of them comes torch, and what was raised has been imported already.
_EXPECTED: Final = (
    ("app.errors", "ServiceError"),
    ("app.fetching.bucket_files", "BucketFailure"),
    ("app.client.errors", "ClientError"),
    ("app.bulk.errors", "OutputError"),
    ("app.auth.api_keys", "KeysError"),
    ("app.policies", "PoliciesError"),
    ("app.supervisor", "CannotStart"),
    ("app.inference.canary", "CanaryFailed"),
    ("models.runtime.backend", "DeviceUnavailable"),
    ("models.training.optimize", "TrainingError"),
    ("models.training.photos", "DataError"),
    ("models.checkpoints.errors", "WeightsError"),
    ("models.datasets.labels", "LayoutError"),
    ("models.registry", "UnknownModel"),
)

_NOT_IN_SLIM: Final = {"torch": "PyTorch", "open_clip": "open_clip"}
"""What the slim installation is without, by the name of its module."""


class CommandFailure(Exception):
    """A command cannot do what it was asked to; the message is one sentence for the user."""


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """Turns what a command can be expected to raise into a sentence on standard error and an exit status."""

    @functools.wraps(command)
    def run(*args: Any, **arguments: Any) -> None:
        try:
            command(*args, **arguments)
            sys.stdout.flush()  # a closed pipe is noticed here, not in the interpreter's last moments
        except KeyboardInterrupt as interrupt:
            complain("Interrupted." if not interrupt.args else str(interrupt.args[0]))
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader is gone. What is still buffered must go somewhere when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        except Exception as error:
            sentence = sentence_of(error)
            if sentence is None:
                raise
            complain(sentence)
            raise typer.Exit(UNUSABLE) from None

    return run


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, to be asked between one piece of work and the next.

    An exception could be raised anywhere, also where a library swallows it. A second Ctrl-C raises it.
    """
    stopped = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, before)


def sentence_of(error: Exception) -> str | None:
    """What to tell the person at the terminal, or None for what can only be a bug."""
    if isinstance(error, CommandFailure | SettingsError):
        return str(error)
    for module, name in _EXPECTED:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return str(error)
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return f"{shown(error.filename)}: {reason}." if error.filename else f"{reason}."
    if isinstance(error, MemoryError):
        return "There is not enough memory."
    if isinstance(error, ModuleNotFoundError) and error.name in _NOT_IN_SLIM:
        return f"This needs {_NOT_IN_SLIM[error.name]}, which is not installed: install the service in full."
    return None


def complain(sentence: str) -> None:
    """Prints to standard error, as it is."""
    print(sentence, file=sys.stderr, flush=True)


def fail(sentence: str) -> NoReturn:
    """Ends the command, having done nothing, with a sentence."""
    raise CommandFailure(sentence)


def require_writable(path: Path | None) -> None:
    """Finds out now, not after hours, that a result has no place to go.

    Raises:
        CommandFailure: it has none.
    """
    if path is None:
        return
    if path.is_dir():
        fail(f"{shown(path)} is a folder; name the file to write.")
    if not path.parent.is_dir():
        fail(f"There is no folder {shown(path.parent)} to write {shown(path.name)} into.")
    if not os.access(path.parent, os.W_OK):
        fail(f"The folder {shown(path.parent)} cannot be written to.")


def console() -> Console:
    """For tables on standard output."""
    plain = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(file=sys.stdout, width=_PIPED_WIDTH if plain else None, highlight=False, emoji=False)


def cell(value: object) -> str:
    """A value for a rich table: printable, and with nothing that rich takes for markup."""
    return escape(shown(value))


class Meter:
    """How far a long piece of work is: a bar where standard error is a terminal; otherwise lines.

    Args:
        label: what is being done, as "scoring".
        total: amount of work; None while that is not known.
        unit: of what; "bytes" are shown in larger units.
    """

    def __init__(self, label: str, total: int | None, unit: str = "images") -> None:
        self.done = 0
        self._label, self._total, self._unit = label, total, unit
        self._began = self._spoke = time.monotonic()
        self._before = 0  # by an earlier run that this one resumes
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = Progress(
                *self._columns(),
                console=Console(file=sys.stderr),
                # Rich would send what is printed to standard output where the bar is: to standard error.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(self._label, total=self._total)
            self._bar.start()
        self._began = self._spoke = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int = 1) -> None:
        """So much more is done."""
        self._show(self.done + count)

    def reach(self, done: int, total: int) -> None:
        """So much of so much is done; what the first call brings was there before."""
        if self._total is None:
            self._before = done
        self._total = total
        self._show(done)

    def expect(self, total: int) -> None:
        """There is so much in all, which was not known at first."""
        self._total = total

    @property
    def progress(self) -> str:
        """How much of how much is done."""
        return str(self.done) if self._total is None else f"{self.done} of {self._total}"

    def print(self, line: str) -> None:
        """Prints a line of results to standard output, above the bar where both are on one terminal."""
        if self._bar is not None and sys.stdout.isatty():
            self._bar.console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)
        else:
            print(line, flush=True)

    def _show(self, done: int) -> None:
        self.done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=self._total)
            return
        now = time.monotonic()
        if now - self._spoke >= _LINE_EVERY_S:
            self._spoke = now
            complain(self._line(now - self._began))

    def _line(self, seconds: float) -> str:
        rate = (self.done - self._before) / seconds
        line = f"{self._label}: {self._amount(self.done)}"
        unit = "MB" if self._unit == "bytes" else self._unit
        if self._total is None:
            return f"{line} {unit}, {self._amount(rate)}/s"
        line = f"{line} of {self._amount(self._total)} {unit}, {self._amount(rate)}/s"
        return f"{line}, {_duration((self._total - self.done) / rate)} left" if rate > 0 else line

    def _amount(self, value: float) -> str:
        if self._unit == "bytes":
            return f"{value / 1e6:.1f}"
        return f"{value:.1f}" if isinstance(value, float) else str(value)

    def _columns(self) -> tuple[ProgressColumn, ...]:
        amounts: tuple[ProgressColumn, ...] = (MofNCompleteColumn(), _Rate())
        if self._unit == "bytes":
            amounts = (DownloadColumn(), TransferSpeedColumn())
        return (TextColumn("{task.description}"), BarColumn(), *amounts, TimeRemainingColumn())


def _duration(seconds: float) -> str:
    """In the largest unit that makes sense: a night's work is not counted in seconds."""
    minutes = round(seconds / 60)
    if minutes < 10:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


class _Rate(ProgressColumn):
    """Items a second, over all of them: batches end in jumps, of which the latest says little."""

    def render(self, task: Task) -> Text:
        text = f"{task.completed / task.elapsed:.1f}/s" if task.completed and task.elapsed else ""
        return Text(text, style="progress.data.speed")
