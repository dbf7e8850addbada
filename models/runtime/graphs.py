"""Graphs of OpenVINO for this processor: from the cache, from those that come with the project, or traced.

There is no torch here: it traces a model only where its graphs are in neither place
(:mod:`models.runtime.export`).
"""

import contextlib
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import openvino
import platformdirs
from numpy.typing import NDArray
from pydantic import ValidationError

from models.facts import ModelFacts
from models.files import replace_durably, write_atomically
from models.runtime import outlines

_log = logging.getLogger("iqa.runtime")
_MOST_BYTES: Final = 2 * 2**30  # of the cache: some 30 bundled models, or a few of full size
_FACTS: Final = "facts.json"


def compiled(
    key: str,
    trace: Callable[[], openvino.Model],
    numbers: Callable[[], Mapping[str, NDArray[Any]]] | None,
    options: Mapping[str, str | int | bool],
) -> openvino.CompiledModel:
    """A module for this processor; a cache that cannot be written to is passed over.

    Args:
        key: tells the module, with its numbers, from all others.
        trace: makes its graph.
        numbers: of the weights file, by name, for a graph that comes with the project; None traces anyway.
        options: of the compiler.

    Raises:
        Exception: the module cannot be traced; of any kind that torch and OpenVINO raise.
    """
    core = _core()
    place = _place(key)
    ready = place / f"{_digest(_processor(), sorted(options.items()))}.blob"
    try:
        return core.import_model(ready.read_bytes(), "CPU", dict(options))
    except (OSError, RuntimeError):
        pass  # not there, or of another kind
    try:
        graph = core.read_model(place / "graph.xml")
    except (OSError, RuntimeError):
        shipped = None if numbers is None else outlines.filled(core, key, numbers)
        if shipped is None:
            graph = trace()
            _keep(graph, place)
        else:
            graph = shipped
    made = core.compile_model(graph, "CPU", dict(options))
    with _unkept():
        write_atomically(ready, made.export_model().getvalue())
        _drop_the_oldest(place.parent, keep=place)
    return made


def facts_of(name: str, sha256: str) -> ModelFacts | None:
    """What was noted of a model when its graphs were made, here or for the project."""
    key = facts_key(name, sha256)
    try:
        return ModelFacts.model_validate_json((_place(key) / _FACTS).read_bytes())
    except (OSError, ValidationError):
        return outlines.facts(key)


def note(name: str, sha256: str, facts: ModelFacts) -> None:
    """Keeps the facts of a model whose graphs are in the cache."""
    with _unkept():
        write_atomically(_place(facts_key(name, sha256)) / _FACTS, facts.model_dump_json().encode())


def note_coarse(encoder: str, dtype: str) -> None:
    """Keeps that a precision is too coarse on this processor for models with an encoder, by its digest."""
    with _unkept():
        write_atomically(_coarse(encoder, dtype), b"")


def is_coarse(encoder: str, dtype: str) -> bool:
    """Whether :func:`note_coarse` was told so, here or at a former start."""
    return _coarse(encoder, dtype).exists()


def facts_key(name: str, sha256: str) -> str:
    return f"facts {name} {sha256}"


def _place(key: str) -> Path:
    """Of what belongs to a key in the cache, which is the user's."""
    return platformdirs.user_cache_path("iqa-service") / "graphs" / _digest(outlines.GRAPH_VERSION, key)


def _coarse(encoder: str, dtype: str) -> Path:
    return _place(f"coarse {_processor()} {encoder}") / dtype


def _processor() -> str:
    name: str = _core().get_property("CPU", "FULL_DEVICE_NAME")
    return name


@cache
def _core() -> openvino.Core:
    """The only one of this process, which is never destroyed.

    Each one gives the thread that makes it another stack for signal handlers, and unmaps that stack when it
    is destroyed. Of several, destroyed in the order in which they were made, the last one puts back the stack
    of the first, which is unmapped by then: the next signal ends the process without a word, or overwrites
    whatever lies there.
    """
    return openvino.Core()


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr((openvino.__version__, *parts)).encode()).hexdigest()[:32]


def _keep(graph: openvino.Model, place: Path) -> None:
    """Puts a graph into the cache, whole or not at all.

    Another process that exports the same model at the same time writes the same files.
    """
    with _unkept():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=place) as made:
            openvino.save_model(graph, Path(made, "graph.xml"), compress_to_fp16=False)
            for name in ("graph.bin", "graph.xml"):  # the one that is looked for comes last
                replace_durably(Path(made, name), place / name)


def _drop_the_oldest(folder: Path, keep: Path) -> None:
    """Removes the graphs that were made first, until at most :data:`_MOST_BYTES` are left.

    A process that runs one of them has it in memory.
    """
    places = sorted(folder.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
    total = 0
    for place in places:
        total += sum(file.stat().st_size for file in place.iterdir() if file.is_file())
        if total > _MOST_BYTES and place != keep:
            shutil.rmtree(place)


@contextlib.contextmanager
def _unkept() -> Iterator[None]:
    """Lets a cache be that cannot be written to: the next start takes longer."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        _log.info("an exported model is not kept: %s", error)
