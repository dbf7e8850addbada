"""The list of formats against Pillow's own, what is derived from it, and that there is no other list."""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from app.api.openapi import IMAGE_TYPES
from app.errors import UnsupportedMediaType
from app.imaging.formats import registry
from app.imaging.formats.image_format import ImageFormat
from app.imaging.formats.registry import FORMATS, SUFFIXES, sniff, supported_formats
from models.training import photos
from tests.app.files import encoded

_APP = Path(app.__file__).parent
_EACH = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)


@pytest.fixture
def fresh() -> Iterator[None]:
    """What is remembered about decoders is asked again, now and afterwards."""
    supported_formats.cache_clear()
    yield
    supported_formats.cache_clear()


def _written(format: ImageFormat) -> bytes:
    if not format.has_decoder():
        pytest.skip(f"{format.name} is not read by this installation")
    return encoded(np.zeros((40, 50, 3), np.uint8), format.pillow[0])


@_EACH
def test_pillow_takes_each_suffix_for_the_same_format(format: ImageFormat) -> None:
    if not format.has_decoder():
        pytest.skip(f"{format.name} is not read by this installation")
    Image.init()
    assert {Image.registered_extensions()[suffix] for suffix in format.suffixes} <= {*format.pillow}
    assert Image.MIME[format.pillow[0]] in (format.mime, "image/heif")


@_EACH
def test_a_file_is_of_one_format(format: ImageFormat) -> None:
    data = _written(format)
    assert [each.name for each in FORMATS if each.matches(data)] == [format.name]
    assert sniff(data) is format


@_EACH
def test_a_format_without_its_decoder_is_named(
    format: ImageFormat, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    data = _written(format)
    others = [each.name for each in FORMATS if each is not format and each.has_decoder()]
    without = [replace(each, has_decoder=lambda: False) if each is format else each for each in FORMATS]
    monkeypatch.setattr(registry, "FORMATS", without)
    supported_formats.cache_clear()
    how = rf"iqa-service\[{format.extra}\]" if format.extra else "this server's build of Pillow"
    with pytest.raises(UnsupportedMediaType, match=f"^{format.name} is .*{how}") as caught:
        sniff(data)
    assert caught.value.fields == {"reason": "decoder-missing", "supported": others}


def test_the_answer_names_a_variant_by_pillows_name() -> None:
    (jpeg,) = (each for each in FORMATS if each.name == "JPEG")
    (webp,) = (each for each in FORMATS if each.name == "WebP")
    assert [jpeg.answered_name(name) for name in ("JPEG", "MPO")] == ["JPEG", "MPO"]
    assert webp.answered_name("WEBP") == "WebP"


def test_each_suffix_and_type_belongs_to_one_format() -> None:
    assert set(Counter(suffix for each in FORMATS for suffix in each.suffixes).values()) == {1}
    assert set(Counter(IMAGE_TYPES).values()) == {1}
    assert len(IMAGE_TYPES) == len(FORMATS)


def test_the_documents_name_each_format_and_its_extra() -> None:
    named = " ".join((_APP.parent / "docs" / "http.md").read_text(encoding="utf-8").split())
    assert [each.name for each in FORMATS if each.name not in named] == []
    assert [each.extra for each in FORMATS if f"`{each.extra}`" not in named and each.extra] == []


def test_training_takes_no_file_that_is_no_image() -> None:
    """It has a list of its own, since the science does not know the service: no HEIC, and no animations."""
    assert photos.PHOTO_SUFFIXES <= SUFFIXES


def test_there_is_no_other_list_of_formats() -> None:
    """Neither of suffixes, nor of media types, nor of names, outside the folder of formats."""
    names = {each.name for each in FORMATS}
    lists = {}
    for path in _APP.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        constants = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
        for known in (SUFFIXES, {*IMAGE_TYPES}, names):
            if len(constants & known) > 1:
                lists[path.relative_to(_APP).as_posix()] = constants & known
    assert {name for name in lists if not name.startswith("imaging/formats/")} <= {
        "commands/evaluate/plots.py"
    }
    assert [path.name for path in (_APP / "web").rglob("*.js") if "jfif" in path.read_text("utf-8")] == []
