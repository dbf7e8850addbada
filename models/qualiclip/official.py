"""The official QualiCLIP checkpoint: downloaded once, on request, and read without running what is in it.

Its SHA-256 is not published. So the first download is trusted, once it has the structure of the checkpoint,
and its digest is written beside it (`qualiclip.pth.sha256`); every later download and reading is held to that
record, or to a digest that the caller knows. :meth:`models.qualiclip.model.QualiCLIP.from_weights` then
compares the stored prompt features with the checkpoint's own text tower.
"""

import contextlib
import hashlib
import pickle
import re
from pathlib import Path
from typing import Final

import filelock
import httpx
import platformdirs
import torch
from torch import Tensor

from models.checkpoints.download import Part, Progress, Refused, complete
from models.checkpoints.errors import WeightsDownloadError, WeightsInvalid
from models.checkpoints.metadata import Metadata, Weights
from models.checkpoints.saving import require_finite
from models.files import replace_durably, write_atomically
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing

OFFICIAL_URL: Final = "https://github.com/miccunifi/QualiCLIP/releases/download/weights/qualiclip.pth"
FILE_NAME: Final = "qualiclip.pth"
LICENSE: Final = "CC BY-NC 4.0"
LICENSE_NOTICE: Final = (
    "The official QualiCLIP weights are the work of their authors (github.com/miccunifi/QualiCLIP) under "
    "CC BY-NC 4.0 (https://creativecommons.org/licenses/by-nc/4.0/): name the authors, no commercial use. "
    "The license of this service does not cover them."
)

_PREFIX: Final = "clip_model."
_PROMPTS_KEY: Final = "prompts_features"
_PROMPTS_SHAPE: Final = (14, 1024)
_LOCK_WAIT_S: Final = 1800.0  # for another process that is downloading the same file
_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)  # without a network it is said at once


def default_directory() -> Path:
    """Where official weights are kept unless the caller says otherwise: in the user's cache."""
    return platformdirs.user_cache_path("iqa-service") / "weights"


def official_path(directory: Path | None = None) -> Path:
    """Where the official checkpoint lies in `directory` (None: the default one), or belongs."""
    return (directory or default_directory()) / FILE_NAME


def fetch_official(
    directory: Path | None = None,
    *,
    url: str = OFFICIAL_URL,
    sha256: str | None = None,
    progress: Progress | None = None,
    timeout: httpx.Timeout = _TIMEOUT,
) -> Path:
    """Makes sure that the official checkpoint is in `directory`, downloading what is missing.

    A download that was cut off resumes where it ended, if the server still has the same file. The file gets
    its name only when it is whole, checked and on disk. Processes that fetch at the same time take turns; the
    later ones find the file there. Show :data:`LICENSE_NOTICE` to the user.

    Args:
        directory: to keep the file in; None for :func:`default_directory`.
        url: where from.
        sha256: what the file must hash to, hexadecimal; None holds it to the record of the first download.
        progress: see :class:`Progress`; not called where nothing is downloaded.
        timeout: of connecting, of each read, of each write, in seconds.

    Returns:
        The path of the file.

    Raises:
        WeightsDownloadError: it is not there and cannot be fetched, or what came is not it. The sentence
            says from where to download it by hand, and to where.
        WeightsInvalid: the file that is there is not the one of the record or of `sha256`, or not a
            checkpoint of QualiCLIP.
    """
    path = official_path(directory)
    pin = None if sha256 is None else _digest(sha256)
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(f"{path}.lock", timeout=_LOCK_WAIT_S):
                if not path.is_file():  # another process may have been first
                    _download(path, url, pin, progress, timeout)
        _verify_present(path, pin)
    except filelock.Timeout as error:
        raise WeightsDownloadError(_by_hand("another process never finished it", url, path)) from error
    except OSError as error:
        reason = f"{path.parent} cannot be used: {error.strerror or error}"
        raise WeightsDownloadError(_by_hand(reason, url, path)) from error
    return path


def read_official(path: Path, *, sha256: str | None = None) -> Weights:
    """Reads the official checkpoint, or one of the same format.

    Only tensors are unpickled (torch.load with weights_only=True), so code in the file does not run. Names
    lose the prefix `clip_model.`; `prompts_features` keeps its own. Entries beside these are left out, as
    the authors' code does.

    Args:
        path: of the .pth file.
        sha256: what the file must hash to, hexadecimal; None holds it to the record beside it, if any.

    Returns:
        Weights of qualiclip with the metadata that the file itself lacks.

    Raises:
        WeightsInvalid: another file than expected, damaged, not only tensors, without the entries of the
            checkpoint, or with values that are not finite.
    """
    try:
        actual = _sha256_of(path)
        expected = _digest(sha256) if sha256 is not None else _record(path)
    except OSError as error:
        raise WeightsInvalid(f"{path} cannot be read: {error.strerror or error}.") from error
    _require_digest(path, actual, expected)
    return Weights(_metadata(), _tensors(path), actual, path)


def _metadata() -> Metadata:
    from models.qualiclip.model import PROMPTS, QualiCLIPConfig

    return Metadata(
        model="qualiclip",
        name="qualiclip-official",
        architecture=QualiCLIPConfig().as_metadata(),
        preprocessing=Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=None),
        temperature=100.0,
        prompts=list(PROMPTS),
        text_encoder=True,
        license=LICENSE,
        source=OFFICIAL_URL,
        training_data="pristine photographs of KADIS-700k, degraded synthetically; no human scores",
        # From the crop it was trained on to the largest images that the paper tests on (KonIQ-10k).
        validated_sides=(224, 1024),
        created="unknown",
    )


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:  # not by its path, of which torch would take the suffix for the format
            state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsInvalid(
            f"{path} is not a checkpoint of tensors alone: it is damaged, or a pickle with code in it, "
            "which is refused and not run."
        ) from error
    except Exception as error:  # damaged files fail in the zip reader, the unpickler or the tensors' storage
        raise WeightsInvalid(f"{path} is truncated, corrupt or not a torch checkpoint.") from error
    if not isinstance(state, dict) or _PROMPTS_KEY not in state:
        raise WeightsInvalid(f"{path} is not a checkpoint of QualiCLIP: it has no {_PROMPTS_KEY}.")
    entries = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in state.items()
        if isinstance(name, str) and (name.startswith(_PREFIX) or name == _PROMPTS_KEY)
    }
    tensors = {name: tensor.detach() for name, tensor in entries.items() if _is_plain(tensor)}
    if len(tensors) < len(entries):
        raise WeightsInvalid(f"{path} is not a checkpoint of QualiCLIP: not all its entries are tensors.")
    shape = tuple(tensors[_PROMPTS_KEY].shape)
    if shape != _PROMPTS_SHAPE:
        raise WeightsInvalid(
            f"{path} is not a checkpoint of QualiCLIP: its {_PROMPTS_KEY} are {shape}, not {_PROMPTS_SHAPE}."
        )
    if len(tensors) == 1:
        raise WeightsInvalid(f"{path} is not a checkpoint of QualiCLIP: it has no {_PREFIX} tensors.")
    require_finite(tensors, str(path))
    return tensors


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized


# --- what a file must hash to


def _digest(text: str) -> str:
    digest = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise WeightsInvalid(f"{text!r} is not a SHA-256: it needs 64 hexadecimal digits.")
    return digest


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _record(path: Path) -> str | None:
    """The digest that the first download left beside the file, if there was one."""
    try:
        words = _record_path(path).read_text(encoding="ascii", errors="replace").split()
    except FileNotFoundError:
        return None
    try:
        return _digest(words[0] if words else "")
    except WeightsInvalid as error:
        raise WeightsInvalid(
            f"{_record_path(path)} does not hold a SHA-256: delete it to begin anew."
        ) from error


def _write_record(path: Path, digest: str) -> None:
    write_atomically(_record_path(path), f"{digest}  {path.name}\n".encode())  # as `sha256sum -c` reads it


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_digest(path: Path, actual: str, expected: str | None) -> None:
    if expected is not None and actual != expected:
        raise WeightsInvalid(
            f"{path} has the SHA-256 {actual}, not the expected {expected}: "
            f"delete it to have it downloaded again, and {path.name}.sha256 too if the new one is meant."
        )


def _verify_present(path: Path, pin: str | None) -> None:
    actual, recorded = _sha256_of(path), _record(path)
    _require_digest(path, actual, pin or recorded)
    if pin is None and recorded is None:  # put here by hand
        _tensors(path)
    if actual != recorded:
        with contextlib.suppress(OSError):  # a folder that can only be read holds what it holds
            _write_record(path, actual)


# --- downloading


def _download(
    path: Path, url: str, pin: str | None, progress: Progress | None, timeout: httpx.Timeout
) -> None:
    part = Part(path.with_name(path.name + ".part"), url)
    try:
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            complete(client, part, progress)
        digest = _accept(part, pin or _record(path))
    except (Refused, httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:
        # The last two come from a proxy in the environment that httpx cannot use.
        raise WeightsDownloadError(_by_hand(_reason(error, url), url, path)) from error
    _write_record(path, digest)
    replace_durably(part.path, path)
    part.discard()


def _by_hand(reason: str, url: str, path: Path) -> str:
    return (
        f"The official QualiCLIP weights could not be downloaded ({reason}): "
        f"download {url} by hand and put it at {path}."
    )


def _reason(error: Exception, url: str) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return f"there is no connection to {httpx.URL(url).host}"
        case httpx.HTTPStatusError():
            return f"{error.response.url.host} answered {error.response.status_code}"
        case httpx.TimeoutException():
            return "the server stopped answering; what came is kept"
        case httpx.ReadError() | httpx.RemoteProtocolError():
            return "the connection was cut; what came is kept"
        case _:
            return str(error) or type(error).__name__


def _accept(part: Part, expected: str | None) -> str:
    """The digest of a whole download, if it is what was wanted."""
    digest = _sha256_of(part.path)
    if expected is not None and digest != expected:
        part.discard()
        raise Refused(f"the file there has the SHA-256 {digest}, not the expected {expected}")
    try:
        _tensors(part.path)
    except WeightsInvalid as error:
        part.discard()
        raise Refused("what came is not a checkpoint of QualiCLIP") from error
    return digest
