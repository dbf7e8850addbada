"""Tiles at native size: what they cost, how they are scored, and what they show."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.imaging.decode import Header
from app.imaging.detail_tiles import SIDE
from app.inference.build import engine_for, state_of
from app.schemas.score import UntimedScore
from app.scoring import requests
from app.scoring.offline import Scorer
from app.settings import Settings
from models.preprocessing import Pixels
from tests.photographs import named


def enlarged(photo: Pixels) -> Pixels:
    """To some 4608 x 3072 pixels, as a phone's digital zoom may do it."""
    height, width = photo.shape[:2]
    size = round(3072 * width / height), 3072
    return np.array(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))


def repeated(photo: Pixels) -> Pixels:
    """Twelve megapixels with the detail of the photograph: it and its mirror images side by side."""
    beside = np.concatenate([photo, photo[:, ::-1]], axis=1)
    both = np.concatenate([beside, beside[::-1]])
    return np.tile(both, (3000 // len(both) + 1, 4000 // both.shape[1] + 1, 1))[:3000, :4000]


def noisy(photo: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0.0, 12.0, (1000, 1000, 3))
    large = repeated(photo).astype(np.float32)
    for top in range(0, 3000, 1000):
        for left in range(0, 4000, 1000):
            large[top : top + 1000, left : left + 1000] += noise
    return np.clip(large, 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_detail_shows_what_the_whole_image_hides(tmp_path: Path) -> None:
    """By the bundled weights: an enlarged image is not sharp, and noise of a pixel's size is noise."""
    makers: tuple[Callable[[Pixels], Pixels], ...] = (enlarged, repeated, noisy)
    for name in ("china", "coffee"):
        for make in makers:
            path = tmp_path / f"{name} {make.__name__}.jpg"
            Image.fromarray(make(named()[name])).save(path, quality=92)
    scorer = Scorer(Settings(threads=1, runtime="eager"), detail_crops=True)
    for scored in scorer.score(sorted(tmp_path.glob("*.jpg"))):
        answer, kind = scored.answer, scored.path.stem.split()[1]
        assert answer is not None
        assert answer.dimensions is not None
        # All look sharp and clean at the size that the model sees.
        assert answer.dimensions.sharpness > 0.8
        assert answer.dimensions.cleanness > 0.8
        sharpness, cleanness = worst(answer)
        assert (sharpness < 0.3) == (kind == "enlarged"), scored.path
        assert (cleanness < 0.3) == (kind == "noisy"), scored.path


def worst(answer: UntimedScore) -> tuple[float, float]:
    detail = answer.detail
    assert detail is not None
    assert detail.model == answer.model == "bpclip"
    assert len(detail.tiles) == 3
    sharpness, cleanness = detail.sharpness, detail.cleanness
    assert sharpness is not None
    assert cleanness is not None
    assert sharpness == min(tile.sharpness or 0.0 for tile in detail.tiles)
    assert cleanness == min(tile.cleanness or 0.0 for tile in detail.tiles)
    assert detail.score == min(tile.score for tile in detail.tiles)
    return sharpness, cleanness


@pytest.mark.usefixtures("_tiny_weights")
def test_a_tile_is_scored_as_the_same_part_by_itself(tmp_path: Path) -> None:
    photo = np.tile(named()["coffee"], (2, 2, 1))
    Image.fromarray(photo).save(tmp_path / "whole.png")
    (whole,) = Scorer(Settings(threads=1, runtime="eager"), detail_crops=True).score([tmp_path / "whole.png"])
    assert whole.answer is not None
    assert whole.answer.detail is not None
    for number, tile in enumerate(whole.answer.detail.tiles):
        part = photo[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        Image.fromarray(part).save(tmp_path / f"{number}.png")
    plain = Scorer(Settings(threads=1, runtime="eager"))
    parts = plain.score([tmp_path / f"{number}.png" for number in range(3)])
    for tile, scored in zip(whole.answer.detail.tiles, parts, strict=True):
        part_answer = scored.answer
        assert part_answer is not None
        assert part_answer.detail is None
        assert tile.score == pytest.approx(part_answer.score, abs=1e-4)
        assert part_answer.dimensions is not None
        assert tile.sharpness == pytest.approx(part_answer.dimensions.sharpness, abs=1e-4)
        assert tile.cleanness == pytest.approx(part_answer.dimensions.cleanness, abs=1e-4)
    # What is said of the whole image is not what is said of a tile.
    (alone,) = plain.score([tmp_path / "whole.png"])
    assert alone.answer is not None
    assert whole.answer.score == pytest.approx(alone.answer.score, abs=1e-4)
    assert whole.answer.models["bpclip"].scored == alone.answer.models["bpclip"].scored


@pytest.mark.usefixtures("_tiny_weights")
def test_tiles_count_in_what_a_request_costs() -> None:
    state = state_of(engine_for(Settings(threads=1, runtime="eager"), "cpu", ("bpclip", "qualiclip")))
    models = ("bpclip", "qualiclip")
    for header, tiles in ((Header("JPEG", 4000, 3000), 3 * SIDE**2), (Header("PNG", 300, 200), 300 * 200)):
        plain = requests.cost(header, models, state)
        assert requests.cost(header, models, state, "bpclip") == plain + tiles
    most = requests.most_cost(models, state)
    assert requests.most_cost(models, state, "bpclip") == most + 3 * SIDE**2


@pytest.fixture
def _tiny_weights(weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in weights_environment.items():
        monkeypatch.setenv(name, value)
