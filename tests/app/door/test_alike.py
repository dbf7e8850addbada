"""With the real weights: what people see as one picture has one score, however its pixels lie in the file."""

from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from app.imaging.formats.registry import supported_formats
from tests.app.door.cases.pixels import as_stored
from tests.app.door.making import exif
from tests.app.door.profiles import display_p3, in_display_p3
from tests.app.files import encoded
from tests.app.running import running
from tests.photographs import named

_MOST_BY_ORIENTATION = 0.01
_MOST_BY_PROFILE = 0.02

pytestmark = [pytest.mark.process, pytest.mark.slow]

Writer = Callable[[Image.Image, bytes], bytes]

WRITERS: dict[str, Writer] = {
    "JPEG": lambda image, block: encoded(image, quality=95, subsampling=0, exif=b"Exif\0\0" + block),
    "PNG": lambda image, block: encoded(image, "PNG", exif=block),
    "TIFF": lambda image, block: encoded(image, "TIFF", exif=_loaded(block)),
    "WebP": lambda image, block: encoded(image, "WEBP", quality=95, exif=block),
    "AVIF": lambda image, block: encoded(image, "AVIF", quality=95, exif=block),
    "HEIC": lambda image, block: encoded(image, "HEIF", quality=95, exif=block),
}


@pytest.fixture(scope="module")
def bundled() -> Iterator[httpx.Client]:
    """A service as it comes: bundled weights, default settings but for the cache."""
    with running({"IQA_CACHE_BYTES": "0"}) as (_, client):
        yield client


@pytest.mark.parametrize("kind", list(WRITERS))
def test_the_eight_orientations_score_alike(bundled: httpx.Client, kind: str) -> None:
    if kind not in supported_formats():
        pytest.skip(f"this installation does not read {kind}")
    photo = Image.fromarray(named()["coffee"])
    scores = []
    for orientation in range(1, 9):
        answer = _score(bundled, WRITERS[kind](as_stored(photo, orientation), exif(orientation)))
        assert (answer["image"]["width"], answer["image"]["height"]) == photo.size
        assert answer["image"]["format"] == kind
        scores.append(_scores(answer))
    assert np.ptp(scores, axis=0).max() < _MOST_BY_ORIENTATION


@pytest.mark.parametrize("name", list(named()))
def test_display_p3_scores_as_srgb(bundled: httpx.Client, name: str) -> None:
    pixels = named()[name]
    wide = in_display_p3(pixels)
    assert np.abs(wide.astype(int) - pixels).max() > 10  # else nothing would have to be converted
    answer = _score(bundled, encoded(wide, "PNG", icc_profile=display_p3()))
    assert answer["image"]["color_converted"]
    plain = _score(bundled, encoded(pixels, "PNG"))
    assert not plain["image"]["color_converted"]
    assert np.abs(np.subtract(_scores(answer), _scores(plain))).max() < _MOST_BY_PROFILE


def _score(client: httpx.Client, data: bytes) -> dict[str, dict[str, object]]:
    response = client.post("/score", content=data)
    assert response.status_code == 200, response.text
    answer: dict[str, dict[str, object]] = response.json()
    return answer


def _scores(answer: dict[str, dict[str, object]]) -> list[float]:
    return [model["score"] for model in answer["models"].values()]  # type: ignore[index]


def _loaded(block: bytes) -> Image.Exif:
    made = Image.Exif()
    made.load(block)
    return made
