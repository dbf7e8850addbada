"""Graphs that come with the project: without their numbers, which are in the weights files.

A graph of OpenVINO consists of a description in XML and of one block of constants. Nearly all constants are
tensors of a weights file, so an outline names them, and holds only the others. So a service without torch
runs the bundled weights, and the repository holds no number twice. ``make graphs`` makes the
file; :data:`GRAPH_VERSION` and the digests of the weights say whether it still fits.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray

from models.facts import ModelFacts

GRAPH_VERSION: Final = "4"
"""Of what is traced and of what is noted; raised when the same model would give another graph."""

Numbers = Callable[[], Mapping[str, NDArray[Any]]]
"""Gives the tensors of a weights file by name, as stored."""


def filled(core: openvino.Core, key: str, numbers: Numbers) -> openvino.Model | None:
    """The graph of a key with its constants; None where none comes with the project.

    Args:
        core: that reads it.
        key: as of :func:`models.runtime.graphs.compiled`.
        numbers: of a weights file that has what the outline names.
    """
    if (description := _read(key, "xml")) is None:
        return None
    places = json.loads(_read(key, "json") or b"")
    constants = bytearray(places["bytes"])
    tensors = numbers()
    for offset, name in places["tensors"]:
        values = np.ascontiguousarray(tensors[name], dtype=np.float32).tobytes()
        constants[offset : offset + len(values)] = values
    others = _read(key, "bin") or b""
    for offset, length in places["others"]:
        constants[offset : offset + length] = others[:length]
        others = others[length:]
    return core.read_model(description, bytes(constants))


def facts(key: str) -> ModelFacts | None:
    """What was noted of a model that comes with the project; None of others."""
    noted = _read(key, "json")
    return None if noted is None else ModelFacts.model_validate_json(noted)


def place(key: str, kind: str) -> str:
    """The name of an entry of the file.

    Args:
        key: of a graph, or of a model's facts.
        kind: "xml", "json" or "bin".
    """
    return f"{hashlib.sha256(f'{GRAPH_VERSION} {key}'.encode()).hexdigest()[:32]}.{kind}"


def _read(key: str, kind: str) -> bytes | None:
    return _entries().get(place(key, kind))


@cache
def _entries() -> Mapping[str, bytes]:
    """Of the file; none where it is missing."""
    file = files("models").joinpath("weights/graphs.zip")
    try:
        with file.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except FileNotFoundError:
        return {}
