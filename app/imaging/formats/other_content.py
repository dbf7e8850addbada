"""What clients send in place of an image that is read here: named by its first bytes, with a way out."""

import re
from typing import Final

_BEGINNING: Final = 1024
_LEAST_BASE64: Final = 64
_BLANK: Final = b"\xef\xbb\xbf \t\r\n"
_EXPORT: Final = "Export it as JPEG, PNG or TIFF, and send that."
_UNPACK: Final = "Unpack it, and send each image by itself."

_FILES: Final = (
    (b"%PDF-", "a PDF document", "Render its pages as PNG, and send these."),
    (b"%!PS", "PostScript", "Render it as PNG, and send that."),
    (b"\xc5\xd0\xd3\xc6", "PostScript (EPS)", "Render it as PNG, and send that."),
    (b"8BPS", "a Photoshop document", _EXPORT),
    (b"gimp xcf", "a GIMP document", _EXPORT),
    (b"\0\0\1\0", "an icon (ICO)", _EXPORT),
    (b"\0\0\2\0", "a cursor (CUR)", _EXPORT),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", _EXPORT),
    (b"\xff\x4f\xff\x51", "JPEG 2000", _EXPORT),
    (b"II\xbc", "JPEG XR", _EXPORT),
    (b"v/1\1", "OpenEXR", _EXPORT),
    (b"#?RADIANCE", "Radiance HDR", _EXPORT),
    (b"#?RGBE", "Radiance HDR", _EXPORT),
    (b"qoif", "QOI", _EXPORT),
    (b"DDS ", "a DirectDraw texture", _EXPORT),
    (b"BPG\xfb", "BPG", _EXPORT),
    (b"SIMPLE  =", "FITS", _EXPORT),
    (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)", "Send one of its frames as an image."),
    (b"FLV\1", "a video (Flash)", "Send one of its frames as an image."),
    (b"\0\0\1\xba", "a video (MPEG)", "Send one of its frames as an image."),
    (b"OggS", "audio or a video (Ogg)", "Send an image."),
    (b"PK\3\4", "an archive (ZIP), or an office document", _UNPACK),
    (b"\x1f\x8b", "packed (gzip)", _UNPACK),
    (b"BZh", "packed (bzip2)", _UNPACK),
    (b"\xfd7zXZ\0", "packed (xz)", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed (Zstandard)", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "an archive (7z)", _UNPACK),
    (b"Rar!", "an archive (RAR)", _UNPACK),
)  # fmt: skip
"""Signature, name, and what to do."""

_SPOILT: Final = (
    (
        (b"\xef\xbf\xbd", b"\xc3\xbf\xc3\x98\xc3\xbf", b"\xc2\x89PNG"),
        "The bytes of the file were taken for text on the way and encoded anew. Read and send the file as "
        "binary data.",
    ),
    (
        (b"\x89PNG",),
        "The line ends in the PNG file were changed on the way, as text is changed. Send it as binary data, "
        "with curl by --data-binary instead of -d.",
    ),
    (
        (b"b'\\x", b'b"\\x', b"b'/9j", b"b'iVBOR", b"<_io.", b"[object "),
        "The text is how a program shows an object, and not the bytes of a file. Send the bytes themselves.",
    ),
)
"""Beginnings of files that careless clients have changed, and what to say."""

_RAW: Final = "Send the bytes of the image themselves, as the body or as a file in a form."
_ADDRESS: Final = '{"url": "https://..."} with the Content-Type application/json'
_TEXTS: Final = (
    (
        rb"data:[^,]*,",
        "The text is a data: URL. Send the bytes that it encodes; in a browser, canvas.toBlob() or "
        "(await fetch(url)).blob() gives them.",
    ),
    (
        rb"(?:https?|ftp|file|s3|gs|blob):",
        f"The text is the address of an image. {_RAW} Where the server fetches images, send {_ADDRESS}.",
    ),
    (
        rb"[{\[]",
        "The text is JSON, in which images are not read; what it holds in base64 must be decoded first. "
        f"{_RAW} Where the server fetches images, send {_ADDRESS}.",
    ),
    (
        rb"--\S{1,70}\s+content-",
        "The body is a form, but its Content-Type is not multipart/form-data with the form's boundary. Leave "
        "that header to the library that makes the form.",
    ),
    (
        rb"[\w.%+\[\]-]{1,60}=\S*",
        "The text is a form of names and values (application/x-www-form-urlencoded), which carries no files. "
        "Send multipart/form-data, with curl by -F image=@FILE.",
    ),
    (
        # Possessive: "<?xml>" again and again could otherwise be divided in 2^n ways, and all would be tried.
        rb"(?:<\?xml[^>]*+>|<!--(?:(?!-->).)*+-->|<!doctype svg[^>]*+>|\s++)*+<svg",
        "The file is SVG, which says how to draw. Render it as PNG, and send that.",
    ),
    (
        rb"<!doctype html|<html|<head|<body",
        "The file is a page in HTML, perhaps of a server that did not give the image. Send the image.",
    ),
    (rb"<\?xml|<[a-z]", "The file is XML. Send the image that belongs to it."),
    (
        rb"@?[^\n\0]{1,250}\.(?:jpe?g|png|webp|tiff?|bmp|gif|avif|heic|heif|jxl)\s*$",
        "The text is the name of a file, and not its content. With curl, -F image=@FILE and --data-binary "
        "@FILE send the content.",
    ),
)
"""How a text begins, whatever its case, and what to say."""

_BASE64: Final = re.compile(rb"(?:[/_]9j[/_]|iVBORw|R0lGOD|UklGR|SUkq|TU0A|Qk|AAAA)[A-Za-z0-9+/_-]+={0,2}")


def explain(data: bytes) -> str:
    """What a file that is no image seems to be, and what to do, in sentences; '' if that cannot be told."""
    for signature, name, remedy in _FILES:
        if data.startswith(signature):
            return f"The file is {name}, which is not read here. {remedy}"
    for beginnings, sentence in _SPOILT:
        if data.startswith(beginnings):
            return sentence
    text = data[:_BEGINNING].lstrip(_BLANK)
    for pattern, sentence in _TEXTS:
        if re.match(pattern, text, re.IGNORECASE | re.DOTALL):
            return sentence
    letters = text.translate(None, _BLANK)
    if len(letters) >= _LEAST_BASE64 and _BASE64.fullmatch(letters):
        return f"The text is base64. Decode it first. {_RAW}"
    return ""
