"""Image files to answers in this process, by the service's own code: decoded ahead, scored in batches."""

import contextlib
import sys
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from app.cpu import SWITCH_INTERVAL_S
from app.errors import ServiceError, SizeMismatch
from app.fetching.bucket_files import Brought, BucketFailure, brought_ahead
from app.imaging.limits import Limits
from app.inference.build import budget_for, engine_for, state_of
from app.inference.engine import Engine
from app.inference.tasks import Result, Task
from app.inference.worker.executor import run_tasks
from app.printable import shown
from app.schemas.compare import UntimedCompare
from app.schemas.measured.pair_measures import MeasureOfFiles
from app.schemas.score import UntimedScore
from app.scoring import requests
from app.scoring.answers import compare_answer, score_answer
from app.scoring.outcomes import STANDARD_INPUT, ComparedFiles, FileName, FilePair, ScoredFile
from app.scoring.pipeline import Pipeline, PipelineOutcome
from app.scoring.requests import Prepared, PreparedPair, Question
from app.settings import Settings, answering
from models.grades import GradeSteps
from models.registry import FULL_REFERENCE

_DEVICES: Final = Path("/dev")
_BYTES_PER_PIXEL: Final = 8
"""Of the densest files there are, uncompressed 16-bit color with alpha. The byte limit of the settings is for
uploads; here a file may be as large as one of the most pixels allowed can get."""


class FileFailure(Exception):
    """A file that could not be scored; the message says why, without the file's name."""


class Scorer:
    """The models of the settings, on the first of its devices, with files for input.

    Args:
        settings: as for the service.
        full_reference: whether pairs can be compared too.
        detail_crops: whether tiles of images at native size are scored too.
        measures: of pairs, beside PSNR and SSIM.
        looks: whether the small pictures are wanted too that near duplicates are found by.

    Raises:
        WeightsError: weights cannot be used.
        DeviceUnavailable: the device cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        full_reference: bool = False,
        detail_crops: bool = False,
        measures: tuple[MeasureOfFiles, ...] = (),
        looks: bool = False,
    ) -> None:
        # The thread at the device wants the interpreter after every operation, and others compute meanwhile.
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # The thread that loads the models is the one that runs them: OpenMP gives every thread that computes
        # a team of its own, and where a process has a second team, none waits for its own as it should
        # (measured on two cores: an eighth of the throughput).
        self._device = ThreadPoolExecutor(1, "device")
        self.engine = self._device.submit(_load, settings, full_reference).result()
        self._settings = settings
        self._budget = budget_for(settings, self.engine)
        max_bytes = max(settings.max_body_bytes, _BYTES_PER_PIXEL * settings.max_pixels)
        self._limits = replace(Limits.of(settings), max_bytes=max_bytes)
        detail = answering(self.engine.models) if detail_crops else None
        self._question = Question(
            self.engine.models, (), deadline=float("inf"), detail=detail, measures=measures, look=looks
        )
        # As a worker would describe itself: what files are prepared and answers are written by.
        self._state = state_of(self.engine)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the no-reference models, in the order asked for."""
        return self.engine.models

    @property
    def grades(self) -> GradeSteps | None:
        """The steps of the full-reference weights, where that model is loaded and has any."""
        return next((card.grades for card in self._state.cards if card.name == FULL_REFERENCE), None)

    def score(
        self, paths: Iterable[FileName | Brought], *, threads: int | None = None
    ) -> Generator[ScoredFile]:
        """Scores files in their order. A file that fails stops nothing.

        However many there are, few are held at a time: as many decoded whole as there are decoding threads,
        those that fill two batches scaled down.

        Args:
            paths: of the files, and addresses of objects in buckets.
            threads: that decode; by the settings where it is None.

        Raises:
            BucketFailure: a bucket cannot be read.
        """
        # In threads of this process: users need no protection from the files that they name themselves.
        pipeline = Pipeline(self._prepare, self._run, self._budget, threads or self._settings.decoders())
        with (
            contextlib.closing(brought_ahead(paths, self._limits.max_bytes)) as coming,
            contextlib.closing(pipeline.go(coming)) as outcomes,
        ):
            for outcome in outcomes:
                yield self._scored(outcome)

    @property
    def max_bytes(self) -> int:
        """The size of the largest file that is decoded, in bytes."""
        return self._limits.max_bytes

    def answer(self, data: bytes) -> UntimedScore:
        """The answer to ``POST /score`` (without timing) for the bytes of a file.

        Raises:
            FileFailure: it cannot be decoded or scored.
        """
        try:
            prepared = requests.prepare(data, self._limits, self._question, self._state)
        except ServiceError as error:
            raise FileFailure(str(error)) from error
        return score_answer(prepared, _succeeded(self.run(prepared.tasks)), 1, self._question, self._state)

    def compare(
        self, reference: Path, distorted: Path, *, resize: bool = False, difference_map: bool = False
    ) -> tuple[UntimedCompare, PreparedPair]:
        """The answer to ``POST /compare`` (without timing) for two files, and what it is about.

        Raises:
            FileFailure: one of them cannot be read or decoded, or their sizes differ; it names the file.
        """
        pair = self._prepare_pair(reference, distorted, resize)
        if difference_map:
            pair = pair.with_differences()
        return self._compare(pair), pair

    def compare_each(
        self, pairs: Iterable[FilePair], *, resize: bool = False, threads: int | None = None
    ) -> Generator[ComparedFiles]:
        """Compares pairs of files in their order. A pair that fails stops nothing.

        Args:
            pairs: of the files; few of them are held at a time.
            resize: whether copies of another size are brought to their references'.
            threads: that decode; by the settings where it is None.
        """
        threads = threads or self._settings.decoders()
        coming, begun = iter(pairs), deque[tuple[FilePair, Future[PreparedPair]]]()
        pool = ThreadPoolExecutor(threads, "decode")
        try:
            while True:
                while len(begun) < 2 * threads and (pair := next(coming, None)) is not None:
                    begun.append((pair, pool.submit(self._prepare_pair, pair.reference, pair.copy, resize)))
                if not begun:
                    return
                pair, future = begun.popleft()
                try:
                    yield ComparedFiles(pair, self._compare(future.result()))
                except FileFailure as failure:
                    yield ComparedFiles(pair, None, str(failure))
        finally:
            pool.shutdown(cancel_futures=True)

    def _compare(self, pair: PreparedPair) -> UntimedCompare:
        tasks: list[Task] = [pair.task, *pair.reference.tasks, *pair.distorted.tasks]
        results = _succeeded(self.run(tasks))
        return compare_answer(pair, results, 1, self._question, self._state)

    def _prepare_pair(self, reference: Path, distorted: Path, resize: bool) -> PreparedPair:
        """Two files ready to be compared.

        Raises:
            FileFailure: as of :meth:`compare`.
        """
        contents = self._read_blamed(reference), self._read_blamed(distorted)
        try:
            return requests.prepare_pair(*contents, resize, self._limits, self._question, self._state)
        except ServiceError as error:
            at_fault = {"reference": reference, "distorted": distorted}.get(str(error.fields.get("field")))
            raise FileFailure(_blaming(error, distorted, at_fault)) from error
        except MemoryError as error:
            raise FileFailure(f"{shown(distorted)}: There is not enough memory to compare it.") from error

    def run(self, tasks: Sequence[Task]) -> list[Result | Exception]:
        """The results of tasks as one batch, in their order; of one that fails, its exception."""
        return self._device.submit(run_tasks, self.engine, tasks).result()[0]

    def _read_blamed(self, path: Path) -> bytes:
        try:
            return self._read(path)
        except FileFailure as failure:
            raise FileFailure(f"{shown(path)}: {failure}") from failure

    def _read_stream(self, stream: BinaryIO) -> bytes:
        data = stream.read(self._limits.max_bytes + 1)
        if len(data) > self._limits.max_bytes:
            raise FileFailure(f"It has more than {self._limits.max_bytes} bytes.")
        return data

    def _read(self, path: FileName) -> bytes:
        try:
            assert isinstance(path, Path), "objects come as Brought"
            if path == STANDARD_INPUT:
                return self._read_stream(sys.stdin.buffer)
            # Not every name is that of a file with an end, /dev/zero for one. A pipe that the shell has made
            # has one; others may never be written to.
            if path.is_fifo() and path.is_relative_to(_DEVICES):
                with path.open("rb") as stream:
                    return self._read_stream(stream)
            if path.exists() and not path.is_file():
                raise FileFailure("It is not a file.")
            if path.stat().st_size > self._limits.max_bytes:
                raise FileFailure(f"It has more than {self._limits.max_bytes} bytes.")
            return path.read_bytes()
        except FileNotFoundError:
            raise FileFailure("There is no such file.") from None
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise FileFailure(f"It cannot be read: {getattr(error, 'strerror', None) or error}.") from error

    def _prepare(self, path: FileName | Brought) -> Prepared | str:
        """A file ready to be scored, or why it is not."""
        try:
            data = path.take() if isinstance(path, Brought) else self._read(path)
            return requests.prepare(data, self._limits, self._question, self._state)
        except (FileFailure, ServiceError) as error:
            return str(error)
        except MemoryError:
            return "There is not enough memory to decode it."
        except BucketFailure:  # further objects would meet it, too
            raise
        except Exception as error:  # a bug, which must not affect further files
            return _unforeseen(error)

    def _run(self, images: Sequence[Prepared]) -> list[list[Result | Exception]]:
        """The results of each image's tasks, as one batch."""
        found = iter(self.run([task for prepared in images for task in prepared.tasks]))
        return [[next(found) for _ in prepared.tasks] for prepared in images]

    def _scored(self, outcome: PipelineOutcome) -> ScoredFile:
        path = outcome.path.place if isinstance(outcome.path, Brought) else outcome.path
        if isinstance(outcome.prepared, str):
            return ScoredFile(path, None, outcome.prepared)
        try:
            succeeded = _succeeded(outcome.results)
        except FileFailure as failure:
            return ScoredFile(path, None, str(failure))
        answer = score_answer(outcome.prepared, succeeded, outcome.batch_images, self._question, self._state)
        return ScoredFile(path, answer, look=outcome.prepared.look)


def _load(settings: Settings, full_reference: bool) -> Engine:
    return engine_for(settings, models=None if full_reference else settings.models)


def _blaming(error: ServiceError, distorted: Path, at_fault: Path | None) -> str:
    if isinstance(error, SizeMismatch):
        return f"{shown(distorted)}: {error} With --resize reference it is brought to that size."
    return f"{shown(at_fault)}: {error}" if at_fault is not None else str(error)


def _unforeseen(error: Exception) -> str:
    return f"It could not be scored ({type(error).__name__}: {error})."


def _succeeded(results: Sequence[Result | Exception]) -> tuple[Result, ...]:
    succeeded: list[Result] = []
    for result in results:
        if isinstance(result, Exception):
            raise FileFailure(_unforeseen(result)) from result
        succeeded.append(result)
    return tuple(succeeded)
