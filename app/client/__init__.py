"""A client of the service for Python programs: typed answers, retries, many images at a time.

    from app.client import Client

    with Client("http://127.0.0.1:8000") as client:
        print(client.score("photo.jpg").score)

It needs neither torch nor the server's parts. Every failure is a :class:`ClientError`; which there are, is
told in :mod:`app.client.errors`, and what is retried, in :mod:`app.client.retry`.

Proxies of the environment (``HTTPS_PROXY``, ``NO_PROXY``) are used, except for this machine's own addresses.
Redirects are not followed, since the key would go along.
"""

from app.client.asynchronous import AsyncClient, Scored
from app.client.errors import (
    ClientError,
    ImageUnreadable,
    Misunderstood,
    Problem,
    Unreachable,
    Untrusted,
)
from app.client.requests import Image, Words
from app.client.sync import Client
from app.schemas.calibrate import CalibrateAnswer
from app.schemas.compare import CompareAnswer
from app.schemas.compare_summary import CompareSummary
from app.schemas.models import ModelsAnswer
from app.schemas.pick import PickAnswer
from app.schemas.policies import PoliciesAnswer, Reason, Verdict
from app.schemas.score import AdjectiveResult, ModelAnswer, ScoreAnswer
from app.schemas.summary import ScoreSummary

__all__ = [
    "AdjectiveResult",
    "AsyncClient",
    "CalibrateAnswer",
    "Client",
    "ClientError",
    "CompareAnswer",
    "CompareSummary",
    "Image",
    "ImageUnreadable",
    "Misunderstood",
    "ModelAnswer",
    "ModelsAnswer",
    "PickAnswer",
    "PoliciesAnswer",
    "Problem",
    "Reason",
    "ScoreAnswer",
    "ScoreSummary",
    "Scored",
    "Unreachable",
    "Untrusted",
    "Verdict",
    "Words",
]
