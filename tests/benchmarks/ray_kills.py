"""Thumbnails in a bucket, scored by actors of Ray that are killed again and again: is each row there once?

    python -m tests.benchmarks.ray_kills --images 1000 --kill-every 10 --kill-driver-after 400

A real server of buckets on loopback holds the thumbnails; ``iqa score s3://... --out s3://... --ray local``
scores them with one-core actors. Every so many seconds one of them gets SIGKILL; once, the driver does, and
the same command with --resume goes on. At the end every thumbnail must have exactly one row.
"""

import argparse
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from pyarrow import parquet

from app.fetching.bucket_files import Buckets
from app.fetching.buckets import StoredObject
from tests.app.bucket_server import BucketServer, bucket_server
from tests.app.bulk.ray_data.actor_processes import actors_below
from tests.photographs import photographs

_SIDES = (96, 128, 160, 192, 224, 256)
_OUT = StoredObject("s3://photos", "scores")


@dataclass
class Seen:
    """What a run went through."""

    actors_killed: int = 0
    drivers_killed: int = 0
    seconds: list[float] = field(default_factory=list)
    driver_mb: list[int] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--part-images", type=int, default=100)
    parser.add_argument("--kill-every", type=float, default=20.0, help="seconds; 0 for never")
    parser.add_argument("--kill-driver-after", type=int, default=0, help="rows; 0 for never")
    parser.add_argument("--most-seconds", type=float, default=3600.0, help="of all runs together")
    parser.add_argument("--without-ray", action="store_true", help="one process, for comparison")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, bucket_server(Path(folder) / "log.txt") as server:
        os.environ |= server.environment
        _fill(server, asked.images)
        seen = Seen()
        ended = False
        while not ended:
            ended = _run(asked, seen, Path(folder) / "errors.txt")
        names = Counter(_names())
        print((Path(folder) / "errors.txt").read_text()[-400:], file=sys.stderr)
    print(json.dumps({
        "images": asked.images,
        "rows": sum(names.values()),
        "missing": asked.images - len(names),
        "doubled": sum(count - 1 for count in names.values()),
        "actors_killed": seen.actors_killed,
        "drivers_killed": seen.drivers_killed,
        "seconds_of_runs": [round(each, 1) for each in seen.seconds],
        "driver_peak_mb": seen.driver_mb,
    }))  # fmt: skip
    if set(names.values()) != {1} or len(names) != asked.images:
        raise SystemExit(1)


def _fill(server: BucketServer, images: int) -> None:
    server.put("photos")
    buckets, dice = Buckets(), random.Random(1)
    photos = [Image.fromarray(photo).resize((384, 384)) for photo in photographs()]

    def put(number: int) -> None:
        width, height = dice.choice(_SIDES), dice.choice(_SIDES)
        photo = photos[number % len(photos)]
        file = io.BytesIO()
        photo.resize((width, height)).rotate(number // len(photos) % 360).save(file, "JPEG", quality=85)
        buckets.write(StoredObject("s3://photos", f"in/{number:08}.jpg"), file.getvalue())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(images)))


def _run(asked: argparse.Namespace, seen: Seen, errors: Path) -> bool:
    """A run, or what there is of one until its driver is killed; True if it came to its end."""
    command = [sys.executable, "-m", "app.cli", "score", "s3://photos/in", "--out", str(_OUT), "--resume"]
    command += ["--part-images", str(asked.part_images)]
    if not asked.without_ray:
        command += ["--ray", "local", "--threads", "1"]
    began = killed = time.monotonic()
    peak = 0
    with errors.open("ab") as log, subprocess.Popen(command, stderr=log, stdout=log) as driver:
        try:
            while driver.poll() is None:
                time.sleep(0.5)
                now = time.monotonic()
                peak = max(peak, _peak_mb(driver.pid))
                if sum(seen.seconds) + now - began > asked.most_seconds:
                    raise SystemExit(f"It takes longer than {asked.most_seconds:.0f} s.")
                if _due(asked, seen):
                    driver.kill()
                    seen.drivers_killed += 1
                elif asked.kill_every and now - killed > asked.kill_every:
                    actors = actors_below(driver.pid)
                    for actor in random.sample(actors, min(1, len(actors))):
                        os.kill(actor, signal.SIGKILL)
                        seen.actors_killed += 1
                        killed = now
        finally:
            driver.kill()
    seen.seconds.append(time.monotonic() - began)
    seen.driver_mb.append(peak)
    return driver.returncode != -signal.SIGKILL


def _due(asked: argparse.Namespace, seen: Seen) -> bool:
    """Whether the driver is to be killed now."""
    if not asked.kill_driver_after or seen.drivers_killed:
        return False
    return asked.part_images * sum(1 for _ in Buckets().below(_OUT)) > asked.kill_driver_after


def _peak_mb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def _names() -> list[str]:
    buckets = Buckets()
    parts = [place for place in buckets.below(_OUT) if place.key.endswith(".parquet")]
    tables = [parquet.read_table(io.BytesIO(buckets.read(part)), columns=["file"]) for part in parts]
    return [name for table in tables for name in table["file"].to_pylist()]


if __name__ == "__main__":
    main()
