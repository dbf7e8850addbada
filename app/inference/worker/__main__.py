"""``python -m app.inference.worker``: the inference process of one device, as the supervisor starts it."""

import gc
import os
import sys
from functools import partial

from app.cpu import SWITCH_INTERVAL_S, wait_briefly
from app.inference.endpoint import Endpoint
from app.logs import configure_logging
from app.processes.parent_link import Lifeline
from app.settings import Settings
from app.tracing import switch


def main() -> int:
    """Runs a worker by the orders on standard input; 1 where it cannot, after telling the parent why."""
    # Hardly anything made while loading becomes garbage; looking for it took a quarter of a start.
    gc.disable()
    lifeline = Lifeline()
    orders = lifeline.orders
    settings = Settings.model_validate(orders["settings"])
    configure_logging(settings.log_format, settings.log_level)
    tracing = switch.begin(**{"iqa.process": "worker", "iqa.device": orders["device"]})
    lifeline.watch(lambda command: os._exit(0) if command == "stop" else None, at_end=tracing.close)

    # The talking thread is not to wait five milliseconds, Python's default, for the engine's to make room.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    wait_briefly()
    # oneDNN keeps compiled kernels by image size, 1024 by default and some sixty a size: memory grew by 25 to
    # 45 MB over 600 requests of random sizes. A quarter of that settles at once and holds four sizes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    # After the lifeline: these imports take a while, in which the parent may die.
    with lifeline.beating():
        from app.inference.build import budget_for, engine_for
        from app.inference.canary import CanaryFailed
        from app.inference.worker.loop import Worker
        from models.checkpoints.errors import WeightsError
        from models.runtime.backend import DeviceUnavailable, OutOfMemory

    def on_warm() -> None:
        lifeline.report("ready")
        # What was loaded stays to the end, so it need not be looked through ever again.
        gc.freeze()
        gc.enable()

    worker = Worker(
        Endpoint(**orders["endpoint"]),
        lambda: engine_for(settings, orders["device"], threads=orders["threads"]),
        partial(budget_for, settings),
        restarts=orders["restarts"],
        out_of_memory=orders["out_of_memory"],
        on_warm=on_warm,
        on_beat=lambda: lifeline.report("beat"),
        tracing=tracing,
    )
    try:
        worker.run()
    except (WeightsError, DeviceUnavailable, CanaryFailed, OutOfMemory) as error:
        lifeline.report("failed", reason=str(error))
    finally:
        gc.unfreeze()  # or the interpreter could not tidy up, and libraries would complain
    return 1


if __name__ == "__main__":
    sys.exit(main())
