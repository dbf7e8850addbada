"""From a source of weights ("bundled", "official", a path) to the tensors in its file.

Nothing here runs code from a file. The one pickle that is read, the official QualiCLIP checkpoint, goes
through :mod:`models.qualiclip.official` and torch's restricted unpickler.
"""

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final

from models.checkpoints.errors import WeightsInvalid, WeightsNotFound, WeightsUntrained
from models.checkpoints.format import WeightsFile, metadata_of, read_header
from models.checkpoints.metadata import Metadata, Weights
from models.registry import imported, spec_of

_MAX_BYTES: Final = 4 * 2**30  # four times the largest model here in float32; what is larger is a mistake
_PICKLE_SUFFIXES: Final = frozenset({".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin", ".zip", ".tar"})


def bundled_path(model: str) -> Path:
    """Where the weights of `model` lie that come with the package."""
    return Path(__file__).parents[1] / "weights" / f"{model}-compact.safetensors"


def resolve(
    model: str,
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
        published = _published(model)
        if published is None:
            choices = " or ".join([*(["bundled"] if spec_of(model).bundled else []), "a file"])
            raise WeightsNotFound(
                f"No official weights of {model} are published; set {_variable(model)} to {choices}."
            )
        fetched: Path = published.fetch_official(directory, sha256=sha256)
        return fetched
    return Path(source).expanduser()


def load_weights(
    model: str,
    source: str | Path = "bundled",
    *,
    directory: Path | None = None,
    sha256: str | None = None,
    allow_untrained: bool = False,
) -> Weights:
    """:func:`resolve` and :func:`read` in one, for weights to score with.

    Raises:
        WeightsError: of one of its kinds; WeightsUntrained unless `allow_untrained`.
    """
    made = spec_of(model).weights
    if made is not None and source == "bundled":
        in_memory: Weights = imported(made)()
        return in_memory
    weights = read(resolve(model, source, directory=directory, sha256=sha256), model)
    _require_trained(weights.metadata, weights.path, allow_untrained)
    return weights


def load_file(
    model: str,
    source: str | Path = "bundled",
    *,
    directory: Path | None = None,
    sha256: str | None = None,
    allow_untrained: bool = False,
) -> WeightsFile | None:
    """The same without reading a tensor; None for weights that have no safetensors file.

    Raises:
        WeightsError: as :func:`load_weights`, but for what is wrong with the tensors.
    """
    if spec_of(model).weights is not None and source == "bundled":
        return None
    file = open_file(resolve(model, source, directory=directory, sha256=sha256), model)
    if file is not None:
        _require_trained(file.metadata, file.path, allow_untrained)
    return file


def read(path: Path, model: str) -> Weights:
    """Reads and checks a weights file for the slot `model`.

    For qualiclip, a torch checkpoint is taken for the official one and read by
    :func:`models.qualiclip.official.read_official`. Whether names and shapes fit the architecture is checked
    by the model that takes the weights.

    Raises:
        WeightsNotFound: no such file, or not a file.
        WeightsInvalid: as :func:`open_file`, or the tensors have values that are not finite.
    """
    file = open_file(path, model)
    if file is not None:
        return Weights(file.metadata, file.tensors(), file.sha256, path)
    published = _published(model)
    assert published is not None  # or open_file had rejected it
    checkpoint: Weights = published.read_official(path)
    metadata = checkpoint.metadata.model_copy(update={"model": model})
    return replace(checkpoint, metadata=metadata)


def open_file(path: Path, model: str) -> WeightsFile | None:
    """A weights file for the slot `model`; None if it is a checkpoint as the model's authors publish.

    The file is read once, so the SHA-256 is that of the very bytes the tensors come from.

    Raises:
        WeightsNotFound: no such file, or not a file.
        WeightsInvalid: damaged, not safetensors, a pickle, without metadata, of another format version, of
            another model, or made for another table of adjectives.
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
                if _published(model) is not None:
                    return None
                raise WeightsInvalid(
                    f"{path} is a pickle or zip archive, which can run code and is not opened: "
                    f"weights of {model} are safetensors files."
                )
            metadata = metadata_of(read_header(start, file, size, path), model, path)
            file.seek(0)
            return WeightsFile(metadata, file.read(), path)
    except OSError as error:
        raise WeightsInvalid(f"{path} cannot be read: {error.strerror or error}.") from error


def _require_trained(metadata: Metadata, path: Path | None, allow_untrained: bool) -> None:
    if metadata.untrained and not allow_untrained:
        raise WeightsUntrained(
            f"{path} holds untrained weights, whose scores mean nothing; "
            "to measure speed with them, set IQA_ALLOW_UNTRAINED=true."
        )


def _require_file(path: Path, model: str) -> None:
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
            f"reinstall, or set {_variable(model)} to a file."
        )
    raise WeightsNotFound(f"There is no weights file at {path}.")


def _is_pickle(start: bytes, path: Path) -> bool:
    if start[8:9] == b"{":  # safetensors: eight bytes of length, then JSON
        return False
    zipped = start.startswith(b"PK\x03\x04")
    pickled = len(start) > 1 and start[0] == 0x80 and start[1] <= 5
    return zipped or pickled or path.suffix.lower() in _PICKLE_SUFFIXES


def _published(model: str) -> ModuleType | None:
    """The module that knows the weights that a model's authors published."""
    name = spec_of(model).published
    return None if name is None else importlib.import_module(name)


def _variable(model: str) -> str:
    return f"IQA_{spec_of(model).setting.upper()}"
