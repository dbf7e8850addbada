"""``iqa weights``: listing, inspecting, and fetching without a network."""

import hashlib
import json
from pathlib import Path

import pytest

import models.download
import models.official
import models.weights
from app.commands.terminal import UNUSABLE
from models.weights import MODEL_NAMES, ModelName, WeightsDownloadError
from tests.app.command_line import invoke, lines_of_json


@pytest.fixture
def bundled(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The random weights take the place of those that come with the package."""

    def path(model: ModelName) -> Path:
        return weights_folder / f"{model}.safetensors"

    monkeypatch.setattr(models.weights, "bundled_path", path)
    return weights_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where official weights are looked for: an empty folder."""
    monkeypatch.setattr(models.official, "default_directory", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_the_list_has_bundled_and_official_weights(bundled: Path) -> None:
    result = invoke("weights", "list", "--json")
    assert result.exit_code == 0, result.stderr
    entries = {entry["name"]: entry for entry in json.loads(result.stdout)}
    for model in MODEL_NAMES:
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
        models.weights, "bundled_path", lambda model: tmp_path / f"{model}-compact.safetensors"
    )
    result = invoke("weights", "list")
    assert result.exit_code == 0
    assert f"The bundled weights of bpclip are missing: expected at {tmp_path}" in result.stdout


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_file_of_any_model_can_be_inspected(model: ModelName, weights_folder: Path) -> None:
    path = weights_folder / f"{model}.safetensors"
    result = invoke("weights", "inspect", path, "--json")
    assert result.exit_code == 0, result.stderr
    (card,) = lines_of_json(result.stdout)
    assert (card["model"], card["name"], card["license"]) == (model, f"{model}-tiny", "Apache-2.0")
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["parameters"] > 1000
    assert "random numbers" in invoke("weights", "inspect", path).stdout


def test_all_bundled_weights_can_be_inspected(bundled: Path) -> None:
    result = invoke("weights", "inspect", "bundled", "--json")
    assert [card["model"] for card in lines_of_json(result.stdout)] == list(MODEL_NAMES)


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


def test_fetching_names_the_licence_and_passes_the_pin(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins: list[str | None] = []

    def fetch(directory: Path | None, *, sha256: str | None, progress: models.download.Progress) -> Path:
        pins.append(sha256)
        progress(0, 400_000_000)
        progress(400_000_000, 400_000_000)
        return cache / "qualiclip.pth"

    monkeypatch.setattr(models.official, "fetch_official", fetch)
    result = invoke("weights", "fetch", "official", "--sha256", "ab" * 32)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{cache / 'qualiclip.pth'}\n"
    assert models.official.LICENSE_NOTICE in result.stderr
    invoke("weights", "fetch", "official", environment={"IQA_QUALICLIP_SHA256": "cd" * 32})
    invoke("weights", "fetch", "official")
    assert pins == ["ab" * 32, "cd" * 32, None]


def test_without_a_network_it_is_said_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> Path:
        raise WeightsDownloadError("There is no connection: put it there by hand.")

    monkeypatch.setattr(models.official, "fetch_official", fetch)
    result = invoke("weights", "fetch", "official")
    assert result.exit_code == UNUSABLE
    assert result.stderr.splitlines()[-1] == "There is no connection: put it there by hand."
