"""How long both no-reference scores of an image take: plain modules against the engine's.

    python -m tests.benchmarks.latency [--size 512x384] [--batch 1] [--threads 2] [--rounds 20]

Plain is what one gets without this service: eager, float32. The engine's are folded, in channels-last
order, and in bfloat16 where the processor has it. Full-size models carry arbitrary weights: their time does
not depend on them. Rounds alternate, so a machine that slows down slows all of them alike; ratios can be
compared.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from models.bpclip.model import BPCLIP, BPCLIPConfig
from models.loading import load_model
from models.preprocessing import CLIP_MEAN, CLIP_STD, Pixels, Preprocessing
from models.qualiclip.model import QualiCLIP, QualiCLIPConfig
from models.ragged import pack
from models.runtime.device import resolve_dtype
from models.runtime.eager import InferenceModel

_PREPROCESSING = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD)

Models = Sequence[QualiCLIP | BPCLIP]


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency of both no-reference scores of one image.")
    parser.add_argument("--size", default="512x384", help="width x height in pixels")
    parser.add_argument("--batch", type=int, default=1, help="images at a time, for the engine's models")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    torch.set_num_threads(arguments.threads)
    dtype = resolve_dtype("auto", torch.device("cpu"))

    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    contenders = {
        "bundled, plain": _plain(_bundled(), image),
        "bundled, engine": _ready(_bundled(), [image] * arguments.batch, dtype),
        "full size, plain": _plain(_full(), image),
        "full size, engine": _ready(_full(), [image] * arguments.batch, dtype),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(arguments.rounds + 2):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if turn >= 2:  # the first ones warm up
                images = arguments.batch if name.endswith("engine") else 1
                times[name].append(1000 * (time.perf_counter() - start) / images)
    print(
        f"both no-reference scores of a {width}x{height} image, {arguments.threads} threads; the engine's in "
        f"{str(dtype).removeprefix('torch.')}, {arguments.batch} at a time"
    )
    for name, values in times.items():
        print(f"{name:>18}: median {statistics.median(values):7.1f} ms an image, least {min(values):7.1f} ms")
    for size in ("bundled", "full size"):
        pairs = zip(times[f"{size}, plain"], times[f"{size}, engine"], strict=True)
        print(
            f"{size}, plain / engine, round by round: median {statistics.median(a / b for a, b in pairs):.2f}"
        )


def _bundled() -> Models:
    return [load_model("qualiclip").module, load_model("bpclip").module]


def _full() -> Models:
    # The text tower takes no part in scoring an image.
    return [
        QualiCLIP(QualiCLIPConfig(text_layers=0)).eval(),
        BPCLIP(BPCLIPConfig(full_reference=False)).eval(),
    ]


def _plain(models: Models, image: Pixels) -> Callable[[], None]:
    @torch.inference_mode()
    def run() -> None:
        values = _PREPROCESSING.tensor(image)
        for model in models:
            model(values)

    return run


def _ready(models: Models, images: Sequence[Pixels], dtype: torch.dtype) -> Callable[[], None]:
    networks = [InferenceModel(model, _PREPROCESSING, dtype) for model in models]

    @torch.inference_mode()
    def run() -> None:
        for network in networks:
            network.read_out(network.embed(*pack(images, network.multiple)))

    return run


if __name__ == "__main__":
    main()
