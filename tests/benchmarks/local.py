"""The service's decoding, scheduling and engine in one process: what a ceiling and a fair rival stand on."""

import gc
import math
from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

import torch

from app.imaging.limits import Limits
from app.inference.batching import Waiting
from app.inference.build import budget_for, engine_for, state_of
from app.inference.canary import score_canary
from app.inference.tasks import items_of
from app.scoring import requests
from app.scoring.requests import Prepared, Question
from app.settings import read_settings

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
        self.engine = engine_for(settings, device, settings.models)
        score_canary(self.engine)
        gc.freeze()  # as a worker does
        self.budget = budget_for(settings, self.engine)
        self._limits = Limits.of(settings)
        self._question = Question(self.engine.models, (), _NEVER)
        # Files are prepared by what a worker says of itself.
        self._state = state_of(self.engine)

    def prepare(self, data: bytes) -> Prepared:
        """An image file decoded and scaled for each model."""
        return requests.prepare(data, self._limits, self._question, self._state)

    def waiting(self, key: K, prepared: Prepared) -> Waiting[K]:
        """How it stands in a line."""
        return Waiting(key, items_of(prepared.tasks), _NEVER)

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
