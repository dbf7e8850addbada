"""What the lock-down of decoders costs: the same files in a decoder with and in one without it.

    python -m tests.benchmarks.lockdown

The two take turns, image by image. Given are medians over the rounds, of the time that passed and of the
processor's time, and their ratios: 1.05 is five percent more with the lock-down.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from app.imaging.formats.registry import supported_formats
from app.imaging.limits import Limits
from app.imaging.model_inputs import Wanted
from app.imaging.sandbox.process import COMMAND, Decoder, Request
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.app.files import encoded
from tests.photographs import named

_UNLOCKED: Final = (
    sys.executable,
    "-P",
    "-c",
    "import sys\n"
    "from app.imaging.sandbox import __main__ as child, lockdown\n"
    "lockdown.lock_down = lambda: lockdown.Lockdown(landlock=0, seccomp=False)\n"
    "sys.exit(child.main(sys.argv[1:]))",
)
_FORMATS: Final[Mapping[str, Mapping[str, object]]] = {
    "JPEG": {"quality": 90},
    "PNG": {"compress_level": 6},
    "WEBP": {"method": 2},
    "TIFF": {},
    "GIF": {},
    "BMP": {},
    "AVIF": {"speed": 10},
    "HEIF": {},
    "JXL": {"effort": 1},
}
_SIZES: Final = ((224, 224), (1024, 768), (4000, 3000))
_WANTED: Final = Wanted({"model": Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=768)}, 2**21)
_TIMEOUT_S: Final = 120.0
LIMITS: Final = Limits(max_bytes=2**26)
"""Bitmaps of 12 million pixels are larger than a file may be by default."""


@dataclass(frozen=True)
class Cost:
    """Median seconds of a file, with the lock-down and without."""

    locked_s: float
    unlocked_s: float
    locked_processor_s: float
    unlocked_processor_s: float

    @property
    def ratio(self) -> float:
        return self.locked_s / self.unlocked_s

    @property
    def processor_ratio(self) -> float:
        return self.locked_processor_s / self.unlocked_processor_s


def files(sizes: tuple[tuple[int, int], ...] = _SIZES) -> Iterator[tuple[str, bytes]]:
    """A photograph in each format and size, with its name."""
    supported_formats()  # registers what writes them, too
    photograph = Image.fromarray(np.ascontiguousarray(named()["coffee"]))
    for width, height in sizes:
        resized = photograph.resize((width, height))
        for format, options in _FORMATS.items():
            yield f"{format} {width}x{height}", encoded(resized, format, **options)


def measure(data: bytes, locked: Decoder, unlocked: Decoder, rounds: int) -> Cost:
    """Decodes a file in turns; one more round before warms both."""
    seconds: dict[Decoder, list[tuple[float, float]]] = {locked: [], unlocked: []}
    for number in range(rounds + 1):
        for decoder in (locked, unlocked) if number % 2 else (unlocked, locked):
            began, used = time.perf_counter(), _processor_s(decoder)
            decoder.decode(Request(data, LIMITS, _WANTED), lambda _: None, _TIMEOUT_S)
            seconds[decoder].append((time.perf_counter() - began, _processor_s(decoder) - used))
    medians = [
        statistics.median(each[kind] for each in seconds[decoder][1:])
        for kind in (0, 1)
        for decoder in (locked, unlocked)
    ]
    return Cost(*medians)


def _processor_s(decoder: Decoder) -> float:
    return time.clock_gettime(~decoder.pid << 3 | 2)


def report(costs: Mapping[str, Cost]) -> str:
    """A table, and the ratio over all files."""
    lines = [
        f"{name:18} {1000 * cost.locked_s:9.1f} ms {1000 * cost.unlocked_s:9.1f} ms "
        f"{cost.ratio:6.3f} {cost.processor_ratio:6.3f}"
        for name, cost in costs.items()
    ]
    ratio = statistics.geometric_mean(cost.ratio for cost in costs.values())
    processor = statistics.geometric_mean(cost.processor_ratio for cost in costs.values())
    head = f"{'file':18} {'locked':>12} {'unlocked':>12} {'time':>6} {'cpu':>6}"
    return "\n".join([head, *lines, f"{'geometric mean':44} {ratio:6.3f} {processor:6.3f}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="of each file, in both decoders")
    chosen = parser.parse_args()
    locked, unlocked = Decoder(COMMAND, LIMITS), Decoder(_UNLOCKED, LIMITS)
    try:
        print("locked down by", locked.lockdown)
        print(report({name: measure(data, locked, unlocked, chosen.rounds) for name, data in files()}))
    finally:
        locked.kill()
        unlocked.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
