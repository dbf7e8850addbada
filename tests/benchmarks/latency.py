"""How long both no-reference scores of one image take, bundled weights against the full-size architectures.

    python -m tests.benchmarks.latency [--size 512x384] [--threads 2] [--rounds 20]

The full models carry arbitrary weights: their time does not depend on them. Rounds alternate, so a machine
that slows down slows all of them alike; the ratio is what can be compared between machines.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from models.bpclip import BPCLIP, BPCLIPConfig
from models.loading import load_model
from models.qualiclip import QualiCLIP, QualiCLIPConfig


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency of both no-reference scores of one image.")
    parser.add_argument("--size", default="512x384", help="width x height in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    torch.set_num_threads(arguments.threads)

    # The text tower takes no part in scoring an image.
    full = [QualiCLIP(QualiCLIPConfig(text_layers=0)), BPCLIP(BPCLIPConfig(full_reference=False))]
    bundled = [load_model("qualiclip").module, load_model("bpclip").module]
    image = torch.randn(1, 3, height, width).to(memory_format=torch.channels_last)
    contenders = {"bundled": _both(bundled, image), "full size": _both(full, image)}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(arguments.rounds + 2):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if turn >= 2:  # the first ones warm up
                times[name].append(1000 * (time.perf_counter() - start))
    print(
        f"both no-reference scores of a {width}x{height} image, {arguments.threads} threads, float32, eager"
    )
    for name, values in times.items():
        print(f"{name:>10}: median {statistics.median(values):7.1f} ms, least {min(values):7.1f} ms")
    ratios = [full / small for small, full in zip(times["bundled"], times["full size"], strict=True)]
    print(f"full size / bundled, round by round: median {statistics.median(ratios):.1f}")


def _both(models: list[QualiCLIP | BPCLIP], image: torch.Tensor) -> Callable[[], None]:
    for model in models:
        model.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> None:
        for model in models:
            model(image)

    return run


if __name__ == "__main__":
    main()
