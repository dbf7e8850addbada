"""What remembering saves: the same question again, and further comparisons with the same reference.

    python -m tests.benchmarks.remembered [--size 768x576] [--rounds 15]

Rounds alternate, one request of each kind after another, so the ratios hold on a machine that slows down.
No two files of a run are the same but where that is measured. The service is as its operators start it,
with the settings of the environment and its caches on.
"""

import argparse
import io
import statistics
import sys
import time
from collections.abc import Iterator

import httpx
import numpy as np
from PIL import Image

from tests.app.running import running
from tests.benchmarks.chaos.story import service_environment
from tests.photographs import named

KINDS = (
    "an image for the first time",
    "the same image again",
    "a pair of new images",
    "a new image with a known reference",
)

Times = dict[str, list[float]]


def measure(client: httpx.Client, size: tuple[int, int], rounds: int) -> Times:
    """Milliseconds of each request by its kind, after a round to warm up."""
    times: Times = {kind: [] for kind in KINDS}
    files = files_of(size)
    known = next(files)
    for turn in range(rounds + 1):
        image = next(files)
        asked = (
            ("/score", {"image": image}, "miss"),
            ("/score", {"image": image}, "hit"),
            ("/compare", {"reference": next(files), "distorted": next(files)}, "miss"),
            ("/compare", {"reference": known, "distorted": next(files)}, "miss"),
        )
        for kind, (path, content, outcome) in zip(KINDS, asked, strict=True):
            began = time.perf_counter()
            response = client.post(path, files=content)
            milliseconds = 1000 * (time.perf_counter() - began)
            if (response.status_code, response.headers.get("x-cache")) != (200, outcome):
                raise RuntimeError(f"{kind}: {response.status_code} {response.text[:200]}")
            if turn:
                times[kind].append(milliseconds)
    return times


def report(times: Times) -> str:
    """Medians, and the ratios that the caches are for."""
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    first, again, pair, known = (medians[kind] for kind in KINDS)
    lines = [f"  {kind:36} median {medians[kind]:8.1f} ms" for kind in KINDS]
    lines += [f"  again / first time   {again / first:.3f}", f"  known / new reference {known / pair:.2f}"]
    return "\n".join(lines)


def files_of(size: tuple[int, int]) -> Iterator[bytes]:
    """JPEG files of one photograph at that size, none like another."""
    photo = Image.fromarray(named()["coffee"]).resize(size, Image.Resampling.BICUBIC)
    pixels = np.array(photo)
    random = np.random.default_rng(0)
    while True:
        pixels[:16, :16] = random.integers(0, 256, (16, 16, 3))
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        yield file.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="768x576", help="width x height in pixels")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    width, height = map(int, chosen.size.split("x"))
    with running({**service_environment(), "IQA_CACHE_BYTES": None}) as (_, client):
        times = measure(client, (width, height), chosen.rounds)
    print(f"images of {chosen.size} pixels, one client, {chosen.rounds} requests of each kind")
    print(report(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
