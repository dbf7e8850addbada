"""Image files to answers in this process, by the service's own code: decoded ahead, scored in batches."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from app import preparation
from app.api.answers import compare_answer, score_answer
from app.api.schemas import UntimedCompare, UntimedScore
from app.commands.official import fetch_with_progress
from app.commands.terminal import shown
from app.errors import ServiceError, SizeMismatch
from app.images import Limits
from app.preparation import Prepared, Question
from app.scheduling import Line, Waiting
from app.settings import Settings
from app.worker.assembly import budget_for, engine_for, state_of
from app.worker.runner import run_tasks
from app.worker.tasks import Result, Task, items_of

SUFFIXES: Final = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
    ".avif", ".heic", ".heif",
})  # fmt: skip
"""What is taken for an image in a folder; a file that is named itself is tried whatever its name."""

_BYTES_PER_PIXEL: Final = 8
"""Of the densest files there are, uncompressed 16-bit colour with alpha. The byte limit of the settings is
for uploads; here a file may be as large as one of the most pixels allowed can get."""


class FileFailure(Exception):
    """A file that could not be scored; the message says why, without the file's name."""


@dataclass(frozen=True)
class Scored:
    """An image file and the answer to ``POST /score`` for it (without timing), or why there is none.

    Not the exception: with its traceback it would hold the file's bytes, for every damaged file of many.
    """

    path: Path
    answer: UntimedScore | None
    problem: str = ""


class Scorer:
    """The models of the settings, on the first of its devices, with files for input.

    Args:
        settings: as for the service.
        full_reference: whether pairs are to be compared too.

    Raises:
        WeightsError: weights cannot be used.
        DeviceUnavailable: likewise for the device.
    """

    def __init__(self, settings: Settings, *, full_reference: bool = False) -> None:
        if settings.sources().get("qualiclip") == "official":
            fetch_with_progress(settings.qualiclip_sha256)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.engine = engine_for(settings, models=None if full_reference else settings.models)
        self._settings = settings
        self._budget = budget_for(settings, self.engine)
        max_bytes = max(settings.max_body_bytes, _BYTES_PER_PIXEL * settings.max_pixels)
        self._limits = replace(Limits.of(settings), max_bytes=max_bytes)
        self._question = Question(self.engine.models, (), deadline=float("inf"))
        # As a worker would describe itself: what files are prepared and answers are written by.
        self._state = state_of(self.engine)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the no-reference models, in the order asked for."""
        return self.engine.models

    def score(self, paths: Iterable[Path]) -> Iterator[Scored]:
        """Scores files in their order. A file that fails stops nothing.

        However many there are, no more than a few are held at a time: as many decoded whole as there are
        decoding threads, some more scaled down and waiting for their batch.
        """
        coming = iter(paths)
        waiting: deque[tuple[Path, Future[Prepared | str]]] = deque()
        # In threads of this process: who names files of their own need not be protected from them.
        threads = self._settings.decoders()
        pool = ThreadPoolExecutor(threads, "decode")
        try:
            while True:
                while len(waiting) < 2 * threads + 4 and (path := next(coming, None)) is not None:
                    waiting.append((path, pool.submit(self._prepare, path)))
                if not waiting:
                    return
                yield from self._score_batch(self._take_batch(waiting))
        finally:
            pool.shutdown(cancel_futures=True)

    def compare(self, reference: Path, distorted: Path, *, resize: bool = False) -> UntimedCompare:
        """The answer to ``POST /compare`` (without timing) for two files.

        Raises:
            FileFailure: one of them cannot be read or decoded, or their sizes differ; it names the file.
        """
        contents = self._read_blamed(reference), self._read_blamed(distorted)
        try:
            pair = preparation.prepare_pair(
                contents[0], contents[1], resize, self._limits, self._question, self._state
            )
        except ServiceError as error:
            at_fault = {"reference": reference, "distorted": distorted}.get(str(error.fields.get("field")))
            raise FileFailure(_blaming(error, at_fault)) from error
        tasks: list[Task] = [pair.task, *pair.reference.tasks, *pair.distorted.tasks]
        results = _succeeded(run_tasks(self.engine, tasks)[0])
        return compare_answer(pair, results, 1, self._question, self._state)

    def _read_blamed(self, path: Path) -> bytes:
        try:
            return self._read(path)
        except FileFailure as failure:
            raise FileFailure(f"{shown(path)}: {failure}") from failure

    def _read(self, path: Path) -> bytes:
        try:
            # Not every name is that of a file with an end, /dev/zero for one.
            if path.exists() and not path.is_file():
                raise FileFailure("It is not a file.")
            if path.stat().st_size > self._limits.max_bytes:
                raise FileFailure(f"It has more than {self._limits.max_bytes} bytes.")
            return path.read_bytes()
        except FileNotFoundError:
            raise FileFailure("There is no such file.") from None
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise FileFailure(f"It cannot be read: {getattr(error, 'strerror', None) or error}.") from error

    def _prepare(self, path: Path) -> Prepared | str:
        """A file ready to be scored, or why it is not."""
        try:
            return preparation.prepare(self._read(path), self._limits, self._question, self._state)
        except (FileFailure, ServiceError) as error:
            return str(error)
        except MemoryError:
            return "There is not enough memory to decode it."
        except Exception as error:  # a bug, for which the other files are not to pay
            return _unforeseen(error)

    def _score_prepared(self, images: Sequence[Prepared]) -> Iterator[list[Result | Exception]]:
        """The results of each image's tasks; sizes that go well together share a batch, as in the service."""
        line: Line[int] = Line()
        for number, prepared in enumerate(images):
            line.add(Waiting(number, items_of(prepared.tasks), deadline=float("inf")))
        results: dict[int, list[Result | Exception]] = {}
        while taken := [waiting.key for waiting in line.take(self._budget)]:
            outcomes, _ = run_tasks(self.engine, [task for number in taken for task in images[number].tasks])
            found = iter(outcomes)
            results |= {number: [next(found) for _ in images[number].tasks] for number in taken}
        return (results[number] for number in range(len(images)))

    def _take_batch(
        self, waiting: deque[tuple[Path, Future[Prepared | str]]]
    ) -> list[tuple[Path, Prepared | str]]:
        """The first file, and those behind it that are decoded by now."""
        batch: list[tuple[Path, Prepared | str]] = []
        while waiting and (not batch or waiting[0][1].done()):
            path, future = waiting.popleft()
            batch.append((path, future.result()))
        return batch

    def _score_batch(self, batch: Sequence[tuple[Path, Prepared | str]]) -> Iterator[Scored]:
        results = self._score_prepared([prepared for _, prepared in batch if isinstance(prepared, Prepared)])
        for path, prepared in batch:
            if isinstance(prepared, str):
                yield Scored(path, None, prepared)
                continue
            try:
                succeeded = _succeeded(next(results))
            except FileFailure as failure:
                yield Scored(path, None, str(failure))
            else:
                answer = score_answer(prepared, succeeded, len(batch), self._question, self._state)
                yield Scored(path, answer)


def collect(named: Iterable[Path], *, recursive: bool = False) -> tuple[list[Path], list[Scored]]:
    """The files that are meant: those named, and the images in folders that are named, in the order of names.

    Returns:
        Each file once, and a failure for each folder that cannot be read or has no images.
    """
    files: dict[Path, None] = {}
    failures: list[Scored] = []
    for path in named:
        if path.is_dir():
            files.update(dict.fromkeys(_images_in(path, recursive, failures)))
        else:
            files[path] = None
    return list(files), failures


def _images_in(folder: Path, recursive: bool, failures: list[Scored]) -> list[Path]:
    errors: list[OSError] = []
    found = []
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        for name in sorted(names):
            # Hidden files are previews and resource forks more often than images.
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                found.append(Path(parent, name))
    for error in errors:
        failures.append(Scored(Path(error.filename), None, f"It cannot be read: {error.strerror}."))
    if not found and not errors:
        deeper = "" if recursive else "; with --recursive, the folders in it are searched too"
        failures.append(Scored(folder, None, f"There is no image in this folder{deeper}."))
    return found


def _blaming(error: ServiceError, path: Path | None) -> str:
    if path is not None:
        return f"{shown(path)}: {error}"
    if isinstance(error, SizeMismatch):
        return f"{error} With --resize reference it is brought to that size."
    return str(error)


def _unforeseen(error: Exception) -> str:
    return f"It could not be scored ({type(error).__name__}: {error})."


def _succeeded(results: Sequence[Result | Exception]) -> tuple[Result, ...]:
    succeeded: list[Result] = []
    for result in results:
        if isinstance(result, Exception):
            raise FileFailure(_unforeseen(result)) from result
        succeeded.append(result)
    return tuple(succeeded)
