"""What is sent in place of an image: the answer names it and says what to do."""

import base64
import json

import pytest

from app.errors import UnsupportedMediaType
from app.imaging.formats import registry
from app.imaging.formats.other_content import explain
from tests.app.door.making import a_jpeg, a_png

_BASE64 = base64.b64encode(a_jpeg())

_SENT = [
    (b"data:image/jpeg;base64," + _BASE64, "a data: URL"),
    (b"data:,hello", "a data: URL"),
    (b"\xef\xbb\xbf\n DATA:image/png;base64,iVBORw0KGgo", "a data: URL"),
    (json.dumps({"image": _BASE64.decode()}).encode(), "JSON"),
    (json.dumps({"url": "https://example.org/a.jpg"}).encode(), "Where the server fetches images"),
    (json.dumps([{"image": "x"}], indent=2).encode(), "JSON"),
    (b'{"image": ', "JSON"),
    (_BASE64, "is base64"),
    (base64.encodebytes(a_png()), "is base64"),
    (base64.urlsafe_b64encode(a_jpeg()), "is base64"),
    (b"https://example.org/a.jpg", "the address of an image"),
    (b"s3://bucket/a.jpg\n", "the address of an image"),
    (b"blob:https://example.org/1b2c", "the address of an image"),
    (b"image=%FF%D8%FF&models=bpclip", "-F image=@FILE"),
    (b"image=@photo.jpg", "-F image=@FILE"),
    (b"@photo.jpg", "the name of a file"),
    (b"C:\\photos\\My photo.JPEG\r\n", "the name of a file"),
    (
        b'--edge\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + a_jpeg(),
        "Leave that header to the library",
    ),
    (b"--x\ncontent-type: image/jpeg\n\n", "Leave that header to the library"),
    (b"<!DOCTYPE html>\n<html><body>404</body></html>", "HTML"),
    (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg width="9"/>', "SVG"),
    (b'<?xml version="1.0"?><feed/>', "XML"),
    (b"%PDF-1.7\n", "PDF"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
    (b"8BPS\0\1", "Photoshop"),
    (b"\0\0\1\0\1\0\x20\x20", "icon"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"PK\3\4\x14\0", "ZIP"),
    (b"\x1f\x8b\x08\0", "gzip"),
    (b"\x1aE\xdf\xa3\1", "video"),
    (a_jpeg().decode("utf-8", "replace").encode(), "taken for text"),
    (a_png().decode("utf-8", "replace").encode(), "taken for text"),
    (a_jpeg().decode("latin-1").encode(), "taken for text"),
    (a_png().decode("latin-1").encode(), "taken for text"),
    (a_png().replace(b"\r\n", b"\n"), "line ends"),
    (a_png().replace(b"\r", b"").replace(b"\n", b""), "--data-binary"),
    (repr(a_jpeg()).encode(), "shows an object"),
    (b"[object File]", "shows an object"),
]


@pytest.mark.parametrize(("sent", "named"), _SENT, ids=[repr(sent[:20]) for sent, _ in _SENT])
def test_it_is_named(sent: bytes, named: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        registry.sniff(sent)
    assert named in caught.value.detail
    assert caught.value.fields["reason"] == "unknown-format"
    assert caught.value.detail.count(". ") in (1, 2), "what it is, and then what to do"


@pytest.mark.parametrize("sent", [b"\0" * 2000, b"\xff\xfe\x00", b"AAAA", b"hello", bytes(range(256)) * 9])
def test_what_cannot_be_told_gets_the_list_of_formats(sent: bytes) -> None:
    assert explain(sent) == ""
    with pytest.raises(UnsupportedMediaType, match=r"a format that is read here: JPEG, PNG"):
        registry.sniff(sent)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [b"<?xml>", b"<!---->", b"<!doctype svg>", b" ", b"a.", b"@.jpg ", b"data:", b"--a ", b"[", b"AAAA"],
)
def test_nothing_that_is_repeated_takes_long(text: bytes) -> None:
    assert isinstance(explain(text * 4000 + b"\0"), str)


@pytest.mark.parametrize(
    "prolog",
    [
        b"",
        b"<?xml version='1.0'?>\n<!-- made > by hand -->\n<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'>\n",
    ],
)
def test_svg_is_told_behind_its_prolog(prolog: bytes) -> None:
    assert "SVG" in explain(prolog + b"<svg xmlns='x'/>")
