"""Very many images through `iqa score --out --resume`, interrupted again and again: each once, flat memory.

    python -m tests.benchmarks.bulk_resume [--images 10000] [--interruptions 6] [--format csv] [--flags ...]

Small files are made of photographs that packages carry. The command is killed (SIGKILL) and interrupted (as
by Ctrl-C) by turns: in the first tenth of the images, and once more near the end. Between lies one long run,
whose resident memory is sampled all the time. At last the file must have every image exactly once; else the
exit status is 1.
"""

import argparse
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.app.bulk.part_files import rows_in
from tests.benchmarks.report import machine
from tests.photographs import photographs

_ROOT = Path(__file__).parents[2]
_FOLDER_OF = 1000  # files
_SIDES = (96, 160)
_PATIENCE_S = 3600.0
_POLL_S = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="iqa score --resume over very many images, interrupted.")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--interruptions", type=int, default=6, help="at least one")
    parser.add_argument("--format", choices=("jsonl", "csv", "parquet"), default="csv")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="for iqa score, as --threads 1")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    draw = random.Random(chosen.seed)
    early = sorted(draw.uniform(0.0, 0.1) for _ in range(chosen.interruptions - 1))
    with tempfile.TemporaryDirectory(prefix="iqa-bulk-") as folder:
        photos, out = Path(folder, "photos"), Path(folder, f"scores.{chosen.format}")
        write(photos, chosen.images, chosen.seed)
        legs = []
        for number, part in enumerate([*early, 0.95]):
            kind = signal.SIGINT if number % 2 else signal.SIGKILL
            legs.append(Leg(photos, out, chosen.flags).run(max(1, int(part * chosen.images)), kind))
        legs.append(Leg(photos, out, chosen.flags).run(None, signal.SIGINT))
        names = Counter(_names(out))
    wanted = {str(path) for path in _all(photos, chosen.images)}
    longest = max(legs, key=lambda leg: leg.rows_after - leg.rows_before)
    figures = {
        "images": chosen.images,
        "interruptions": sum(leg.interrupted for leg in legs),
        "rows": names.total(),
        "missing": len(wanted - set(names)),
        "twice": sum(count > 1 for count in names.values()),
        "unexpected": len(set(names) - wanted),
        "seconds": round(sum(leg.seconds for leg in legs), 1),
        "long_run": {
            "rows": [longest.rows_before, longest.rows_after],
            "resident_mb_at": {
                f"{percent} %": longest.resident_at(percent / 100) for percent in (10, 25, 50, 75, 100)
            },
            "most_resident_mb": longest.most_resident,
        },
    }
    if chosen.json:
        print(json.dumps({"machine": machine(), **figures}))
    else:
        print(json.dumps(figures, indent=1))
    return 0 if figures["missing"] == figures["twice"] == figures["unexpected"] == 0 else 1


class Leg:
    """One run of the command, up to its end or to an interruption.

    Attributes:
        rows_before: that the part file had before.
        rows_after: and afterwards.
        interrupted: whether it was.
        seconds: that it took.
    """

    def __init__(self, photos: Path, out: Path, flags: Sequence[str]) -> None:
        self._command = ["score", str(photos), "--recursive", "--out", str(out), "--resume", *flags]
        self._out = out
        self._part = out.with_name(out.name + ".part.sqlite")
        self._samples: list[tuple[int, float]] = []
        self.rows_before = rows_in(self._part)
        self.rows_after, self.interrupted, self.seconds = self.rows_before, False, 0.0

    def run(self, until: int | None, kind: signal.Signals) -> "Leg":
        """Runs it until there are so many rows, and sends the signal then; None runs it to its end.

        Raises:
            RuntimeError: it ended otherwise.
        """
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", *self._command],
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdout=log,
                stderr=log,
            )
            try:
                while process.poll() is None:
                    if time.monotonic() - began > _PATIENCE_S:
                        raise RuntimeError("It did not come to an end.")
                    self._sample(process.pid)
                    # Not before it has begun: interrupting Python while it starts says nothing of it.
                    if (
                        until is not None
                        and not self.interrupted
                        and self.rows_after >= max(until, self.rows_before + 1)
                    ):
                        process.send_signal(kind)
                        self.interrupted = True
                    time.sleep(_POLL_S)
            finally:
                process.kill()
                process.wait()
            log.seek(0)
            expected = {-signal.SIGKILL, 130} if self.interrupted else {0}
            if self.interrupted and self._out.exists():  # it was quicker than the signal
                expected |= {0, -signal.SIGINT}
            if process.returncode not in expected:
                raise RuntimeError(f"It ended with status {process.returncode}: {log.read()[-2000:]}")
        self.seconds = time.monotonic() - began
        return self

    @property
    def most_resident(self) -> float:
        """Megabytes, of all samples."""
        return max((resident for _, resident in self._samples), default=0.0)

    def resident_at(self, part: float) -> float:
        """Megabytes once that part of this run's rows was there."""
        wanted = self.rows_before + part * (self.rows_after - self.rows_before)
        return min(self._samples, key=lambda sample: abs(sample[0] - wanted), default=(0, 0.0))[1]

    def _sample(self, process: int) -> None:
        self.rows_after = max(self.rows_after, rows_in(self._part))
        try:
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return
        if self.rows_after > self.rows_before:  # before that, models are being loaded
            self._samples.append((self.rows_after, round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)))


def write(folder: Path, count: int, seed: int) -> None:
    """Makes so many small JPEG files, no two of them alike, a thousand to a folder."""
    draw = np.random.default_rng(seed)
    photos = photographs()
    for path in _all(folder, count):
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = photos[int(draw.integers(len(photos)))]
        height, width = (int(side) for side in draw.integers(*_SIDES, 2, endpoint=True))
        top = int(draw.integers(photo.shape[0] - height))
        left = int(draw.integers(photo.shape[1] - width))
        file = io.BytesIO()
        crop = Image.fromarray(photo[top : top + height, left : left + width])
        crop.save(file, "JPEG", quality=int(draw.integers(30, 95)))
        path.write_bytes(file.getvalue())


def _all(folder: Path, count: int) -> list[Path]:
    return [Path(folder, f"{number // _FOLDER_OF:03}", f"{number:06}.jpg") for number in range(count)]


def _names(out: Path) -> list[str]:
    if out.suffix == ".csv":
        with out.open(newline="", encoding="utf-8") as file:
            return [row["file"] for row in csv.DictReader(file)]
    if out.suffix == ".jsonl":
        return [json.loads(line)["file"] for line in out.read_bytes().splitlines()]
    from pyarrow import parquet

    names: list[str] = parquet.read_table(out, columns=["file"]).column("file").to_pylist()
    return names


if __name__ == "__main__":
    sys.exit(main())
