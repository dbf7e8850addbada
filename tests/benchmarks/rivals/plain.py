"""The models as their users call them: eager, float32, one image at a time, one model after the other."""

import io

import torch
from PIL import Image

from app.settings import read_settings
from models.color.upright import upright_srgb
from models.loading import LoadedModel, load_model
from models.preprocessing import Pixels

_NAMES: tuple[str, ...] = ("qualiclip", "bpclip")


class PlainModels:
    """Both no-reference models, by the settings of the environment.

    Images are scored at the size at which the service scores them. At their full size, camera images would
    take these servers several times as long.
    """

    def __init__(self, device: str = "cpu") -> None:
        settings = read_settings()
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self._device = device
        self._max_pixels = settings.max_scored_pixels
        sources = settings.sources()
        self._loaded: list[LoadedModel] = [
            load_model(name, sources[name], allow_untrained=settings.allow_untrained) for name in _NAMES
        ]
        for loaded in self._loaded:
            loaded.module.to(device)

    def decode(self, data: bytes) -> Pixels:
        """Upright sRGB pixels, ``(H, W, 3)`` uint8, of an image file."""
        with Image.open(io.BytesIO(data)) as image:
            return upright_srgb(image).pixels

    def score(self, pixels: Pixels) -> dict[str, float]:
        """The score by each model."""
        scores: dict[str, float] = {}
        with torch.inference_mode():
            for loaded in self._loaded:
                preprocessing = loaded.metadata.preprocessing
                image = preprocessing.tensor(preprocessing.fit(pixels, self._max_pixels))
                scores[loaded.name] = float(loaded.module(image.to(self._device)).score)
        return scores


def device() -> str:
    """Where a rival computes: on the GPU if there is one, unless the settings say otherwise."""
    (first, *_) = read_settings().devices
    if first == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return first
