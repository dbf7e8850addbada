"""Weights files: safetensors with metadata that says what the tensors are, where they came from, how good.

Every failure is a :class:`WeightsError` whose message is one sentence for the person who chose the file:

    WeightsError
    ├── WeightsNotFound       there is no such file
    ├── WeightsInvalid        the file is not what it should be
    ├── WeightsUntrained      its numbers are arbitrary, and nobody said that this is wanted
    └── WeightsDownloadError  the file could not be fetched

Nothing here runs code from a file. The one pickle that is read, the official QualiCLIP checkpoint, goes
through :mod:`models.qualiclip.official` and torch's restricted unpickler.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from models.calibration import Calibration
from models.files import replace_durably
from models.preprocessing import Preprocessing
from models.vocabulary import WORDS

ModelName = Literal["qualiclip", "bpclip", "bpclip-fr"]
MODEL_NAMES: Final[tuple[ModelName, ...]] = get_args(ModelName)
FORMAT: Final = "iqa-weights/1"

_SETTINGS: Final[dict[ModelName, str]] = {
    "qualiclip": "IQA_QUALICLIP_WEIGHTS",
    "bpclip": "IQA_BPCLIP_WEIGHTS",
    "bpclip-fr": "IQA_BPCLIP_FR_WEIGHTS",
}
_MAX_BYTES: Final = 4 * 2**30  # four times the largest model here in float32; what is larger is a mistake
_MAX_HEADER_BYTES: Final = 100_000_000  # the safetensors format's own limit
_PICKLE_SUFFIXES: Final = frozenset({".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin", ".zip", ".tar"})


class WeightsError(Exception):
    """Weights that cannot be used; the message is one sentence that says why."""


class WeightsNotFound(WeightsError):
    """There is no file where the weights should be."""


class WeightsInvalid(WeightsError):
    """The file is damaged, of another kind, or holds another model than was asked for."""


class WeightsUntrained(WeightsError):
    """The numbers in the file are arbitrary: good for measuring speed, and for nothing else."""


class WeightsDownloadError(WeightsError):
    """The weights could not be fetched."""


class Metadata(BaseModel):
    """What a weights file says about itself.

    Attributes:
        format: version of this metadata.
        model: which model the tensors belong to.
        name: of these weights, for example "qualiclip-compact".
        architecture: keyword arguments of the model's config dataclass.
        preprocessing: how the images were prepared that it was trained on.
        temperature: what cosines are multiplied by before the softmax over a pair.
        prompts: QualiCLIP's fourteen prompts, the good one of a pair first; empty for BPCLIP.
        adjectives: the words that the stored similarities belong to, in order.
        text_encoder: whether the tensors include a text tower (words beyond the 40 can be encoded).
        license: of the weights, not of the code.
        source: where the weights come from.
        training_data: what they were trained on.
        accuracy: measured, by name, for example {"srcc_biq2021_test": 0.71}.
        validated_sides: shortest and longest image side, in pixels, that the accuracy was measured on.
        created: ISO 8601 date or time.
        untrained: whether the numbers are arbitrary, made to measure how fast the architecture is.
        calibration: what scores and words of these weights amount to; None where that was not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["iqa-weights/1"] = FORMAT
    model: ModelName
    name: str = Field(min_length=1)
    architecture: dict[str, Any]
    preprocessing: Preprocessing
    temperature: float = Field(default=100.0, gt=0)
    prompts: list[str] = Field(default_factory=list)
    adjectives: list[str] = Field(default_factory=lambda: list(WORDS))
    text_encoder: bool
    license: str
    source: str
    training_data: str
    accuracy: dict[str, float] = Field(default_factory=dict)
    validated_sides: tuple[int, int]
    created: str
    untrained: bool = False
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Weights:
    """A weights file in memory.

    Attributes:
        metadata: what the file says about itself.
        tensors: as stored (float16 in bundled files), on the CPU, all finite.
        sha256: of the whole file, lower-case hexadecimal.
        path: where it was read from; None for weights that were made in memory.
    """

    metadata: Metadata
    tensors: dict[str, Tensor]
    sha256: str
    path: Path | None


def bundled_path(model: ModelName) -> Path:
    """Where the weights of `model` lie that come with the package."""
    return Path(__file__).with_name("weights") / f"{model}-compact.safetensors"


def resolve(
    model: ModelName,
    source: str | Path = "bundled",
    *,
    directory: Path | None = None,
    sha256: str | None = None,
) -> Path:
    """The file that a source names; "official" is downloaded where it is not there yet.

    Args:
        model: the slot that the weights are for.
        source: "bundled", "official" (qualiclip only), or a path.
        directory: where official weights are kept; None for the user's cache.
        sha256: what the official file must hash to, hexadecimal; None trusts the first download.

    Returns:
        The path; a bundled file or a path may turn out missing when it is read.

    Raises:
        WeightsNotFound: there are no official weights of this model.
        WeightsDownloadError: the official weights are not there and cannot be fetched.
    """
    if source == "bundled":
        return bundled_path(model)
    if source == "official":
        if model != "qualiclip":
            raise WeightsNotFound(
                f"No official weights of {model} are published; set {_SETTINGS[model]} to bundled or a file."
            )
        from models.qualiclip.model import official  # it builds on this module

        return official.fetch_official(directory, sha256=sha256)
    return Path(source).expanduser()


def load_weights(
    model: ModelName,
    source: str | Path = "bundled",
    *,
    directory: Path | None = None,
    sha256: str | None = None,
    allow_untrained: bool = False,
) -> Weights:
    """:func:`resolve` and :func:`read` in one, for weights that are to be asked.

    Raises:
        WeightsError: of one of its kinds; WeightsUntrained unless `allow_untrained`.
    """
    weights = read(resolve(model, source, directory=directory, sha256=sha256), model)
    if weights.metadata.untrained and not allow_untrained:
        raise WeightsUntrained(
            f"{weights.path} holds untrained weights, whose scores mean nothing; "
            "to measure speed with them, set IQA_ALLOW_UNTRAINED=true."
        )
    return weights


def read(path: Path, model: ModelName) -> Weights:
    """Reads and checks a weights file for the slot `model`.

    The file is read once, so the SHA-256 is that of the very bytes the tensors come from. For qualiclip, a
    torch checkpoint is taken for the official one and read by :func:`models.qualiclip.official.read_official`.
    Whether names and shapes fit the architecture is checked by the model that takes the weights.

    Raises:
        WeightsNotFound: no such file, or not a file.
        WeightsInvalid: damaged, not safetensors, a pickle, without metadata, of another format version, of
            another model, made for another table of adjectives, or with values that are not finite.
    """
    _require_file(path, model)
    try:
        size = path.stat().st_size
        if size == 0:
            raise WeightsInvalid(f"{path} is empty.")
        if size > _MAX_BYTES:
            raise WeightsInvalid(f"{path} is too large for a weights file: {size} bytes.")
        with path.open("rb") as file:
            start = file.read(9)
            if _is_pickle(start, path):
                if model == "qualiclip":
                    from models.qualiclip.model import official  # it builds on this module

                    return official.read_official(path)
                raise WeightsInvalid(
                    f"{path} is a pickle or zip archive, which can run code and is not opened: "
                    f"weights of {model} are safetensors files."
                )
            metadata = _metadata(_read_header(start, file, size, path), model, path)
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise WeightsInvalid(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise WeightsInvalid(f"{path} is corrupt: its header does not describe its tensors.") from error
    require_finite(tensors, str(path))
    return Weights(metadata, tensors, hashlib.sha256(data).hexdigest(), path)


def save(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Metadata,
    dtype: torch.dtype | None = torch.float16,
) -> str:
    """Writes a weights file; whoever reads `path` meanwhile sees the old file or the new one, whole.

    The same tensors and metadata give the same bytes.

    Args:
        path: of the file; its folder is made where it is missing.
        tensors: floating-point ones are stored as `dtype`, others as they are.
        metadata: stored as JSON in the file's header.
        dtype: of the stored floating-point tensors; None keeps what each tensor has.

    Returns:
        The SHA-256 of the file, lower-case hexadecimal.

    Raises:
        WeightsInvalid: a tensor is not finite, be it only once it is in `dtype`.
    """
    stored = {name: _stored(tensor, dtype) for name, tensor in tensors.items()}
    require_finite(stored, f"What was to be stored as {path}")
    data = _reproducible(safetensors.torch.save(stored, {"format": "pt", "iqa": metadata.model_dump_json()}))
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Puts `data` at `path` in one step, on disk before it has the name.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes files that only their owner can read
        replace_durably(Path(temporary), path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def require_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """Raises :class:`WeightsInvalid`, opening with `what`, if a tensor holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsInvalid(f"{what} has values that are not finite numbers, in the tensor {name}.")


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    target = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    # A copy always, since safetensors refuses tensors that share memory, as tied parameters do.
    return tensor.detach().to("cpu", target, copy=True, memory_format=torch.contiguous_format)


def _reproducible(data: bytes) -> bytes:
    """The same file with its metadata in order; safetensors writes them in another one each time."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # the format aligns the tensors so
    return len(text).to_bytes(8, "little") + text + data[end:]


def _require_file(path: Path, model: ModelName) -> None:
    try:
        if path.is_file():
            return
        exists, directory = path.exists(), path.is_dir()
    except (OSError, ValueError):  # a name too long, a zero byte in it
        exists = directory = False
    if directory:
        raise WeightsNotFound(f"{path} is a directory, not a weights file.")
    if exists:
        raise WeightsNotFound(f"{path} is not a regular file.")
    if path == bundled_path(model):
        raise WeightsNotFound(
            f"The bundled weights of {model} are missing: expected at {path}; "
            f"reinstall, or set {_SETTINGS[model]} to a file."
        )
    raise WeightsNotFound(f"There is no weights file at {path}.")


def _is_pickle(start: bytes, path: Path) -> bool:
    if start[8:9] == b"{":  # safetensors: eight bytes of length, then JSON
        return False
    zipped = start.startswith(b"PK\x03\x04")
    pickled = len(start) > 1 and start[0] == 0x80 and start[1] <= 5
    return zipped or pickled or path.suffix.lower() in _PICKLE_SUFFIXES


def _read_header(start: bytes, file: BinaryIO, size: int, path: Path) -> dict[str, Any]:
    """The JSON header, once the lengths in it agree with the file's; `start` is what was read already."""
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:9] != b"{" or length > _MAX_HEADER_BYTES:
        raise WeightsInvalid(f"{path} is not a safetensors file.")
    if 8 + length > size:
        raise WeightsInvalid(f"{path} is truncated: its {size} bytes end within the header.")
    try:
        header = json.loads(start[8:] + file.read(length - 1))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsInvalid(f"{path} is corrupt: its header is not what safetensors writes.") from error
    if size < expected:
        raise WeightsInvalid(f"{path} is truncated: it has {size} of {expected} bytes.")
    if size > expected:
        raise WeightsInvalid(f"{path} is corrupt: it has {size - expected} bytes too many.")
    return dict(header)


def _metadata(header: dict[str, Any], model: ModelName, path: Path) -> Metadata:
    try:
        raw = json.loads(header["__metadata__"]["iqa"])
        version, stored_model = raw["format"], raw["model"]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise WeightsInvalid(
            f"{path} has no metadata of ours: it was not written by `iqa train`, so what it holds is unknown."
        ) from error
    if version != FORMAT:
        raise WeightsInvalid(f"{path} has the format {version!r}; this version reads {FORMAT!r}.")
    if stored_model != model:
        other = stored_model if stored_model in MODEL_NAMES else repr(stored_model)
        raise WeightsInvalid(f"{path} holds weights of {other}, not of {model}.")
    try:
        metadata = Metadata.model_validate(raw)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise WeightsInvalid(f"{path} has metadata with a missing or wrong entry: {where}.") from error
    if tuple(metadata.adjectives) != WORDS:
        raise WeightsInvalid(f"{path} was made for another table of adjectives than this version has.")
    return metadata
