"""The models in this process, for a script or a notebook: ``score("photo.jpg")``, without a service."""

from functools import cache

from app import policies
from app.client.requests import Image, content_of
from app.policies import with_verdict
from app.schemas.score import UntimedScore
from app.scoring.offline import Scorer
from app.settings import Settings, read_settings


def score(image: Image, *, policy: str | None = None) -> UntimedScore:
    """How good an image looks, as ``POST /score`` answers it, but for the time that it took.

    The first call loads the models of the settings (``IQA_*``); further ones use them again.

    Args:
        image: the name of its file, its bytes, a file open for bytes, and, with Pillow, a numpy array
            ``(H, W, 3)`` uint8 or an image of Pillow.
        policy: to judge by; the answer has a verdict then.

    Raises:
        ImageUnreadable: the file cannot be read.
        FileFailure: the image cannot be scored; the message says why.
        PolicyRefused: there is no such policy, or it needs a model that is not loaded.
        WeightsError, DeviceUnavailable: the models cannot be loaded.
    """
    settings, scorer = _loaded()
    answer = scorer.answer(content_of(image, scorer.max_bytes))
    if policy is None:
        return answer
    known = policies.load(settings.policies_file)
    return with_verdict(policies.choose(policy, known, scorer.models, scorer.models), answer)


@cache
def _loaded() -> tuple[Settings, Scorer]:
    settings = read_settings()
    return settings, Scorer(settings)
