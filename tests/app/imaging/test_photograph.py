"""Captions on photographs are found, whatever the codec and the size; stamps and scenes are none."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from app.imaging.colored_caption import has_colored_caption
from app.imaging.photograph import has_caption, is_photograph
from tests.drawings import drawing, handed_on, with_caption
from tests.photographs import named

_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"


@pytest.mark.parametrize("name", list(named()))
@pytest.mark.parametrize("style", ["over", "bar"])
def test_a_caption_makes_a_photograph_a_meme(name: str, style: str) -> None:
    photo = named()[name]
    for seed, share in enumerate((0.08, 0.1, 0.12)):
        meme = with_caption(photo, style, share)
        assert has_caption(meme)
        assert not is_photograph(handed_on(meme, seed))
        large = np.asarray(Image.fromarray(meme).resize((3000, 2200), Image.Resampling.BICUBIC))
        assert has_caption(large)


@pytest.mark.parametrize(
    ("color", "edge"), [("#ffe000", "black"), ("red", "white"), ("#ff30c0", "black"), ("#20e0ff", "")]
)
def test_captions_in_color_are_found(color: str, edge: str) -> None:
    for seed, (name, photo) in enumerate(named().items()):
        meme = with_caption(photo, "over", 0.1, color=color, edge=edge)
        assert has_colored_caption(meme), name
        assert not is_photograph(handed_on(meme, seed)), name


@pytest.mark.parametrize("name", list(named()))
def test_photographs_have_none(name: str) -> None:
    photo = named()[name]
    gray = np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))
    for each in (photo, gray, np.rot90(photo)):
        assert not has_caption(each)
        assert not has_colored_caption(each)
        assert is_photograph(each)
    stamped = Image.fromarray(photo)
    size = round(0.03 * stamped.height)
    font = ImageFont.truetype(str(_FONT), size)
    place = (stamped.width - size, stamped.height - 2 * size)
    ImageDraw.Draw(stamped).text(place, "2024-07-21 14:03", font=font, fill="white", anchor="ra")
    assert is_photograph(np.asarray(stamped))


def test_drawings_are_no_photographs() -> None:
    assert not any(is_photograph(drawing(kind, 3)) for kind in ("page", "window", "chart"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (32, 32), (160, 1024), (161, 1025)])
def test_every_shape_can_be_looked_at(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert not has_caption(noise)
    assert not has_colored_caption(noise)
    assert not has_caption(np.full((*shape, 3), 255, np.uint8))
    assert not has_caption(np.zeros((*shape, 3), np.uint8))


def test_letters_are_told_from_a_single_edge() -> None:
    half = np.zeros((400, 600, 3), np.uint8)
    half[:, 300:] = 255
    assert not has_caption(half)
    stripes = half.copy()
    stripes[100:130] = np.where(np.arange(600) // 10 % 2, 255, 0)[None, :, None]
    assert has_caption(stripes)
    assert not has_caption(np.where(np.arange(400)[:, None, None] < 110, stripes, half))
    narrow = stripes.copy()
    narrow[:, 150:] = 0
    assert not has_caption(narrow)
