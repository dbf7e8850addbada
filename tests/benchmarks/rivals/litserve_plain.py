"""LitServe as its users write it: its own batching, in front of the plain models.

Uploads differ in size, which one tensor of plain models cannot, so ``predict`` takes the images of a batch
one by one, as LitServe's users do with inputs that do not stack. (To bring all of them to one size would
score other images than were sent.)
"""

import os

import litserve
from fastapi import Request
from starlette.datastructures import FormData

from models.preprocessing import Pixels
from tests.benchmarks.rivals.options import BATCH, WORKERS
from tests.benchmarks.rivals.plain import PlainModels, device
from tests.benchmarks.servers import PORT


class PlainAPI(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.models = PlainModels(device)

    def decode_request(self, request: Request) -> Pixels:
        # So LitServe wants it annotated; what it hands over of a form is its fields.
        assert isinstance(request, FormData)
        return self.models.decode(request["image"].file.read())

    def batch(self, inputs: list[Pixels]) -> list[Pixels]:
        return inputs

    def predict(self, inputs: list[Pixels]) -> list[dict[str, float]]:
        return [self.models.score(pixels) for pixels in inputs]


if __name__ == "__main__":
    # The wait for company is that of LitServe's own examples.
    server = litserve.LitServer(
        PlainAPI(max_batch_size=int(os.environ[BATCH]), batch_timeout=0.05),
        accelerator=device().partition(":")[0],
        devices=1,
        workers_per_device=int(os.environ[WORKERS]),
        timeout=False,
    )
    server.run(host="127.0.0.1", port=int(os.environ[PORT]), generate_client_file=False, log_level="warning")
