"""The fair rival: LitServe with this service's engine, and its packing of mixed sizes in the ``batch`` hook.

Even the scheduler is this service's: what LitServe collected is split into batches with as little padding.
What remains LitServe's own is HTTP, the queues between its processes, the moment at which a batch is formed,
and that images are decoded by the process that scores them.
"""

import os

import litserve
from fastapi import Request
from starlette.datastructures import FormData

from app.inference.scheduling import Line
from app.scoring.requests import Prepared
from tests.benchmarks.local import LocalEngine
from tests.benchmarks.rivals.options import BATCH, WORKERS
from tests.benchmarks.rivals.plain import device
from tests.benchmarks.servers import PORT

Batch = dict[int, Prepared]
"""Images by their places among what was collected."""


class EngineAPI(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.local = LocalEngine(device)

    def decode_request(self, request: Request) -> Prepared:
        # So LitServe wants it annotated; what it hands over of a form is its fields.
        assert isinstance(request, FormData)
        return self.local.prepare(request["image"].file.read())

    def batch(self, inputs: list[Prepared]) -> list[Batch]:
        line = Line[int]()
        for place, prepared in enumerate(inputs):
            line.add(self.local.waiting(place, prepared))
        batches = []
        while line:
            keys = [waiting.key for waiting in line.take(self.local.budget)]
            batches.append({key: inputs[key] for key in keys})
        return batches

    def predict(self, batches: list[Batch]) -> list[dict[str, float]]:
        scores: dict[int, dict[str, float]] = {}
        for batch in batches:
            scores |= dict(zip(batch, self.local.score(list(batch.values())), strict=True))
        return [scores[place] for place in sorted(scores)]


if __name__ == "__main__":
    # A wait just long enough for LitServe not to poll its queue without a pause, which would take CPU time
    # from everything else; and its faster transport.
    server = litserve.LitServer(
        EngineAPI(max_batch_size=int(os.environ[BATCH]), batch_timeout=0.002),
        accelerator=device().partition(":")[0],
        devices=1,
        workers_per_device=int(os.environ[WORKERS]),
        timeout=False,
        fast_queue=True,
    )
    server.run(host="127.0.0.1", port=int(os.environ[PORT]), generate_client_file=False, log_level="warning")
