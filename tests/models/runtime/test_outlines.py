"""The graphs that come with the project are those of the bundled weights, and hold no number twice."""

import json
import zipfile
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import openvino
import platformdirs
import pytest

from models.canary import canary_pixels, spoilt_pixels
from models.checkpoints.sources import bundled_path
from models.facts import ModelFacts
from models.loading import UnbuiltModel, load_model
from models.preprocessing import Pixels
from models.registry import BUNDLED, FULL_REFERENCE
from models.runtime import graphs, outlines, shipping
from models.runtime.backend import Backend, Said
from models.runtime.eager import EagerBackend
from models.runtime.openvino import OpenVINOBackend, tensors_of
from tests.models.runtime.lively import pictures

_ARCHIVE = bundled_path(BUNDLED[0]).with_name("graphs.zip")


@cache
def noted(name: str) -> ModelFacts:
    facts = graphs.facts_of(name, load_model(name).sha256)
    assert facts is not None, "models/weights/graphs.zip is of other weights: make graphs"
    return facts


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED)
def test_what_is_noted_of_the_bundled_weights_is_so(name: str) -> None:
    measured = load_model(name).facts
    assert noted(name).canary == pytest.approx(measured.canary, abs=1e-5)
    assert noted(name).model_copy(update={"canary": measured.canary}) == measured


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_weights_are_scored_without_being_traced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path)
    images = [canary_pixels(), *pictures([(97, 61), (150, 224)], 3)]
    backend = OpenVINOBackend("cpu", "float32", threads=1)
    model = backend.load(name, "bundled")
    assert isinstance(model, UnbuiltModel)
    found = _said(backend, name, images)
    assert "module" not in model.__dict__
    for one, other in zip(found, _said(EagerBackend("cpu", "float32"), name, images), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.similarities == pytest.approx(other.similarities, abs=1e-4)
        assert one.prompt_probabilities == pytest.approx(other.prompt_probabilities, abs=1e-4)
    # What is compiled is kept, what it was made of is not: it is in the project.
    assert [*tmp_path.rglob("*.blob")]
    assert not [*tmp_path.rglob("graph.*")]


def _said(backend: Backend, name: str, images: Sequence[Pixels]) -> list[Said]:
    placed = backend.place(backend.load(name, "bundled"), "float32")
    if name != FULL_REFERENCE:
        return placed.score(placed.encoder.encode(images), [()] * len(images), [])
    worse = [spoilt_pixels(), *(image // 64 * 64 for image in images[1:])]
    encoded = placed.encoder.encode([*worse, *images], compared=True)
    return placed.compare(encoded[: len(images)], encoded[len(images) :])


@pytest.mark.slow
def test_what_is_compiled_of_them_keeps_to_the_bound_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(graphs, "_MOST_BYTES", 1)
    backend = OpenVINOBackend("cpu", "float32", threads=1)
    backend.place(backend.load("qualiclip", "bundled"), "float32")  # an encoder and a head
    assert len([*tmp_path.rglob("*.blob")]) == 1


@pytest.mark.slow
def test_making_them_again_gives_the_same_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {}
    monkeypatch.setattr(shipping, "write_atomically", lambda path, data: written.update({path: data}))
    shipping.main()
    ((path, data),) = written.items()
    assert path == _ARCHIVE
    with zipfile.ZipFile(_ARCHIVE) as there, zipfile.ZipFile(BytesIO(data)) as made:
        assert there.namelist() == made.namelist()
        for name in there.namelist():
            if name.endswith(".json") and b'"tensors"' in there.read(name):
                assert json.loads(there.read(name)) == json.loads(made.read(name)), "make graphs"


def test_nearly_all_numbers_are_those_of_the_weights() -> None:
    with zipfile.ZipFile(_ARCHIVE) as archive:
        own = sum(info.file_size for info in archive.infolist() if info.filename.endswith(".bin"))
    assert own < 0.03 * sum(np.prod(values.shape) * 4 for name in BUNDLED for values in _tensors(name))
    assert _ARCHIVE.stat().st_size < 1_000_000


def _tensors(name: str) -> list[np.ndarray]:
    return list(tensors_of(bundled_path(name), name).values())


def _graph(matrix: np.ndarray, offset: np.ndarray) -> openvino.Model:
    from openvino import opset13 as ops

    given = ops.parameter([-1, matrix.shape[0]], np.float32)
    return openvino.Model(ops.add(ops.matmul(given, matrix, False, False), offset), [given])


def test_a_graph_is_filled_with_the_tensors_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(6, 5)).astype(np.float16)
    offset = generator.normal(size=5).astype(np.float32)
    entries = shipping.outline("key", _graph(matrix.astype(np.float32), offset), {"matrix": matrix})
    monkeypatch.setattr(outlines, "_entries", lambda: entries)
    assert matrix.astype(np.float32).tobytes() not in b"".join(entries.values())
    core = graphs._core()
    graph = outlines.filled(core, "key", lambda: {"matrix": matrix})
    assert graph is not None
    values = generator.normal(size=(3, 6)).astype(np.float32)
    result = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([values])[0]
    assert result == pytest.approx(values @ matrix.astype(np.float32) + offset, abs=1e-5)
    assert outlines.filled(core, "another key", dict) is None


def test_a_file_that_is_missing_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(outlines, "files", lambda _: tmp_path)
    outlines._entries.cache_clear()
    try:
        assert outlines.facts("any") is None
    finally:
        outlines._entries.cache_clear()
