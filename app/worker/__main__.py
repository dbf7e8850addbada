"""``python -m app.worker``: the inference process of one device, as the supervisor starts it."""

import os
import sys

from app.lifeline import Lifeline
from app.logs import configure_logging
from app.settings import Settings


def main() -> int:
    """Runs a worker by the orders on standard input; 1 where it cannot, after telling the parent why."""
    lifeline = Lifeline()
    orders = lifeline.orders
    settings = Settings.model_validate(orders["settings"])
    configure_logging(settings.log_format, settings.log_level)
    lifeline.watch(lambda command: os._exit(0) if command == "stop" else None)

    # After the lifeline: these imports take seconds, in which the parent may die.
    import torch

    from app.scheduling import Budget
    from app.worker.canary import CanaryFailed
    from app.worker.engine import DeviceUnavailable, Engine
    from app.worker.loop import Worker
    from models.weights import WeightsError

    if orders["threads"] is not None:
        torch.set_num_threads(orders["threads"])
    worker = Worker(
        orders["endpoint"],
        lambda: Engine(
            settings.sources(),
            orders["device"],
            settings.dtype,
            settings.max_scored_pixels,
            settings.batch_pixels,
            settings.qualiclip_sha256,
        ),
        Budget(settings.batch_pixels, settings.batch_images),
        restarts=orders["restarts"],
        on_warm=lambda: lifeline.report("ready"),
        on_beat=lambda: lifeline.report("beat"),
    )
    try:
        worker.run()
    except (WeightsError, DeviceUnavailable, CanaryFailed) as error:
        lifeline.report("failed", reason=str(error))
    return 1


if __name__ == "__main__":
    sys.exit(main())
