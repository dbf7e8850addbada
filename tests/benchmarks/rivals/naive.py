"""The naive endpoint: FastAPI with the models loaded at the start and a plain function behind the route."""

import os

import uvicorn
from fastapi import FastAPI, UploadFile

from tests.benchmarks.rivals.plain import PlainModels, device
from tests.benchmarks.servers import PORT


def create_app() -> FastAPI:
    app = FastAPI()
    models = PlainModels(device())

    # Not async, so that FastAPI runs it in its pool of forty threads.
    @app.post("/score")
    def score(image: UploadFile) -> dict[str, float]:
        return models.score(models.decode(image.file.read()))

    @app.get("/health")
    def health() -> str:
        return "ok"

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(os.environ[PORT]), log_level="warning")
