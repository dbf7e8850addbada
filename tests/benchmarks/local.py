"""The service's decoding, scheduling and engine in one process: what a ceiling and a fair rival stand on."""

import gc
import math
from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

import torch

from app import preparation
from app.images import Limits
from app.preparation import Prepared, Question
from app.scheduling import Budget, Item, Waiting
from app.settings import read_settings
from app.worker.canary import score_canary
from app.worker.engine import Engine
from app.worker.wire import State

K = TypeVar("K", bound=Hashable)

_NEVER: Final = math.inf


class LocalEngine:
    """The no-reference models of the settings of the environment, warm, on one device, in this process.

    Args:
        device: as of the engine; None for the first of the settings.
    """

    def __init__(self, device: str | None = None) -> None:
        self.settings = settings = read_settings()
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.threads = torch.get_num_threads()
        self.engine = Engine(
            {name: source for name, source in settings.sources().items() if name in settings.models},
            device or settings.devices[0],
            settings.dtype,
            settings.max_scored_pixels,
            settings.qualiclip_sha256,
            settings.allow_untrained,
        )
        score_canary(self.engine)
        gc.freeze()  # as a worker does
        self.budget = Budget(
            settings.batch_pixels or self.engine.batch_pixels, settings.batch_images, settings.batch_waste
        )
        self._limits = Limits.of(settings)
        self._question = Question(self.engine.models, (), _NEVER)
        # Files are prepared by what a worker says of itself.
        self._state = State(
            boot="",
            warm=True,
            device=str(self.engine.device),
            dtype=self.engine.dtype_name,
            max_scored_pixels=self.engine.max_scored_pixels,
            cards=self.engine.cards(),
            queued_pixels=0,
            pixels_per_s=0.0,
            restarts=0,
        )

    def prepare(self, data: bytes) -> Prepared:
        """An image file decoded and scaled for each model."""
        return preparation.prepare(data, self._limits, self._question, self._state)

    def waiting(self, key: K, prepared: Prepared) -> Waiting[K]:
        """How it stands in a line."""
        items = [Item(name, *task.pixels.shape[:2]) for task in prepared.tasks for name in task.models]
        return Waiting(key, tuple(items), _NEVER)

    def score(self, batch: Sequence[Prepared]) -> list[dict[str, float]]:
        """The score by each model of the images of one batch.

        Raises:
            Exception: an image could not be scored.
        """
        results = iter(self.engine.score([task for prepared in batch for task in prepared.tasks]))
        scores = []
        for prepared in batch:
            own: dict[str, float] = {}
            for _ in prepared.tasks:
                result = next(results)
                if isinstance(result, Exception):
                    raise result
                own |= {name: model.score for name, model in result.models.items()}
            scores.append(own)
        return scores
