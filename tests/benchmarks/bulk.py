"""How fast `iqa score --out` is against the engine's ceiling, on the same files in one run.

    python -m tests.benchmarks.bulk [--trace mixed] [--size compact] [--blocks 10] [--rounds 5] [--format csv]

Both score every file once, in turns, by the same settings (``IQA_*``): the ceiling of
:mod:`tests.benchmarks.ceiling`, which reads from memory and keeps nothing, and the command's own run, which
looks the files up in a folder, reads, scores and judges them, and writes the finished file. Left out of both
is what happens once: starting Python and loading the models.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track

from app.cpu import wait_briefly
from tests.benchmarks import servers
from tests.benchmarks.ceiling import remote
from tests.benchmarks.report import machine
from tests.benchmarks.traces import Upload, make


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="iqa score --out against the engine's ceiling.")
    parser.add_argument("--trace", default="mixed", help="mixed, or a size such as 512x384")
    parser.add_argument("--size", choices=("compact", "full"), default="compact", help="of the models")
    parser.add_argument("--blocks", type=int, default=10, help="of twenty images, in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--depth", type=int, default=16, help="of the ceiling: images on the way at any time")
    parser.add_argument("--format", choices=("jsonl", "csv", "parquet"), default="csv")
    parser.add_argument("--policy", help="to judge by, as upload")
    parser.add_argument("--threads", type=int, default=len(servers.usable_cores()))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    wait_briefly()  # as `iqa` does, and the ceiling's process with this one
    uploads = make(chosen.trace, chosen.blocks)
    console = Console(stderr=True)
    with (
        servers.weights(chosen.size) as weights,
        tempfile.TemporaryDirectory(prefix="iqa-bulk-") as folder,
        remote({**weights, "IQA_THREADS": str(chosen.threads)}) as ceiling,
    ):
        photos = Path(folder, "photos")
        write(uploads, photos)
        command = Command({**weights, "IQA_THREADS": str(chosen.threads)}, chosen.policy)
        out = Path(folder, f"scores.{chosen.format}")
        ceiling.run(uploads, chosen.depth)  # every size for the first time
        command.run(photos, out, len(uploads))
        rounds = []
        for number in track(range(chosen.rounds), "rounds", console=console):
            # By turns the one and the other is first.
            pair = {}
            for who in ("ceiling", "command") if number % 2 else ("command", "ceiling"):
                if who == "ceiling":
                    pair[who] = ceiling.run(uploads, chosen.depth).rate
                else:
                    pair[who] = len(uploads) / command.run(photos, out, len(uploads))
            rounds.append(pair)
    ratios = [pair["command"] / pair["ceiling"] for pair in rounds]
    ratio = statistics.median(ratios)
    if chosen.json:
        about = {"machine": machine(), "ceiling": ceiling.about, "images": len(uploads)}
        print(json.dumps({**about, "rounds": rounds, "ratio": ratio}))
        return
    rates = {who: statistics.median(pair[who] for pair in rounds) for who in ("ceiling", "command")}
    print(
        f"{chosen.trace}, {chosen.size}, {chosen.format}, {len(uploads)} images a round: ceiling "
        f"{rates['ceiling']:.2f} images/s, iqa score {rates['command']:.2f} images/s; round by round "
        f"{100 * ratio:.1f} % ({100 * min(ratios):.1f} to {100 * max(ratios):.1f})"
    )


def write(uploads: Sequence[Upload], folder: Path) -> None:
    """Puts the files of a trace into a folder, in their order."""
    folder.mkdir()
    for number, upload in enumerate(uploads):
        suffix = upload.type.partition("/")[2]
        Path(folder, f"{number:05}.{suffix}").write_bytes(upload.data)


class Command:
    """What `iqa score FOLDER --out FILE` does once its models are loaded.

    Args:
        environment: with the settings, on top of this process's.
        policy: to judge by.
    """

    def __init__(self, environment: dict[str, str], policy: str | None) -> None:
        import os

        from app.bulk.scorers import InProcess
        from app.settings import read_settings

        before = dict(os.environ)
        os.environ.update(environment)
        try:
            self._source = InProcess(read_settings(), policy)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def run(self, photos: Path, out: Path, expected: int) -> float:
        """Seconds from the first look into the folder to the finished file.

        Raises:
            RuntimeError: not every file was scored.
        """
        from app.bulk.image_files import Meant
        from app.bulk.run_manifest import About
        from app.bulk.score_file import ScoreFile
        from app.commands.score_run import Run

        output = ScoreFile(out)
        output.remove()
        began = time.monotonic()
        about = About(
            program="benchmark",
            named=(),
            server=None,
            basis=self._source.basis,
            began=datetime.now(UTC),
        )
        with contextlib.closing(Run(output)) as run:
            meant = Meant([photos])
            run.score(self._source, meant, meant.count(), about)
            run.finish()
        seconds = time.monotonic() - began
        if run.scored != expected or run.summary.images != expected:
            raise RuntimeError(f"{run.scored} of {expected} files were scored.")
        return seconds


if __name__ == "__main__":
    main()
