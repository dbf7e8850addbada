"""Batches of 1 to 64 equal images without decoding: where a device stops gaining from more."""

import statistics

from app.settings import read_settings
from tests.benchmarks.gpu import networks
from tests.benchmarks.gpu.parts import Findings, Setup


def measure(setup: Setup) -> Findings:
    """For each number of images: milliseconds of a batch, images/s and the memory that it takes."""
    settings = read_settings()
    groups = networks.groups_on(setup.device, settings.dtype, settings)
    run = networks.plainly(groups)
    for count in setup.batches:
        batches = [networks.photographs_of(setup.images[-1], count)]
        networks.forget_memory(setup.device)
        run(batches)
        each = setup.seconds / (2 * setup.rounds)
        taken = statistics.median(networks.timed(run, batches, each) for _ in range(setup.rounds))
        yield (
            str(count),
            {
                "batch_ms": 1000 * taken,
                "images_per_s": count / taken,
                "memory_mib": networks.memory_mib(setup.device),
            },
        )
