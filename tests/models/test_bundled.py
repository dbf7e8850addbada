"""The bundled weights on photographs that are in no training folder: the claims that the card makes."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from safetensors import safe_open

from models.bpclip.model import BPCLIP
from models.checkpoints.sources import bundled_path
from models.loading import LoadedModel, load_model
from models.preprocessing import Pixels
from models.registry import BUNDLED
from models.runtime.backend import Executable
from models.runtime.choice import open_backend
from models.training import robustness
from models.training.robustness import (
    ORDERED,
    Answers,
    Opinion,
    Opinions,
    Tried,
    broken,
    outcomes,
    spoilt,
    try_variants,
)
from models.vocabulary import WORDS
from tests.photographs import named, photographs

pytestmark = pytest.mark.slow

NO_REFERENCE: tuple[str, ...] = ("qualiclip", "bpclip")

FAULTS = [
    ("gaussian-blur", "blurry", "sharp"),
    ("darken", "dark", "bright"),
    ("hsv-saturation", "dull", "colorful"),
    ("linear-contrast", "flat", "contrasty"),
    ("white-noise", "noisy", "clean"),
    ("jpeg", "blocky", "artifact-free"),
]


@cache
def bundled(name: str) -> LoadedModel:
    return load_model(name)


def scored(name: str, *images: Pixels) -> tuple[float, list[float]]:
    return robustness.scored(bundled(name), *images)


@cache
def executables() -> dict[str, Executable]:
    """All three as a worker on a CPU has them, in float32; other tests hold these to the plain modules."""
    backend = open_backend("openvino", "cpu", "float32", threads=1)
    return {name: backend.place(backend.load(name, "bundled"), "float32") for name in BUNDLED}


def opinions(images: Sequence[Pixels]) -> list[Opinions]:
    """The no-reference models' opinions of images, each of which is encoded once."""
    return _opinions(executables()[NO_REFERENCE[0]].encoder.encode(images))


def _opinions(encoded: Sequence[Any]) -> list[Opinions]:
    words = [()] * len(encoded)
    said = {name: executables()[name].score(encoded, words, ()) for name in NO_REFERENCE}
    return [
        {name: Opinion(found[row].score, found[row].similarities) for name, found in said.items()}
        for row in range(len(encoded))
    ]


@cache
def parts() -> list[Pixels]:
    """The middle of each photograph, 256x256: a third of its pixels, of which the claims hold as well."""
    corners = [(photo.shape[0] // 2 - 128, photo.shape[1] // 2 - 128) for photo in photographs()]
    return [
        np.ascontiguousarray(photo[top : top + 256, left : left + 256])
        for photo, (top, left) in zip(photographs(), corners, strict=True)
    ]


@cache
def untouched() -> list[Any]:
    """What the encoder makes of those, which is the same whatever they are spoilt by."""
    return list(executables()["bpclip-fr"].encoder.encode(parts(), compared=True))


@cache
def examined(distortion: str) -> tuple[dict[str, Answers], np.ndarray]:
    """The no-reference models' answers under a distortion, and the full-reference scores, ``(P, 3)``.

    Those are of the untouched photograph, the middle and the worst level, each against the untouched one. All
    at once, since to spoil a photograph can take longer than to score it.
    """
    full_reference = executables()["bpclip-fr"]
    found: list[list[Opinions]] = []
    compared: list[list[float]] = []
    for photo, itself in zip(parts(), untouched(), strict=True):
        levels = full_reference.encoder.encode(spoilt(photo, distortion)[1:], compared=True)
        encoded = [itself, *levels]
        found.append(_opinions(encoded))
        asked = [encoded[0], encoded[len(encoded) // 2], encoded[-1]]
        compared.append([said.score for said in full_reference.compare(asked, [encoded[0]] * 3)])
    of_models = {
        name: Answers(
            distortion,
            np.array([[level[name].score for level in levels] for levels in found]),
            np.array([[level[name].similarities for level in levels] for levels in found]),
        )
        for name in NO_REFERENCE
    }
    return of_models, np.array(compared)


def answers(model: str, distortion: str) -> Answers:
    return examined(distortion)[0][model]


def test_all_bundled_files_are_small_and_in_half_precision() -> None:
    paths = [bundled_path(name) for name in BUNDLED]
    assert sum(path.stat().st_size for path in paths) <= 30e6
    for path in paths:
        with safe_open(path, framework="pt") as file:
            assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118


def test_the_card_names_every_file_with_its_figures() -> None:
    card = bundled_path("qualiclip").with_name("README.md").read_text()
    for name in BUNDLED:
        assert bundled_path(name).name in card
        metadata = bundled(name).metadata
        assert metadata.license
        assert metadata.accuracy
        for figure, value in metadata.accuracy.items():
            assert f"{value:.3f}" in card, f"{name}: {figure} is not in the card"


@pytest.mark.parametrize("distortion", ORDERED)
@pytest.mark.parametrize("model", NO_REFERENCE)
def test_the_score_falls_from_mild_to_severe(model: str, distortion: str) -> None:
    found = answers(model, distortion).scores
    assert ((found >= 0) & (found <= 1)).all()
    assert found[:, -1].mean() < found[:, 1].mean()


@pytest.mark.parametrize("model", NO_REFERENCE)
def test_most_levels_are_in_order(model: str) -> None:
    found = [answers(model, distortion) for distortion in ORDERED]
    assert np.mean([each.worst_below_mildest for each in found]) > 0.9
    assert np.mean([each.adjacent_in_order for each in found]) > 0.8


@pytest.mark.parametrize("distortion", ORDERED)
def test_an_identical_pair_scores_highest(distortion: str) -> None:
    identical, middle, worst = examined(distortion)[1].T
    assert (identical > middle).all()
    assert (identical > worst).all()


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS])
@pytest.mark.parametrize("model", NO_REFERENCE)
def test_a_fault_raises_its_bad_word_and_lowers_the_good_one(model: str, fault: str) -> None:
    bad, good = next((bad, good) for name, bad, good in FAULTS if name == fault)
    similarities = answers(model, fault).similarities
    # Of saturation the fifth level inverts the colors, so the fourth, none at all, is the dullest.
    worst = similarities[:, -2 if fault == "hsv-saturation" else -1]
    change = (worst - similarities[:, 0]).mean(axis=0)
    assert change[WORDS.index(bad)] > 0
    assert change[WORDS.index(good)] < 0


@pytest.mark.parametrize("name", BUNDLED)
def test_the_metadata_is_complete(name: str) -> None:
    metadata = bundled(name).metadata
    assert metadata.name == f"{name}-compact"
    assert metadata.training_data
    assert metadata.source
    assert json.loads(metadata.model_dump_json())["format"] == "iqa-weights/1"


def test_a_score_alone_and_in_a_batch_agree() -> None:
    crops = [np.ascontiguousarray(photo[:256, :320]) for photo in photographs()]
    for name in BUNDLED:
        loaded = bundled(name)
        preprocessing = loaded.metadata.preprocessing
        batch = torch.cat([preprocessing.tensor(crop) for crop in crops])
        full_reference = isinstance(loaded.module, BPCLIP) and loaded.module.full_reference
        with torch.inference_mode():
            together = loaded.module(*((batch, batch.flip(0)) if full_reference else (batch,))).score
        pairs = zip(crops, crops[::-1], strict=True)
        alone = [scored(name, *(pair if full_reference else pair[:1]))[0] for pair in pairs]
        assert np.abs(together.numpy() - alone).max() < 1e-4


def test_a_deleted_file_is_missed_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "models.checkpoints.sources.bundled_path", lambda model: tmp_path / f"{model}.safetensors"
    )
    with pytest.raises(Exception, match=r"bundled weights of bpclip are missing.*IQA_BPCLIP_WEIGHTS"):
        load_model("bpclip")


@cache
def tried() -> list[Tried]:
    def judge(images: Sequence[Pixels], _: Pixels | None) -> list[Opinions]:
        return opinions(images)

    return [try_variants(photo, photo_name, judge) for photo_name, photo in named().items()]


@pytest.mark.parametrize("name", NO_REFERENCE)
def test_the_release_gate_is_kept(name: str) -> None:
    # So few photographs are fewer than one in twenty: of those bounds, too, not a single one may be missed.
    assert broken({name: outcomes(tried(), name)}) == []


HALVES = {  # in cells of 32 pixels, of 8 x 8
    "left": np.s_[:, :4],
    "right": np.s_[:, 4:],
    "top": np.s_[:4],
    "bottom": np.s_[4:],
}


def _half(name: str, side: int) -> NDArray[np.bool_]:
    """Where that half is in a square of `side`."""
    cells = np.zeros((8, 8), bool)
    cells[HALVES[name]] = True
    return cells.repeat(side // 8, axis=0).repeat(side // 8, axis=1)


def _blurred(photo: Pixels) -> Pixels:
    return np.array(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(2.5)))


@cache
def maps_of_half_blurred(name: str) -> dict[str, NDArray[np.float32]]:
    """Local quality ``(6, 8, 8)`` of parts of photographs, by the half that is blurred; "" for none."""
    model = executables()[name]
    found = {}
    for half in ("", *HALVES):
        pictures = []
        for photo in parts():
            spoilt = _half(half, 256)[..., None] if half else False
            pictures.append(np.where(spoilt, _blurred(photo), photo))
        encoded = model.encoder.encode(pictures)
        said = model.score(encoded, [()] * len(encoded), range(len(encoded)))
        found[half] = np.array([each.local for each in said], np.float32)
    return found


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", NO_REFERENCE)
def test_local_quality_shows_which_half_is_blurred(name: str, half: str) -> None:
    maps = maps_of_half_blurred(name)
    assert maps[half].shape == (6, 8, 8)
    blurred = _half(half, 8)
    change = maps[half] - maps[""]
    assert (change[:, blurred].mean(axis=1) < change[:, ~blurred].mean(axis=1)).sum() >= 5
    assert change[:, blurred].mean() < -0.02
