"""Warnings: which images they are given to, and which not."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from app.imaging.decode import decode
from app.imaging.limits import Limits
from app.imaging.score_warnings import of_gain, of_picture, of_size
from tests.app.files import encoded
from tests.photographs import named


def _codes(pixels: NDArray[np.uint8], format: str = "PNG") -> list[str]:
    picture = decode(encoded(pixels, format), Limits())
    return [caution.split(":")[0] for caution in of_picture(picture)]


def _plot() -> NDArray[np.uint8]:
    figure = Figure(figsize=(6, 4), dpi=120)
    axes = figure.subplots()
    axes.plot([1, 3, 2, 5])
    axes.set_title("a drawing")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@pytest.mark.parametrize("name", list(named()))
def test_photographs_raise_no_suspicion(name: str) -> None:
    assert _codes(named()[name]) == []
    assert _codes(named()[name], "JPEG") == []


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_plot_is_called_a_drawing(format: str) -> None:
    assert _codes(_plot(), format) == ["drawing-or-screenshot"]


def test_a_blank_wall_is_called_uniform() -> None:
    noise = np.random.default_rng(0).integers(-1, 2, (300, 400, 3))
    assert _codes((200 + noise).astype(np.uint8)) == ["almost-uniform"]
    assert _codes(np.full((300, 400, 3), 7, np.uint8)) == ["almost-uniform"]


def test_a_gain_is_named_where_it_is_clear() -> None:
    (warning,) = of_gain("bpclip", 0.08)
    assert warning.startswith("may-look-better: bpclip scores the distorted image 0.08 above its reference")
    assert list(of_gain("bpclip", 0.03)) == []


def test_sizes() -> None:
    assert list(of_size("m", (640, 480), (640, 480), (480, 640))) == []
    scaled, outside = of_size("m", (1280, 960), (640, 480), (500, 600))
    assert scaled == "scaled-down: m saw 640 x 480 of 1280 x 960 pixels."
    assert outside.startswith(
        "outside-validated-sizes: the weights of m were validated on sides of 500 to 600"
    )
