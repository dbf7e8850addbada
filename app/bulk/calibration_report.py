"""What ``iqa calibrate`` found: an HTML page with the photographs nearest to each limit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.bulk.html_page import render_page
from app.bulk.thumbnails import DECODED_BEFORE, thumbnail
from app.policies import Limit, MeasuredImage
from app.policies.calibrating import FoundLimit, FoundLimits
from app.policies.found_policy import bounds, sentences
from app.policies.judging import measured_value
from app.printable import shown
from app.schemas.score import UntimedScore
from models.files import write_atomically

MORE: Final = "allow more with --reject-at-most"
"""How ``iqa calibrate`` is told to reject a larger share."""

_MOST_PICTURES: Final = 24


@dataclass(frozen=True)
class CalibrationPhoto:
    """A photograph, its answer, and what limits can be about."""

    path: Path
    answer: UntimedScore
    measured: MeasuredImage


@dataclass(frozen=True)
class _Picture:
    name: str
    address: str | None
    note: str


def write_calibration(
    path: Path,
    name: str,
    found: FoundLimits,
    good: Sequence[CalibrationPhoto],
    bad: Sequence[CalibrationPhoto],
) -> None:
    """Writes the page, which needs nothing beside it.

    Args:
        path: of the page; one that is there is replaced.
        name: of the policy.
        found: its limits.
        good, bad: the photographs that they were found on, in their order. Their files are read again.

    Raises:
        OSError: it cannot be written.
    """
    text = render_page(
        "calibration_report.html",
        bad=len(bad),
        bounds=bounds,
        found=found,
        kinds=[
            ("Good photographs that fail", _rejected(good, found.good, "fail")),
            ("Good photographs that go to review", _rejected(good, found.good, "review")),
            ("Bad photographs that pass", _rejected(bad, found.bad, "pass")),
        ],
        limits=[(each, _nearest(each, good)) for each in found.limits],
        most=_MOST_PICTURES,
        sentences=list(sentences(found, more=MORE)),
        title=f"The policy {name}",
    )
    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def _nearest(found: FoundLimit, good: Sequence[CalibrationPhoto]) -> list[_Picture]:
    return [_picture(good[place], found.limit) for place in found.nearest]


def _rejected(photos: Sequence[CalibrationPhoto], outcomes: Sequence[str], wanted: str) -> list[_Picture]:
    those = [photo for photo, outcome in zip(photos, outcomes, strict=True) if outcome == wanted]
    return [_picture(photo, None) for photo in those[:_MOST_PICTURES]]


def _picture(photo: CalibrationPhoto, limit: Limit | None) -> _Picture:
    """A photograph with its value of what is limited, or with its score."""
    value = photo.answer.score if limit is None else measured_value(limit, photo.measured)[1]
    about = "score" if limit is None else limit.about
    note = f"{about} {value:.3f}" if math.isfinite(value) else about
    address = thumbnail(photo.path, photo.answer.image.sha256, DECODED_BEFORE)
    return _Picture(shown(photo.path), address, note)
