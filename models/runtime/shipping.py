"""Makes the graphs that come with the project, after a change of weights: ``make graphs``."""

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
import openvino
from numpy.typing import NDArray

from models.checkpoints.sources import bundled_path
from models.files import write_atomically
from models.loading import load_model
from models.registry import BUNDLED
from models.runtime.export import Exporter
from models.runtime.graphs import facts_key
from models.runtime.openvino import encoder_key, head_key, tensors_of
from models.runtime.outlines import place

# What may be asked of an encoder: means by models that score, feature maps by those that compare, or both.
_WANTED: Final = ((False, True), (True, False), (True, True))
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # so that the same graphs give the same file


def main() -> None:
    """Writes ``models/weights/graphs.zip``."""
    entries: dict[str, bytes] = {}
    for name in BUNDLED:
        loaded, path = load_model(name), bundled_path(name)
        facts = loaded.facts
        entries[place(facts_key(name, loaded.sha256), "json")] = facts.model_dump_json().encode()
        exporter, preprocessing = Exporter(loaded), loaded.metadata.preprocessing
        entries |= outline(head_key(name, loaded.sha256), exporter.head(), tensors_of(path, name))
        tensors = tensors_of(path, name, facts.encoder_place)
        for maps, means in _WANTED:
            key = encoder_key(facts.encoder, preprocessing, facts.multiple, maps=maps, means=means)
            if place(key, "xml") in entries:
                continue  # models share it
            entries |= outline(key, exporter.encoder(maps=maps, means=means), tensors)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in sorted(entries.items()):
            archive.writestr(zipfile.ZipInfo(entry, _EPOCH), data, zipfile.ZIP_DEFLATED, 9)
    write_atomically(bundled_path(BUNDLED[0]).with_name("graphs.zip"), packed.getvalue())


def outline(key: str, graph: openvino.Model, tensors: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """The entries of a graph, see :mod:`models.runtime.outlines`.

    Args:
        key: of the graph.
        graph: with its constants.
        tensors: of a weights file, by name, as stored; what of them is a constant is not held again.
    """
    with tempfile.TemporaryDirectory() as folder:
        description = Path(folder, "graph.xml")
        openvino.save_model(graph, description, compress_to_fp16=False)
        text, constants = description.read_bytes(), description.with_suffix(".bin").read_bytes()
    # Of equal tensors the first by name: a file gives them in no order.
    ordered = sorted(tensors.items(), reverse=True)
    names = {values.astype(np.float32).tobytes(): name for name, values in ordered}
    named, others, rest = [], [], []
    for offset, size in sorted(_constants(text)):
        data = constants[offset : offset + size]
        if data in names:
            named.append((offset, names[data]))
        else:
            others.append((offset, size))
            rest.append(data)
    places = {"bytes": len(constants), "tensors": named, "others": others}
    return {
        place(key, "xml"): text,
        place(key, "json"): json.dumps(places).encode(),
        place(key, "bin"): b"".join(rest),
    }


def _constants(text: bytes) -> set[tuple[int, int]]:
    """Offset and size, in bytes, of each constant that a description refers to."""
    graph = ElementTree.fromstring(text)
    found = [data.attrib for layer in graph.iter("layer") for data in layer.iter("data")]
    return {(int(data["offset"]), int(data["size"])) for data in found if "offset" in data}


if __name__ == "__main__":
    main()
