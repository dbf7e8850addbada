"""What a story found: figures to be quoted, and what must never happen but did."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from tests.app.files import encoded
from tests.photographs import named

Environment = dict[str, str | None]


class Story:
    """Collects what there is to tell.

    Args:
        title: of the report.
        aloud: whether it also says what it is doing.
    """

    def __init__(self, title: str, aloud: bool = False) -> None:
        self.title = title
        self.figures: list[tuple[str, str]] = []
        self.faults: Counter[str] = Counter()
        self._aloud = aloud
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        if self._aloud:
            print(f"{time.monotonic() - self._began:7.1f} s  {text}", file=sys.stderr, flush=True)

    def figure(self, name: str, text: object) -> None:
        self.figures.append((name, str(text)))

    def never(self, what: str) -> None:
        """Something happened that must not."""
        if what not in self.faults:
            self.say(f"NEVER: {what}")
        self.faults[what] += 1

    def expect(self, holds: object, otherwise: str) -> None:
        if not holds:
            self.never(otherwise)

    def report(self) -> str:
        """All of it, a line each."""
        width = max(len(name) for name, _ in (*self.figures, ("", "")))
        lines = [self.title, *(f"  {name:<{width}}  {text}" for name, text in self.figures)]
        lines += [f"  NEVER ({count} x): {what}" for what, count in self.faults.items()]
        return "\n".join(lines)


def arguments(description: str | None, defaults: dict[str, int | float]) -> argparse.Namespace:
    """The command line of a story: an option per default, and what to send."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--image", type=Path, help="what is sent; by default a photograph, 451x300 pixels")
    return parser.parse_args()


def play(title: str, tell: Callable[[Story], None]) -> int:
    """Has a story told, and reports it; the exit code."""
    story = Story(title, aloud=True)
    tell(story)
    print(story.report(), flush=True)
    return 1 if story.faults else 0


def play_chosen(title: str, tell: Callable[..., None], chosen: argparse.Namespace) -> int:
    """The same for a story about a server as it is by default, with its options and what is sent."""
    options = {name: value for name, value in vars(chosen).items() if name != "image"}
    image = image_bytes(chosen.image)
    return play(title, lambda story: tell(story, service_environment(), image, **options))


def service_environment() -> Environment:
    """For a server as its operators start it: nothing but what the environment says."""
    theirs = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "IQA_DECODE_PROCESSES")}
    return {**theirs, "IQA_CACHE_BYTES": "0"}


def image_bytes(path: Path | None) -> bytes:
    return encoded(named()["chelsea"], quality=92) if path is None else path.read_bytes()


def spread(values: Collection[float], unit: float = 1000.0) -> str:
    """Percentiles of seconds, in milliseconds or another unit of which a second has so many."""
    if not values:
        return "none"
    p50, p95, p99 = (float(np.percentile(list(values), share)) * unit for share in (50, 95, 99))
    return f"p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f}, max {max(values) * unit:.1f}"


def counted(values: Iterable[object]) -> str:
    """How often each value occurs, for example ``200: 17, 429: 3``."""
    return ", ".join(f"{value}: {count}" for value, count in sorted(Counter(values).items())) or "none"


def megabytes(values: Sequence[int]) -> str:
    return " -> ".join(f"{value / 1e6:.1f}" for value in values) + " MB"
