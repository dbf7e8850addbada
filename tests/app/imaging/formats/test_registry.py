"""The table of formats against Pillow's own, and that there is no other table."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from app.imaging import decode
from app.imaging.formats.registry import FORMATS, SUFFIXES, Format
from models.training import photos

_APP = Path(decode.__file__).parent
_OF_PILLOW = {"HEIC": "HEIF", "WebP": "WEBP"}
_RELATED = {"JPEG": ["MPO"], "BMP": ["DIB"]}


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_pillow_takes_each_suffix_for_the_same_format(format: Format) -> None:
    if format.name not in decode.supported_formats():
        pytest.skip(f"{format.name} is not read by this installation")
    Image.init()
    own = {_OF_PILLOW.get(format.name, format.name), *_RELATED.get(format.name, ())}
    assert {Image.registered_extensions()[suffix] for suffix in format.suffixes} <= own
    assert Image.MIME[_OF_PILLOW.get(format.name, format.name)] in (format.media_type, "image/heif")


def test_each_suffix_belongs_to_one_format() -> None:
    assert set(Counter(suffix for each in FORMATS for suffix in each.suffixes).values()) == {1}


def test_training_takes_no_file_that_is_no_image() -> None:
    """It has a list of its own, since the science does not know the service: no HEIC, and no animations."""
    assert photos.SUFFIXES <= SUFFIXES


def test_there_is_no_other_list_of_suffixes() -> None:
    lists = {}
    for path in _APP.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        constants = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
        lists[path.relative_to(_APP).as_posix()] = len(constants & SUFFIXES)
    assert [name for name, number in lists.items() if number > 1] == ["formats.py"]
    assert [path.name for path in (_APP / "web").glob("*.js") if "jfif" in path.read_text("utf-8")] == []
