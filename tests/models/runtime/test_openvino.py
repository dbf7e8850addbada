"""The runtime on OpenVINO is held to the eager one, model by model, at sizes of all kinds."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import platformdirs
import pytest
import torch

from models.checkpoints.metadata import Metadata
from models.loading import LoadedModel
from models.preprocessing import Pixels
from models.registry import BUNDLED
from models.runtime import export, graphs
from models.runtime import openvino as runtime
from models.runtime.backend import DeviceUnavailable, Executable, OutOfMemory, Said
from models.runtime.choice import open_backend
from models.runtime.eager import EagerBackend, InferenceModel
from models.runtime.openvino import OpenVINOBackend, OpenVINOModel
from tests.models.runtime.lively import MODELS, NO_REFERENCE, PREPROCESSING, lively, pictures

pytestmark = pytest.mark.slow  # graphs are traced and compiled

SIZES = [(64, 96), (97, 61), (32, 32), (150, 110), (64, 96), (40, 224)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.getbasetemp() / "graphs"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: folder)


def loaded(name: str, seed: int = 1) -> LoadedModel:
    slot = "qualiclip" if "qualiclip" in name else "bpclip-fr" if "-fr" in name else "bpclip"
    metadata = Metadata(
        model=slot, name=name, architecture={}, preprocessing=PREPROCESSING, text_encoder=False, license="",
        source="", training_data="", validated_sides=(32, 64), created="",
    )  # fmt: skip
    return LoadedModel(slot, lively(name, seed), metadata, f"{name} {seed}")


def both(name: str) -> tuple[Executable, Executable]:
    """The same model on the eager runtime and on OpenVINO."""
    placed = OpenVINOBackend("cpu", "float32").place(loaded(name), "float32")
    assert isinstance(placed, OpenVINOModel)
    return EagerBackend("cpu", "float32").place(loaded(name), "float32"), placed


def apart(one: list[Said], other: list[Said]) -> float:
    """The largest difference of any number."""
    found = 0.0
    for first, second in zip(one, other, strict=True):
        assert (first.local is None) == (second.local is None)
        for name in ("score", "similarities", "prompt_probabilities", "local"):
            values = [np.array(getattr(said, name), dtype=np.float64) for said in (first, second)]
            if getattr(first, name) is not None:
                assert values[0].shape == values[1].shape, name
                found = max(found, float(np.abs(values[0] - values[1]).max(initial=0)))
    return found


def score(model: Executable, images: list[Pixels], mapped: list[int]) -> list[Said]:
    return model.score(model.encoder.encode(images), [()] * len(images), mapped)


@pytest.mark.parametrize("name", NO_REFERENCE)
def test_single_images_are_scored_alike(name: str) -> None:
    eager, other = both(name)
    images = pictures(SIZES, 3)
    assert apart(score(eager, images, [1, 3]), score(other, images, [1, 3])) <= 1e-4
    alone = [score(other, [image], [])[0] for image in images]
    assert apart(alone, score(other, images, [])) <= 1e-5  # small ones of one size share a tensor


@pytest.mark.parametrize("name", [name for name in MODELS if name not in NO_REFERENCE and "-fr" in name])
def test_pairs_are_scored_alike(name: str) -> None:
    eager, other = both(name)
    images = pictures(SIZES, 5)
    worse = [image // 64 * 64 for image in images]
    found = []
    for model in (eager, other):
        encoded = model.encoder.encode([*worse, *images], compared=True)
        found.append(model.compare(encoded[: len(images)], encoded[len(images) :]))
    assert apart(*found) <= 1e-4
    kept = [reference.kept() for reference in model.encoder.encode(images, compared=True)]
    again = model.compare(model.encoder.encode(worse, compared=True), kept)
    assert apart(again, found[1]) <= 1e-5
    assert kept[0].nbytes > 0


def test_equal_encoders_are_shared() -> None:
    backend = OpenVINOBackend("cpu", "float32")
    first, second = (backend.place(loaded("bpclip, lite"), "float32") for _ in range(2))
    assert first.encoder is second.encoder
    assert backend.place(loaded("bpclip, lite", 2), "float32").encoder is not first.encoder


def test_several_threads_compute_images_side_by_side() -> None:
    model = OpenVINOBackend("cpu", "float32", threads=2).place(loaded("bpclip, lite, open masks"), "float32")
    images = pictures([(300, 280), (310, 270), (290, 300)], 1)
    expected = [score(model, [image], [])[0] for image in images]
    assert apart(score(model, images, []), expected) <= 1e-5  # as long as streams are being compiled
    runtime._COMPILER.submit(lambda: None).result()  # all before is compiled
    for _ in range(3):
        assert apart(score(model, images, []), expected) <= 1e-5


def test_a_second_start_traces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", 7), "float32")

    def traced(*_: object) -> openvino.Model:
        raise AssertionError("it is there already")

    monkeypatch.setattr(export, "traced", traced)
    second = OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", 7), "float32")
    images = pictures(SIZES[:2], 1)
    assert apart(score(first, images, []), score(second, images, [])) == 0


def test_a_damaged_cache_is_made_anew(tmp_path_factory: pytest.TempPathFactory) -> None:
    images = pictures(SIZES[:2], 1)
    first = OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", 8), "float32")
    files = [*(tmp_path_factory.getbasetemp() / "graphs").rglob("*.blob")]
    files += (tmp_path_factory.getbasetemp() / "graphs").rglob("graph.xml")
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    second = OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", 8), "float32")
    assert apart(score(first, images, []), score(second, images, [])) == 0


def test_a_damaged_graph_is_replaced(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", 12), "float32")
    for file in (tmp_path_factory.getbasetemp() / "graphs").rglob("*"):
        if file.suffix == ".blob":
            file.unlink()
        elif file.name == "graph.xml":
            file.write_bytes(b"<net")
    OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", 12), "float32")
    monkeypatch.setattr(export, "traced", lambda *_: pytest.fail("its graph is there again"))
    for file in (tmp_path_factory.getbasetemp() / "graphs").rglob("*.blob"):
        file.unlink()
    model = OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", 12), "float32")
    assert isinstance(model, OpenVINOModel)


def test_the_cache_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(graphs, "_MOST_BYTES", 1)
    for seed in (13, 14):
        model = OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", seed), "float32")
        assert isinstance(model, OpenVINOModel)
    # What was made last is kept, however large it is.
    assert len(list((tmp_path / "graphs").glob("*/graph.xml"))) == 1
    assert 0 <= score(model, pictures(SIZES[:1], 1), [])[0].score <= 1


def test_without_a_cache_it_works_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "file")
    model = OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite", 9), "float32")
    assert 0 <= score(model, pictures(SIZES[:1], 1), [])[0].score <= 1


def test_what_cannot_be_exported_stays_in_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> openvino.Model:
        raise RuntimeError("an operation that OpenVINO lacks")

    monkeypatch.setattr(export, "traced", fails)
    with caplog.at_level(logging.WARNING, "iqa.runtime"):
        model = OpenVINOBackend("cpu", "float32").place(loaded("bpclip, lite", 11), "float32")
    assert isinstance(model, InferenceModel)
    assert "bpclip cannot be exported and stays in torch" in caplog.text
    assert 0 <= score(model, pictures(SIZES[:1], 1), [])[0].score <= 1


def test_want_of_memory_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    model = OpenVINOBackend("cpu", "float32").place(loaded("qualiclip, lite"), "float32")

    def full(*_: object) -> None:
        raise RuntimeError("Exception from src/inference: std::bad_alloc")

    monkeypatch.setattr(runtime, "_take", full)
    with pytest.raises(OutOfMemory, match="for 1 images"):
        model.encoder.encode(pictures(SIZES[:1], 1))


def test_it_is_for_cpus_and_their_precisions() -> None:
    with pytest.raises(DeviceUnavailable, match="for the CPU, not for cuda:0"):
        OpenVINOBackend("cuda:0")
    with pytest.raises(DeviceUnavailable, match="float32 or bfloat16, not in float16"):
        OpenVINOBackend("cpu", "float16")


def test_a_cpu_is_given_to_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [open_backend(name).name for name in ("auto", "eager", "openvino")] == [
        "openvino",
        "eager",
        "openvino",
    ]
    assert open_backend("auto", "cpu", "float16").name == "eager"  # in which it does not compute
    assert open_backend("auto", "cpu", "float32").dtype == "float32"
    assert BUNDLED  # weights there are to run


_TELEMETRY = """
import sys
from models.runtime import export, graphs, openvino
from openvino.tools import ovc

print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""


@pytest.mark.process
def test_its_makers_are_not_told_that_it_is_used(tmp_path: Path) -> None:
    assert _printed(_TELEMETRY, tmp_path) == "[]\n"


_SIGNALED_AFTER_MODELS = """
import gc, os, signal, sys
from pathlib import Path
import torch
from models.runtime import export, graphs

graphs.platformdirs.user_cache_path = lambda name: Path(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: print("alive", flush=True))

def made(seed):
    torch.manual_seed(seed)
    layer = torch.nn.Conv2d(3, 2, 3).eval()
    trace = lambda: export.traced(layer, [torch.zeros(1, 3, 40, 48)])
    return graphs.compiled(f"layer {seed}", trace, None, {})

models = [made(1), made(2)]
while models:  # in the order in which they were made
    models.pop(0)
    gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""


def _printed(program: str, folder: Path) -> str:
    """What a program prints in a process of its own that keeps graphs in this folder."""
    done = subprocess.run(
        [sys.executable, "-c", program, folder],
        capture_output=True, text=True, timeout=240, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.process
def test_a_process_lives_through_signals_when_models_are_gone(tmp_path: Path) -> None:
    assert _printed(_SIGNALED_AFTER_MODELS, tmp_path) == "alive\n"


_RESIDENT_AFTER_SIZES = """
import sys
from pathlib import Path
import numpy as np
from models.runtime import graphs
from models.runtime.openvino import OpenVINOBackend
from tests.models.runtime.test_openvino import loaded, pictures, score

graphs.platformdirs.user_cache_path = lambda name: Path(sys.argv[1])
model = OpenVINOBackend("cpu", "float32", threads=1).place(loaded("qualiclip, lite", 3), "float32")
sides = iter(np.random.default_rng(0).integers(64, 400, (160, 2)))
for sizes in (40, 120):
    for _ in range(sizes):
        score(model, pictures([tuple(map(int, next(sides)))], 1), [])
    print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
"""


@pytest.mark.process
def test_memory_settles_whatever_the_sizes(tmp_path: Path) -> None:
    few, many = map(int, _printed(_RESIDENT_AFTER_SIZES, tmp_path).split())
    assert many - few < 100e6  # 35 MB; with as many kernels as OpenVINO keeps by default, 210 MB
