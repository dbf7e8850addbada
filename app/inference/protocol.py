"""The messages between HTTP processes and an inference process: a kind, a JSON header, and raw pixels.

    to the worker       hello                        asks for the state; doubles as the heartbeat
                        job      header, pixels...   work; pixels are uint8 buffers, each sent once
                        cancel   header              the client is gone or has given up
    from the worker     state    header
                        started  header              these jobs are on the device now
                        done     header              a job's results, or why there are none

Nothing is pickled. Times are seconds of ``time.monotonic()``, which all processes of one machine share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from app.cost import Cost
from app.inference.tasks import CompareTask, ModelCard, Result, ScoreTask, Task

HELLO: Final = b"hello"
JOB: Final = b"job"
CANCEL: Final = b"cancel"
STATE: Final = b"state"
STARTED: Final = b"started"
DONE: Final = b"done"


class WireError(Exception):
    """A message that does not follow this module; both ends are ours, so it is a bug."""


@dataclass(frozen=True)
class Job:
    """What one request asks of the worker; it is scheduled and answered as one.

    Attributes:
        id: unique for the client's connection.
        deadline: when it must have started.
        pixels: what it costs the device, over all tasks and models.
        tasks: at least one.
        company: None, or how many jobs may be in a batch with this one, itself included, since it was aboard
            when a worker died (:attr:`app.inference.batching.Waiting.company`).
        caller: whose it is, as far as shares are concerned.
        bulk: whether it is part of a batch, which can wait.
        trace: the request's span, as :attr:`app.tracing.request_trace.RequestTrace.header`; None where it is
            not recorded.
    """

    id: int
    deadline: float
    pixels: int
    tasks: tuple[Task, ...]
    company: int | None = None
    caller: str = ""
    bulk: bool = False
    trace: str | None = None


@dataclass(frozen=True)
class Casualties:
    """What a worker's predecessor had on the device when it ended.

    Attributes:
        boot: the predecessor's.
        requests: in the batch, of all clients.
        ids: the jobs among them of the client that is told.
    """

    boot: str
    requests: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class State:
    """What a worker says of itself.

    Attributes:
        boot: differs after each restart, so that a client knows its jobs are lost.
        warm: whether the models are loaded and the canary image was scored.
        device: for example "cpu" or "cuda:0".
        dtype: precision of inference.
        max_scored_pixels: what larger images are scaled down to.
        cards: what is loaded, once warm.
        queued_pixels: of the jobs in line and on the device, of all clients.
        pixels_per_s: measured over the last batches, for images of a million pixels; 0 before the first.
        restarts: how often the worker was restarted.
        waiting: jobs in line, of all clients.
        budget_pixels: what a batch of several jobs may hold at the moment, padding included.
        memory_bytes: device memory in use; of the process, where the device is the CPU.
        canary: how far off each model scored the canary image, as a part of what its precision allows.
        canary_at: when that was found; 0 before the first time.
        casualties: what the worker before this one had on the device, as far as the reader is concerned; None
            where it had nothing.
        cost: measured over the last batches; None before the first.
    """

    boot: str
    warm: bool
    device: str
    dtype: str
    max_scored_pixels: int
    cards: tuple[ModelCard, ...]
    queued_pixels: int
    pixels_per_s: float
    restarts: int
    waiting: int = 0
    budget_pixels: int = 0
    memory_bytes: int = 0
    canary: dict[str, float] = field(default_factory=dict)
    canary_at: float = 0.0
    casualties: Casualties | None = None
    cost: Cost | None = None


JobFailure = Literal["expired", "failed", "memory"]


@dataclass(frozen=True)
class Done:
    """The end of a job.

    Attributes:
        id: of the job.
        failure: "expired" (never started), "failed" (a task raised; the worker has logged it), "memory" (the
            device has not enough for it even alone), or None.
        results: one per task, in their order; empty after a failure.
        began: when its batch went to the device.
        inference_s: how long the batch was there.
        batch_images: jobs in the batch.
        batch_pixels: of all of them.
        useful_pixels: what the networks saw of the batch's images.
        padded_pixels: likewise, with the padding around them.
        first: whether this is the batch's first job: who counts batches counts these.
        pixels_per_s: see :attr:`State.pixels_per_s`.
        cost: see :attr:`State.cost`.
        trace: the batch's span, where the job has one.
    """

    id: int
    failure: JobFailure | None
    results: tuple[Result, ...] = ()
    began: float = 0.0
    inference_s: float = 0.0
    batch_images: int = 0
    batch_pixels: int = 0
    useful_pixels: int = 0
    padded_pixels: int = 0
    first: bool = False
    pixels_per_s: float = 0.0
    cost: Cost | None = None
    trace: str | None = None


@dataclass(frozen=True)
class _TaskHeader:
    kind: Literal["score", "compare"]
    buffers: tuple[int, ...]
    models: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    quality_map: str | None = None
    reference_key: str = ""
    embedding: str | None = None


@dataclass(frozen=True)
class _JobHeader:
    id: int
    deadline: float
    pixels: int
    company: int | None
    tasks: tuple[_TaskHeader, ...]
    shapes: tuple[tuple[int, int], ...]
    caller: str
    bulk: bool
    trace: str | None = None


_JOB_HEADER: Final = TypeAdapter(_JobHeader)
_STATE: Final = TypeAdapter(State)
_DONE: Final = TypeAdapter(Done)
_IDS: Final = TypeAdapter(list[int])


def pack_job(job: Job) -> list[Any]:
    """Frames of a job: bytes, then buffers of ``H * W * 3`` uint8 each; equal arrays go once."""
    buffers: dict[int, int] = {}
    arrays: list[NDArray[np.uint8]] = []

    def number(pixels: NDArray[np.uint8]) -> int:
        if id(pixels) not in buffers:
            buffers[id(pixels)] = len(arrays)
            arrays.append(pixels)
        return buffers[id(pixels)]

    def header(task: Task) -> _TaskHeader:
        if isinstance(task, ScoreTask):
            buffer = number(task.pixels)
            return _TaskHeader(
                "score",
                (buffer,),
                task.models,
                task.words,
                quality_map=task.quality_map,
                embedding=task.embedding,
            )
        both = number(task.reference), number(task.distorted)
        return _TaskHeader("compare", both, reference_key=task.reference_key)

    tasks = tuple(header(task) for task in job.tasks)
    shapes = tuple((array.shape[0], array.shape[1]) for array in arrays)
    head = _JobHeader(
        job.id, job.deadline, job.pixels, job.company, tasks, shapes, job.caller, job.bulk, job.trace
    )
    return [JOB, _JOB_HEADER.dump_json(head), *(np.ascontiguousarray(array).data for array in arrays)]


def unpack_job(header: bytes, buffers: Sequence[Any]) -> Job:
    """The job of a header and the buffers after it; the arrays share the buffers' memory.

    Raises:
        WireError: header and buffers do not agree.
    """
    try:
        head = _JOB_HEADER.validate_json(header)
        arrays = [
            np.frombuffer(buffer, np.uint8).reshape(height, width, 3)
            for buffer, (height, width) in zip(buffers, head.shapes, strict=True)
        ]
        tasks = tuple(_task(task, [arrays[number] for number in task.buffers]) for task in head.tasks)
    except (ValueError, IndexError) as error:
        raise WireError(f"A job cannot be read: {error}") from error
    return Job(head.id, head.deadline, head.pixels, tasks, head.company, head.caller, head.bulk, head.trace)


def pack_state(state: State) -> list[bytes]:
    return [STATE, _STATE.dump_json(state)]


def unpack_state(header: bytes) -> State:
    return _STATE.validate_json(header)


def pack_done(done: Done) -> list[bytes]:
    return [DONE, _DONE.dump_json(done)]


def unpack_done(header: bytes) -> Done:
    return _DONE.validate_json(header)


def pack_ids(kind: bytes, ids: Sequence[int]) -> list[bytes]:
    """Frames of a ``cancel`` or ``started`` message."""
    return [kind, _IDS.dump_json(list(ids))]


def unpack_ids(header: bytes) -> list[int]:
    return _IDS.validate_json(header)


def _task(header: _TaskHeader, pixels: Sequence[NDArray[np.uint8]]) -> Task:
    if header.kind == "score":
        (image,) = pixels
        return ScoreTask(image, header.models, header.words, header.quality_map, header.embedding)
    reference, distorted = pixels
    return CompareTask(reference, distorted, header.reference_key)
