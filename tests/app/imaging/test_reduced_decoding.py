"""JPEG files are decoded at the scale that the models need: faster, and with the same scores."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from app.imaging.decode import decode
from app.imaging.limits import Limits
from app.imaging.model_inputs import Wanted, fit
from models.checkpoints.sources import read, resolve
from models.loading import build
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.app.files import encoded
from tests.photographs import named

_LIMITS = Limits()
_WANTED = Wanted({"one": Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=64)}, 2**22)
_TURNED = 6  # the value of the EXIF orientation that swaps the sides


def _large(name: str, grain: float) -> NDArray[np.uint8]:
    """A photograph of 4000 x 3000 pixels: an enlarged one with grain of a pixel's size, as cameras add it."""
    photo = np.asarray(
        Image.fromarray(named()[name]).resize((4000, 3000), Image.Resampling.LANCZOS), np.float32
    )
    noise = np.random.default_rng(0).normal(0, grain, (3000, 4000, 1)).astype(np.float32)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("format", "frames", "mode"),
    [("JPEG", 1, "RGB"), ("JPEG", 1, "L"), ("JPEG", 1, "CMYK"), ("MPO", 2, "RGB")],
)
def test_only_what_is_needed_is_decoded(format: str, frames: int, mode: str) -> None:
    image = Image.fromarray(named()["astronaut"][:408]).convert(mode)
    more = {"save_all": True, "append_images": [image]} if format == "MPO" else {}
    data = encoded(image, format, quality=90, **more)
    whole, reduced = decode(data, _LIMITS), decode(data, _LIMITS, _WANTED.least)
    assert whole.pixels.shape == (408, 512, 3)
    assert reduced.pixels.shape == (102, 128, 3)  # a quarter; an eighth would be less than twice 64
    assert reduced.provenance == whole.provenance
    assert reduced.provenance.frames == frames
    one, other = fit(whole, _WANTED), fit(reduced, _WANTED)
    assert one.pixels["one"].shape == other.pixels["one"].shape == (51, 64, 3)
    difference = one.pixels["one"].astype(float) - other.pixels["one"]
    assert np.abs(difference).mean() < 1.5


def test_the_size_in_the_answer_is_the_file_s_turned_as_it_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = _TURNED
    data = encoded(named()["astronaut"][:511], exif=exif)  # halved, both sides have 256 pixels
    picture = decode(data, _LIMITS, _WANTED.least)
    assert picture.pixels.shape == (256, 256, 3)
    assert (picture.provenance.width, picture.provenance.height) == (511, 512)


def test_other_formats_and_images_without_a_model_are_decoded_whole() -> None:
    assert decode(encoded(named()["chelsea"], "PNG"), _LIMITS, _WANTED.least).pixels.shape == (300, 451, 3)
    nobody = Wanted({}, 2**22)
    assert decode(encoded(named()["chelsea"]), _LIMITS, nobody.least).pixels.shape == (300, 451, 3)


@pytest.mark.slow
def test_scores_of_large_photographs_hardly_move() -> None:
    weights = {name: read(resolve(name, "bundled"), name) for name in ("bpclip", "qualiclip")}
    models = {name: build(each).module.eval() for name, each in weights.items()}
    wanted = Wanted({name: each.metadata.preprocessing for name, each in weights.items()}, 2**22)
    moved = []
    for name, grain, quality in (("coffee", 3, 95), ("china", 6, 85), ("flower", 0, 70), ("chelsea", 10, 90)):
        data = encoded(_large(name, grain), quality=quality)
        scores = []
        for least in (None, wanted.least):
            picture = decode(data, _LIMITS, least)
            assert picture.pixels.shape[:2] == ((3000, 4000) if least is None else (1500, 2000))
            inputs = fit(picture, wanted).pixels
            with torch.no_grad():
                tensors = {slot: wanted.inputs[slot].tensor(pixels) for slot, pixels in inputs.items()}
                scores.append([float(models[slot](tensor).score) for slot, tensor in tensors.items()])
        moved.append(np.abs(np.subtract(*scores)))
    assert np.max(moved) <= 0.02
    assert np.mean(moved) <= 0.005
