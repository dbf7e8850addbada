"""Parts of a measurement, each in a process of its own that ends when its share of the time is over.

A part that hangs, runs out of time or breaks its CUDA context takes nothing from the others, and what it had
found by then is kept.
"""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Final

Findings = Iterator[tuple[str, dict[str, Any]]]
"""What a part found, as it comes: the name of a measurement, and its figures."""

_LEAST_S: Final = 2.0  # in less no process gets anywhere
_END_S: Final = 5.0  # for a part to end the servers that it started
_LONGEST_REASON: Final = 300  # characters


@dataclass(frozen=True)
class Setup:
    """What is measured, and how long.

    Attributes:
        device: "cpu" or a CUDA device.
        environment: settings of the service, with the weights of that size.
        traces: names of traces, the most wanted first.
        images: sizes of the images that are scored without the service, the largest last.
        batches: numbers of images in a batch.
        connections: of closed loops.
        seconds: longest time for one figure.
        rounds: that figures which are compared take in turns.
    """

    device: str
    environment: Mapping[str, str]
    traces: tuple[str, ...]
    images: tuple[str, ...]
    batches: tuple[int, ...]
    connections: int
    seconds: float
    rounds: int = 2

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Part:
    """A part of the measurement.

    Attributes:
        name: of the part.
        weight: its share of the time, beside the weights of the other parts.
        measurements: that it will yield, by name.
        measure: yields them; a function of a module, since another process calls it.
        setup: what it is called with.
        impossible: the measurements that cannot be made here, and why.
    """

    name: str
    weight: float
    measurements: tuple[str, ...]
    measure: Callable[[Setup], Findings]
    setup: Setup
    impossible: Mapping[str, str] = field(default_factory=dict)

    @property
    def possible(self) -> bool:
        """Whether any measurement can be made here."""
        return not set(self.measurements) <= set(self.impossible)


@dataclass
class Outcome:
    """What came of a part.

    Attributes:
        found: figures by measurement.
        missing: the reasons for measurements without figures, by measurement.
        seconds: that the part took.
    """

    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def share(part: Part, left: Sequence[Part], seconds: float) -> float:
    """Seconds for a part, where `left` are it and those after it, and `seconds` are left for all of them."""
    return max(0.0, seconds) * part.weight / sum(each.weight for each in left) if part in left else 0.0


def run(part: Part, seconds: float, tell: Callable[[str], None]) -> Outcome:
    """Runs a part for as many seconds at most, beside the few in which it ends what it started.

    Args:
        part: to run.
        seconds: for it.
        tell: is told each measurement that is done.
    """
    reason = f"the time of this part was over ({seconds:.0f} s)"
    outcome = Outcome()
    if part.possible and seconds >= _LEAST_S:
        reason = _measured(part, seconds, tell, outcome) or reason
    outcome.missing = {
        name: part.impossible.get(name, reason) for name in part.measurements if name not in outcome.found
    }
    return outcome


def _measured(part: Part, seconds: float, tell: Callable[[str], None], outcome: Outcome) -> str:
    """Lets a part measure; why it ended early, or nothing where its time was over or it is complete."""
    began, reason = time.monotonic(), ""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, part), name=part.name)
    process.start()
    theirs.close()
    try:
        while ours.poll(max(0.0, began + seconds - time.monotonic())):
            name, figures = ours.recv()
            if isinstance(figures, str):
                reason = figures
                continue
            outcome.found[name] = figures
            tell(f"  {name}")
    except EOFError:
        reason = reason or "its process ended"
    finally:
        _end(process)
        ours.close()
        outcome.seconds = time.monotonic() - began
    return reason


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """Ends a part and what it started, gently first."""
    process.join(0.0 if process.is_alive() else None)
    if process.is_alive():
        process.terminate()
        process.join(_END_S)
    if process.is_alive() and process.pid is not None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    process.close()


def _serve(connection: Connection, part: Part) -> None:
    """What a part's process does."""
    os.setsid()  # so that all of it can be ended
    signal.signal(signal.SIGTERM, _leave)
    os.environ.update(part.setup.environment)
    try:
        for finding in part.measure(part.setup):
            connection.send(finding)
    except Exception as error:
        traceback.print_exc()
        connection.send(("", reason_of(error)))


def _leave(_: int, __: FrameType | None) -> None:
    raise SystemExit  # contexts end the servers that they started


def reason_of(error: Exception) -> str:
    """Why something could not be measured, in a line."""
    said = " ".join(str(error).split())[:_LONGEST_REASON]
    return f"failed: {type(error).__name__}: {said}" if said else f"failed: {type(error).__name__}"
