"""The one-liner: what it is given, and what it answers."""

from pathlib import Path

import pytest
from PIL import Image

from app import local
from app.client import ImageUnreadable
from app.policies import PolicyRefused
from app.scoring.offline import FileFailure
from tests.app.files import encoded
from tests.photographs import named


@pytest.fixture(autouse=True)
def _tiny_weights(weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in weights_environment.items():
        monkeypatch.setenv(name, value)
    local._loaded.cache_clear()


def test_one_line_scores_whatever_an_image_is(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encoded(named()["coffee"], quality=92))
    answer = local.score(photo)
    assert (answer.image.width, answer.image.height) == (600, 400)
    assert set(answer.models) == {"qualiclip", "bpclip"}
    assert answer.verdict is None
    assert local.score(str(photo)).score == local.score(photo.read_bytes()).score == answer.score
    pixels = named()["coffee"]
    assert local.score(pixels).score == local.score(Image.fromarray(pixels)).score
    assert local._loaded.cache_info().misses == 1


def test_a_policy_judges() -> None:
    verdict = local.score(named()["coffee"][:100, :100], policy="upload").verdict
    assert verdict is not None
    assert (verdict.policy, verdict.outcome) == ("upload", "fail")
    with pytest.raises(PolicyRefused, match="no policy 'uplaod'; there are: upload"):
        local.score(named()["coffee"], policy="uplaod")


def test_what_is_no_image_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageUnreadable, match=r"nowhere\.jpg"):
        local.score(tmp_path / "nowhere.jpg")
    with pytest.raises(FileFailure, match="not an image"):
        local.score(b"no image at all")
