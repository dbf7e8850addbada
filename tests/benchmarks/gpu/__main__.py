"""What the service reaches on a CUDA device, and what would make it faster, in one run of a given time.

    python -m tests.benchmarks.gpu --minutes 7 --out gpu.json

First ``tests/gpu``; then for the bundled models and those of full size: service, ceiling and lone requests on
traces, batches of 1 to 64 images, and candidates with and without. Each part has a share of the time and a
process of its own. What a part does not finish is listed as not measured, and what it does not need goes to
the parts after it. The file is written after each part, so a run that is stopped keeps what it had. At the
end the figures are printed as Markdown.

``--device cpu`` runs the same program on a CPU, without what needs CUDA; its figures say nothing of a GPU.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import report, servers
from tests.benchmarks.gpu import batches, candidates, card, correctness, over_http
from tests.benchmarks.gpu.markdown import tables
from tests.benchmarks.gpu.parts import Part, Setup, run, share
from tests.benchmarks.harness import Steps

_TRACES: Final = ("mixed", "512x384", "224x224", "1024x768")
_IMAGES: Final = ("224x224", "512x384")
_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
_NEEDS_CUDA: Final = "needs CUDA"
_CONNECTIONS: Final = {"cuda": 64, "cpu": 16}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; 1 where there is no device, or ``tests/gpu`` failed on it."""
    began = time.monotonic()
    chosen = _parser().parse_args(arguments)
    if (device := _device(chosen.device)) is None:
        print(
            f"There is no CUDA device for --device {chosen.device}: run this on a machine with one, or try "
            "the program with --device cpu.",
            file=sys.stderr,
        )
        return 1
    seconds, steps = 60 * chosen.minutes, Steps()
    results: dict[str, Any] = {
        "card": card.name_of(device),
        "device": device,
        "minutes": chosen.minutes,
        "connections": chosen.connections or _CONNECTIONS[device.partition(":")[0]],
        "parts": {},
    }
    with ExitStack() as stack:
        steps("weights of full size" if "full" in chosen.size else "bundled weights")
        environments = {
            size: {**stack.enter_context(servers.weights(size)), **_environment(device)}
            for size in chosen.size
        }
        parts = list(_parts(device, environments, chosen, results["connections"]))
        for number, part in enumerate(parts):
            coming = [each for each in parts[number:] if each.possible]
            left = share(part, coming, began + seconds - time.monotonic())
            steps(f"{part.name}: {f'at most {left:.0f} s' if part.possible else _NEEDS_CUDA}")
            results["parts"][part.name] = asdict(run(part, left, steps))
            report.save(chosen.out, results)
    print(tables({"machine": report.machine(), **results}))
    tested = results["parts"]["correctness"]["found"].values()
    return 0 if all(each["right"] for each in tested) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The service on a CUDA device, measured in a given time.")
    parser.add_argument("--minutes", type=float, default=7.0, help="for all of it")
    parser.add_argument("--out", type=Path, help="JSON file, written after each part")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the program")
    parser.add_argument(
        "--size", nargs="+", choices=("compact", "full"), default=["compact", "full"], help="of the models"
    )
    parser.add_argument("--trace", nargs="+", default=list(_TRACES), help="mixed, or sizes such as 512x384")
    parser.add_argument(
        "--images", nargs="+", default=list(_IMAGES), help="sizes of what is scored without the service"
    )
    parser.add_argument("--batches", nargs="+", type=int, default=list(_BATCHES), help="numbers of images")
    parser.add_argument("--connections", type=int, help="of closed loops; 64 on a GPU, 16 on a CPU")
    parser.add_argument("--seconds", type=float, default=3.0, help="longest, for one figure")
    return parser


def _device(wanted: str) -> str | None:
    """The device as torch names it; None where there is none."""
    if wanted == "cpu":
        return wanted
    from models.runtime.backend import DeviceUnavailable
    from models.runtime.device import resolve_device

    try:
        resolved = resolve_device(wanted)
    except DeviceUnavailable:
        return None
    return f"cuda:{resolved.index or 0}" if resolved.type == "cuda" else None


def _environment(device: str) -> dict[str, str]:
    """Settings on top of the environment's: what is tried concerns torch, so it computes on a CPU too."""
    return {
        "IQA_DEVICES": device,
        "IQA_RUNTIME": "eager",
        # What is measured is work, and no rejections.
        "IQA_TIMEOUT_S": "600",
        "IQA_QUEUE_PIXELS": str(2**30),
    }


def _parts(
    device: str, environments: Mapping[str, Mapping[str, str]], chosen: argparse.Namespace, connections: int
) -> Iterator[Part]:
    """The parts in their order; weights are the seconds that they took to be of use on a GPU, by estimate."""
    images = tuple(chosen.images)
    of_cuda = (correctness.NAME, *candidates.measurements(images, cuda=True))
    impossible = {} if device.startswith("cuda") else dict.fromkeys(of_cuda, _NEEDS_CUDA)
    tried = candidates.measurements(images, cuda=False)
    for number, (size, environment) in enumerate(environments.items()):
        setup = Setup(
            device=device,
            environment=environment,
            traces=tuple(chosen.trace),
            images=images,
            batches=tuple(chosen.batches),
            connections=connections,
            seconds=chosen.seconds,
        )
        if not number:
            yield Part("correctness", 40, (correctness.NAME,), correctness.measure, setup, impossible)
        yield Part(f"service {size}", 90, setup.traces, over_http.measure, setup)
        yield Part(f"batches {size}", 25, tuple(map(str, setup.batches)), batches.measure, setup)
        yield Part(f"candidates {size}", 75, tried, candidates.measure, setup, impossible)


if __name__ == "__main__":
    sys.exit(main())
