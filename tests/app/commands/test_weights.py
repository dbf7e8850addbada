"""``iqa weights``: listing, inspecting, and fetching without a network."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

import models.checkpoints.download
import models.checkpoints.sources
import models.qualiclip.official
from app.commands.terminal import UNUSABLE
from models.checkpoints.errors import WeightsDownloadError
from models.checkpoints.metadata import Metadata
from models.checkpoints.saving import save
from models.checkpoints.sources import bundled_path, read
from models.registry import BUNDLED
from models.training.photos import list_photos
from tests.app.command_line import invoke, lines_of_json, save_crops


@pytest.fixture
def bundled(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The random weights take the place of those that come with the package."""

    def path(model: str) -> Path:
        return weights_folder / f"{model}.safetensors"

    monkeypatch.setattr(models.checkpoints.sources, "bundled_path", path)
    return weights_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where official weights are looked for: an empty folder."""
    monkeypatch.setattr(models.qualiclip.official, "default_directory", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_the_list_has_bundled_and_official_weights(bundled: Path) -> None:
    result = invoke("weights", "list", "--json")
    assert result.exit_code == 0, result.stderr
    entries = {entry["name"]: entry for entry in json.loads(result.stdout)}
    for model in BUNDLED:
        data = (bundled / f"{model}.safetensors").read_bytes()
        entry = entries[f"{model}-tiny"]
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert entry["license"] == "Apache-2.0"
        assert entry["problem"] is None
    assert entries["qualiclip-official"]["license"] == "CC BY-NC 4.0"
    assert "iqa weights fetch official" in entries["qualiclip-official"]["problem"]
    table = invoke("weights", "list").stdout
    for name, entry in entries.items():
        assert name in table
        assert (entry["sha256"] or entry["problem"]) in table


def test_missing_bundled_weights_are_listed_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        models.checkpoints.sources, "bundled_path", lambda model: tmp_path / f"{model}-compact.safetensors"
    )
    result = invoke("weights", "list")
    assert result.exit_code == 0
    assert f"The bundled weights of bpclip are missing: expected at {tmp_path}" in result.stdout


@pytest.mark.parametrize("model", BUNDLED)
def test_a_file_of_any_model_can_be_inspected(model: str, weights_folder: Path) -> None:
    path = weights_folder / f"{model}.safetensors"
    result = invoke("weights", "inspect", path, "--json")
    assert result.exit_code == 0, result.stderr
    (card,) = lines_of_json(result.stdout)
    assert (card["model"], card["name"], card["license"]) == (model, f"{model}-tiny", "Apache-2.0")
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["parameters"] > 1000
    assert "random numbers" in invoke("weights", "inspect", path).stdout


@pytest.mark.parametrize("name", ["bpclip", "bpclip-compact"])
def test_bundled_weights_can_be_inspected_by_name(name: str) -> None:
    result = invoke("weights", "inspect", name, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["name"] == "bpclip-compact"


def test_all_bundled_weights_can_be_inspected(bundled: Path) -> None:
    result = invoke("weights", "inspect", "bundled", "--json")
    assert [card["model"] for card in lines_of_json(result.stdout)] == list(BUNDLED)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x04}q\x00.", "is truncated, corrupt or not a torch checkpoint"),
        (b"hello, this is no weights file at all", "is not a safetensors file"),
        (b"", "is empty"),
        (None, "There is no weights file"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    result = invoke("weights", "inspect", path)
    assert result.exit_code == UNUSABLE
    (sentence,) = result.stderr.splitlines()
    assert str(path) in sentence
    assert reason in sentence


def test_a_file_that_does_not_fit_its_own_architecture_is_refused(
    weights_folder: Path, tmp_path: Path
) -> None:
    data = (weights_folder / "bpclip.safetensors").read_bytes()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data.replace(b'\\"inner_width\\":16', b'\\"inner_width\\":32'))
    result = invoke("weights", "inspect", path)
    assert result.exit_code == UNUSABLE
    assert "shape" in result.stderr


def test_official_weights_that_are_not_there_are_not_inspected() -> None:
    result = invoke("weights", "inspect", "official")
    assert result.exit_code == UNUSABLE
    assert "iqa weights fetch official" in result.stderr


def test_fetching_names_the_license_and_passes_the_pin(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins: list[str | None] = []

    def fetch(
        directory: Path | None, *, sha256: str | None, progress: models.checkpoints.download.Progress
    ) -> Path:
        pins.append(sha256)
        progress(0, 400_000_000)
        progress(400_000_000, 400_000_000)
        return cache / "qualiclip.pth"

    monkeypatch.setattr(models.qualiclip.official, "fetch_official", fetch)
    result = invoke("weights", "fetch", "official", "--sha256", "ab" * 32)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{cache / 'qualiclip.pth'}\n"
    assert models.qualiclip.official.LICENSE_NOTICE in result.stderr
    invoke("weights", "fetch", "official", environment={"IQA_QUALICLIP_SHA256": "cd" * 32})
    invoke("weights", "fetch", "official")
    assert pins == ["ab" * 32, "cd" * 32, None]


def test_without_a_network_it_is_said_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> Path:
        raise WeightsDownloadError("There is no connection: put it there by hand.")

    monkeypatch.setattr(models.qualiclip.official, "fetch_official", fetch)
    result = invoke("weights", "fetch", "official")
    assert result.exit_code == UNUSABLE
    assert result.stderr.splitlines()[-1] == "There is no connection: put it there by hand."


def _own(path: Path, source: Path, model: str) -> Path:
    """A copy of weights with tensors of two precisions."""
    weights = read(source, model)
    first, *_ = weights.tensors
    tensors = weights.tensors | {first: weights.tensors[first].to(torch.float32)}
    save(path, tensors, weights.metadata, dtype=None)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("model", ["qualiclip", "bpclip"])
def test_weights_are_calibrated_in_place(model: str, weights_folder: Path, tmp_path: Path) -> None:
    path = _own(tmp_path / "own.safetensors", weights_folder / f"{model}.safetensors", model)
    before = read(path, model)
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    save_crops(tmp_path / "photos", 12)
    trained_on = list_photos(tmp_path / "photos")
    assert len(trained_on) < 12
    arguments = ("--real", tmp_path / "photos", "--clean", tmp_path / "photos")
    result = invoke("weights", "calibrate", link, *arguments)
    assert result.exit_code == 0, result.stderr
    after = read(path, model)
    assert result.stdout == f"{after.sha256}\n"
    assert after.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != before.sha256
    assert link.is_symlink()
    calibration = after.metadata.calibration
    assert calibration is not None
    assert calibration.photographs == len(trained_on)
    assert calibration.source == "photographs of the folder photos"
    assert f"{len(trained_on)} real photographs" in result.stderr
    assert "compression" in result.stderr
    assert _without_calibration(after.metadata) == before.metadata
    assert after.tensors.keys() == before.tensors.keys()
    for name, tensor in before.tensors.items():
        assert after.tensors[name].dtype == tensor.dtype
        assert torch.equal(after.tensors[name], tensor)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "link.safetensors",
        "own.safetensors",
        "photos",
    ]
    fewer = invoke("weights", "calibrate", path, *arguments, "--photographs", 6, "--source", "six of them")
    assert fewer.exit_code == 0, fewer.stderr
    again = read(path, model).metadata.calibration
    assert again is not None
    shown = invoke("weights", "inspect", path).stdout
    assert "six of them" in shown
    assert "percentiles" not in shown
    (card,) = lines_of_json(invoke("weights", "inspect", path, "--json").stdout)
    assert card["calibration"] == again.model_dump(mode="json")
    assert (again.photographs, again.source) == (len(trained_on), "six of them")  # 6 of the clean ones


def _without_calibration(metadata: Metadata) -> Metadata:
    return metadata.model_copy(update={"calibration": None})


def test_what_cannot_be_calibrated_stays_as_it_is(weights_folder: Path, tmp_path: Path) -> None:
    photos = save_crops(tmp_path / "photos", 2)[0].parent
    (tmp_path / "empty").mkdir()
    for model, real, reason in (
        ("bpclip", tmp_path / "empty", "holds no photographs"),
        ("bpclip", tmp_path / "none", "There is no folder"),
    ):
        path = tmp_path / f"{model}.safetensors"
        shutil.copy(weights_folder / path.name, path)
        before = path.read_bytes()
        result = invoke("weights", "calibrate", path, "--real", real, "--clean", photos)
        assert result.exit_code == UNUSABLE
        (sentence,) = result.stderr.splitlines()
        assert reason in sentence
        assert path.read_bytes() == before


def test_a_full_reference_model_gets_grades(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    shutil.copy(bundled_path("bpclip-fr"), path)
    before = read(path, "bpclip-fr").metadata.grades
    photos = save_crops(tmp_path / "photos", 4)[0].parent
    result = invoke("weights", "calibrate", path, "--clean", photos)
    assert result.exit_code == 0, result.stderr
    after = read(path, "bpclip-fr").metadata.grades
    assert after is not None
    assert after.source == "photographs of the folder photos"
    assert after != before
    assert f"imperceptible from {after.steps[0]:.3f}" in result.stderr


def test_readings_need_photographs_as_people_take_them(weights_folder: Path, tmp_path: Path) -> None:
    photos = save_crops(tmp_path / "photos", 2)[0].parent
    path = tmp_path / "bpclip.safetensors"
    shutil.copy(weights_folder / path.name, path)
    result = invoke("weights", "calibrate", path, "--clean", photos)
    assert result.exit_code == UNUSABLE
    assert "--real FOLDER" in result.stderr


@pytest.mark.process
def test_models_are_prepared_for_the_next_start(
    weights_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.runtime.graphs.platformdirs.user_cache_path", lambda _: tmp_path)
    result = invoke("weights", "export", environment={**weights_environment, "IQA_DEVICES": "cpu"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [
        "qualiclip",
        "bpclip",
        "bpclip-fr",
    ]
    assert "openvino on cpu" in result.stdout
    graphs = list((tmp_path / "graphs").glob("*/graph.xml"))
    assert len(graphs) == len(list((tmp_path / "graphs").glob("*/*.blob"))) >= 3
    again = invoke("weights", "export", environment={**weights_environment, "IQA_RUNTIME": "eager"})
    assert "eager on cpu" in again.stdout
