"""Weights files: what is written comes back, and what is wrong with a file is said in one sentence."""

import hashlib
import json
import pickle
import re
import shutil
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

import models
from models.checkpoints import sources
from models.checkpoints.errors import WeightsError, WeightsInvalid, WeightsNotFound, WeightsUntrained
from models.checkpoints.metadata import Metadata
from models.checkpoints.saving import save
from models.checkpoints.sources import bundled_path, load_weights, read, resolve
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from models.registry import BUNDLED
from models.vocabulary import WORDS
from tests.calibrations import calibration

TENSORS = {"layer.weight": torch.linspace(-1, 1, 12).view(3, 4), "layer.bias": torch.tensor([0.5, -2.0, 3.0])}


def metadata(model: str = "bpclip", **changes: object) -> Metadata:
    entries = {
        "model": model,
        "name": f"{model}-test",
        "architecture": {"width": 24, "layers": [1, 2]},
        "preprocessing": Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=512),
        "text_encoder": False,
        "license": "Apache-2.0",
        "source": "a test",
        "training_data": "none",
        "accuracy": {"srcc": 0.5},
        "validated_sides": (64, 512),
        "created": "2026-01-01",
    }
    return Metadata.model_validate(entries | changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save(path, TENSORS, metadata())
    return path


def rewritten(path: Path, entries: dict[str, str] | None, tensors: dict[str, Tensor] = TENSORS) -> Path:
    path.write_bytes(safetensors.torch.save(tensors, entries))
    return path


def edited(path: Path, **changes: object) -> Path:
    entries = json.loads(metadata().model_dump_json()) | changes
    return rewritten(path, {"format": "pt", "iqa": json.dumps(entries)})


def refusal(path: Path, model: str = "bpclip") -> str:
    """What is said of the file, which must be one sentence that names it."""
    with pytest.raises(WeightsInvalid) as caught:
        read(path, model)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message
    return message.removeprefix(str(path))


# --- what is written comes back


def test_a_file_comes_back_as_it_was_saved(file: Path) -> None:
    loaded = read(file, "bpclip")
    assert loaded.metadata == metadata()
    assert loaded.path == file
    assert loaded.tensors.keys() == TENSORS.keys()
    for name, tensor in loaded.tensors.items():
        assert tensor.dtype == torch.float16
        assert torch.equal(tensor, TENSORS[name].half())


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "weights.safetensors"
    returned = save(path, TENSORS, metadata())
    assert returned == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read(path, "bpclip").sha256 == returned


def test_saving_again_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    for _ in range(8):  # safetensors alone orders its metadata by chance
        save(other, TENSORS, metadata())
        assert other.read_bytes() == file.read_bytes()


def test_metadata_in_any_script(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(path, TENSORS, metadata(source='photographs “démo” \\ "quoted" \u2028 𝄞'))
    loaded = read(path, "bpclip")
    assert loaded.metadata.source == 'photographs “démo” \\ "quoted" \u2028 𝄞'
    assert torch.equal(loaded.tensors["layer.bias"], TENSORS["layer.bias"].half())


def test_others_can_read_the_file(file: Path) -> None:
    assert file.stat().st_mode & 0o444 == 0o444
    with safetensors.safe_open(file, "pt") as opened:
        assert opened.metadata()["format"] == "pt"
        assert json.loads(opened.metadata()["iqa"])["name"] == "bpclip-test"


def test_precision_is_chosen_and_integers_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(path, {"a": torch.tensor([1 / 3]), "n": torch.tensor(7)}, metadata(), dtype=torch.float32)
    tensors = read(path, "bpclip").tensors
    assert tensors["a"].dtype == torch.float32
    assert tensors["a"].item() == torch.tensor(1 / 3).item()
    assert tensors["n"].item() == 7


def test_each_tensor_can_keep_its_own_precision(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = {"a": torch.ones(2, dtype=torch.bfloat16), "b": torch.tensor([1 / 3]), "n": torch.tensor(7)}
    save(path, tensors, metadata(), dtype=None)
    assert {name: tensor.dtype for name, tensor in read(path, "bpclip").tensors.items()} == {
        "a": torch.bfloat16, "b": torch.float32, "n": torch.int64,
    }  # fmt: skip


def test_a_calibration_comes_back(tmp_path: Path, file: Path) -> None:
    assert read(file, "bpclip").metadata.calibration is None
    about = metadata(calibration=calibration())
    save(tmp_path / "other.safetensors", TENSORS, about)
    assert read(tmp_path / "other.safetensors", "bpclip").metadata == about


def test_tied_views_and_parameters_can_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    parameter = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
    save(path, {"a": parameter, "b": parameter, "c": parameter.t()}, metadata(), dtype=torch.float32)
    tensors = read(path, "bpclip").tensors
    assert torch.equal(tensors["a"], tensors["b"])
    assert torch.equal(tensors["c"], parameter.detach().t())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_values_that_half_precision_cannot_hold_are_not_saved(file: Path, value: float) -> None:
    before = file.read_bytes()
    with pytest.raises(WeightsInvalid, match="not finite numbers, in the tensor layer"):
        save(file, {"layer": torch.tensor([1.0, value])}, metadata())
    assert file.read_bytes() == before


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(file, {"layer": torch.ones(1)}, metadata())
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


# --- metadata


def test_metadata_has_defaults_that_hold_everywhere() -> None:
    made = metadata()
    assert made.format == "iqa-weights/1"
    assert made.temperature == 100.0
    assert tuple(made.adjectives) == WORDS
    assert made.prompts == []


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"format": "iqa-weights/2"},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"accuracy": {"srcc": float("nan")}},
        {"validated_sides": (1, 2, 3)},
        {"name": ""},
        {"color": "blue"},
    ],
)
def test_metadata_is_checked(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        metadata(**change)


# --- sources


@pytest.mark.parametrize("model", BUNDLED)
def test_bundled_files_lie_beside_the_code(model: str) -> None:
    path = bundled_path(model)
    assert resolve(model) == resolve(model, "bundled") == path
    assert path.parent == Path(models.__file__).parent / "weights"
    assert path.name == f"{model}-compact.safetensors"


def test_a_source_may_be_a_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("bpclip", file) == resolve("bpclip", str(file)) == file
    monkeypatch.setenv("HOME", str(file.parent))
    assert resolve("bpclip", "~/weights.safetensors") == file
    assert load_weights("bpclip", str(file)).metadata == metadata()


@pytest.mark.parametrize("model", ["bpclip", "bpclip-fr"])
def test_only_qualiclip_has_official_weights(model: str) -> None:
    with pytest.raises(WeightsNotFound, match=f"No official weights of {model} are published"):
        resolve(model, "official")


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("qualiclip", "IQA_QUALICLIP_WEIGHTS"),
        ("bpclip", "IQA_BPCLIP_WEIGHTS"),
        ("bpclip-fr", "IQA_BPCLIP_FR_WEIGHTS"),
    ],
)
def test_deleted_bundled_weights(
    model: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "bundled_path", lambda model: tmp_path / f"{model}-compact.safetensors")
    with pytest.raises(WeightsNotFound) as caught:
        load_weights(model)
    assert str(caught.value) == (
        f"The bundled weights of {model} are missing: expected at {tmp_path}/{model}-compact.safetensors; "
        f"reinstall, or set {setting} to a file."
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.safetensors", "There is no weights file at"),
        ("nowhere/at/all", "There is no weights file at"),
        ("x" * 5000, "There is no weights file at"),
        ("a\0b", "There is no weights file at"),
        (".", "is a directory, not a weights file"),
    ],
)
def test_paths_that_lead_nowhere(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=message):
        load_weights("bpclip", f"{tmp_path}/{name}")


def test_devices_are_not_files() -> None:
    with pytest.raises(WeightsNotFound, match="/dev/zero is not a regular file"):
        load_weights("bpclip", "/dev/zero")


# --- what is wrong with a file


def test_the_wrong_slot(file: Path) -> None:
    assert refusal(file, "qualiclip") == " holds weights of bpclip, not of qualiclip."
    assert refusal(file, "bpclip-fr") == " holds weights of bpclip, not of bpclip-fr."
    assert refusal(edited(file, model=["a", "b"])) == " holds weights of ['a', 'b'], not of bpclip."


def test_not_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for content in (
        b"hello",
        b"hello, this is a letter",
        b"<!DOCTYPE html><html></html>",
        bytes(100),
        b"\xff" * 50,
    ):
        path.write_bytes(content)
        assert refusal(path) == " is not a safetensors file."


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.touch()
    assert refusal(path) == " is empty."


def test_a_truncated_file(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert refusal(file) == f" is truncated: it has {len(whole) - 1} of {len(whole)} bytes."
    file.write_bytes(whole[:60])
    assert refusal(file) == " is truncated: its 60 bytes end within the header."


def test_a_file_with_something_behind_it(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"tail")
    assert refusal(file) == " is corrupt: it has 4 bytes too many."


@pytest.mark.parametrize(
    "header",
    [
        b"{not json}",
        b'{"a": 3}',
        b'{"a": {"dtype": "F32", "shape": [1]}}',
        b'{"a": {"data_offsets": []}}',
        b'{"a": {"data_offsets": ["x", "y"]}}',
        b'{"\xff\xfe": {}}',
        b"{" + b'"a":[' * 100_000,
    ],
)
def test_a_corrupt_header(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert refusal(path) == " is corrupt: its header is not what safetensors writes."


def test_a_header_that_does_not_fit_its_tensors(file: Path) -> None:
    # The same length and offsets, but another shape.
    file.write_bytes(file.read_bytes().replace(b'"shape":[3,4]', b'"shape":[3,5]'))
    assert refusal(file) == " is corrupt: its header does not describe its tensors."


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for entries in (None, {"format": "pt"}, {"iqa": "not json"}, {"iqa": "[]"}, {"iqa": "{}"}):
        assert refusal(rewritten(path, entries)).startswith(" has no metadata of ours")


def test_another_version_of_the_format(file: Path) -> None:
    message = refusal(edited(file, format="iqa-weights/9"))
    assert message == " has the format 'iqa-weights/9'; this version reads 'iqa-weights/1'."


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"temperature": "warm"}, "temperature"),
        ({"preprocessing": {"mean": [0, 0, 0], "std": [0, 0, 0]}}, "preprocessing.std.0"),
        ({"extra": 1}, "extra"),
        ({"calibration": {"photographs": 3}}, "calibration.source"),
    ],
)
def test_metadata_with_a_wrong_entry(change: dict[str, object], where: str, file: Path) -> None:
    assert refusal(edited(file, **change)) == f" has metadata with a missing or wrong entry: {where}."


def test_another_table_of_adjectives(file: Path) -> None:
    for words in ([*WORDS[1:], WORDS[0]], WORDS[:38], []):
        message = refusal(edited(file, adjectives=list(words)))
        assert message == " was made for another table of adjectives than this version has."


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_values_that_are_not_finite(file: Path, value: float) -> None:
    entries = {"format": "pt", "iqa": metadata().model_dump_json()}
    rewritten(file, entries, {"good": torch.ones(2), "bad": torch.tensor([1.0, value])})
    assert refusal(file) == " has values that are not finite numbers, in the tensor bad."


def test_a_file_of_absurd_size(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with path.open("wb") as sparse:
        sparse.truncate(5 * 2**30)
    assert refusal(path) == f" is too large for a weights file: {5 * 2**30} bytes."


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damage_is_refused_or_harmless(file: Path, data: st.DataObject) -> None:
    whole = file.read_bytes()
    damaged = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    copy = file.with_name("damaged.safetensors")
    copy.write_bytes(damaged[: data.draw(st.integers(0, len(whole)))])
    try:
        tensors, message = read(copy, "bpclip").tensors, "Nothing was noticed."
    except WeightsError as error:
        tensors, message = {}, str(error)
    assert re.fullmatch(r"[^\n]+\.", message)
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_arbitrary_numbers_are_not_asked_unless_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(path, TENSORS, metadata(untrained=True))
    with pytest.raises(WeightsUntrained) as caught:
        load_weights("bpclip", path)
    assert str(caught.value) == (
        f"{path} holds untrained weights, whose scores mean nothing; "
        "to measure speed with them, set IQA_ALLOW_UNTRAINED=true."
    )
    assert load_weights("bpclip", path, allow_untrained=True).metadata.untrained
    assert read(path, "bpclip").metadata.untrained  # for whoever only looks at them


def test_weights_are_trained_unless_they_say_otherwise(file: Path) -> None:
    assert not load_weights("bpclip", file).metadata.untrained
    assert not load_weights("bpclip", file, allow_untrained=True).metadata.untrained


# --- pickles


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_not_opened(name: str, zipped: bool, tmp_path: Path) -> None:
    path, sprung = tmp_path / name, tmp_path / "sprung"
    torch.save({"trap": Trap(sprung)}, path, _use_new_zipfile_serialization=zipped)
    assert refusal(path).startswith(" is a pickle or zip archive, which can run code and is not opened")
    assert "code" in refusal(path, "qualiclip")  # taken for the official checkpoint, and not run either
    assert not sprung.exists()


def test_even_the_oldest_pickle_is_not_opened(tmp_path: Path) -> None:
    path, sprung = tmp_path / "weights.pkl", tmp_path / "sprung"
    path.write_bytes(pickle.dumps(Trap(sprung), protocol=0))
    assert "pickle" in refusal(path)
    renamed = shutil.copy(path, tmp_path / "weights.safetensors")
    assert refusal(renamed) == " is not a safetensors file."
    assert not sprung.exists()


def test_safetensors_under_another_name_are_what_they_are(file: Path) -> None:
    renamed = file.rename(file.with_name("weights.bin"))
    assert read(renamed, "bpclip").metadata == metadata()


def test_a_length_that_reads_like_the_start_of_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    header = b"{}".ljust(0x280)  # its length makes the file start with 80 02, as pickles of protocol 2 do
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert refusal(path).startswith(" has no metadata of ours")
