"""Hostile and odd forms, of one image, two and many, each with the answer to it."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from PIL import Image, ImageFilter

from tests.app.door.case import (
    BAD_PARAMETER,
    BODY_TOO_LARGE,
    MALFORMED,
    MARK,
    MOST_BYTES,
    NO_IMAGE,
    Case,
    Expected,
    a_form,
    case,
    good,
    ndjson,
    refused,
)
from tests.app.door.making import a_jpeg, a_png, files, photograph, resized
from tests.app.door.wire import Answer, form, form_of, joined, part, post
from tests.app.files import encoded

_OVER = MOST_BYTES + 100_000


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _forms()
    yield from _comparisons()
    yield from _batches()


def _forms() -> Iterator[Case]:
    fine = good(format="PNG", width=160)
    yield Case("form: as it should be", lambda: form("/score", [part("image", a_png())]), (fine,), like=a_png)
    yield a_form("two files in one field", lambda: [part("image", a_png())] * 2, MALFORMED)
    yield a_form("no part at all", list, MALFORMED)
    yield a_form("an empty file", lambda: [part("image", b"")], MALFORMED)
    yield a_form("a field too many", lambda: [part("image", a_png()), part("more", b"x")], MALFORMED)
    yield a_form("another field in front", lambda: [part("more", b"x"), part("image", a_png())], MALFORMED)
    yield a_form("another field instead", lambda: [part("file", a_png())], MALFORMED)
    yield a_form("the field in capitals", lambda: [part("IMAGE", a_png())], MALFORMED)
    yield a_form("a field of /compare", lambda: [part("reference", a_png())], MALFORMED)
    for option in ("models", "quality_map", "policy", "detail_crops", "adjectives"):
        yield a_form(
            f"the option {option} as a field",
            lambda option=option: [part("image", a_png()), part(option, b"bpclip")],  # type: ignore[misc]
            refused(400, "malformed-request", expected=["image"]),
        )
    yield a_form("2,000 fields", lambda: [part(f"field{number}", b"x") for number in range(2000)], MALFORMED)
    yield a_form("2,000 times the field", lambda: [part("image", b"x")] * 2000, MALFORMED)
    yield a_form("a part without a name", lambda: [b"Content-Type: image/png\r\n\r\n" + a_png()], MALFORMED)
    yield a_form("a part without headers", lambda: [b"\r\n" + a_png()], MALFORMED)
    yield a_form(
        "part headers of 100 KB",
        lambda: [part("image", a_png(), more=f"X-Long: {'x' * 100_000}\r\n")],
        MALFORMED,
    )
    yield a_form(
        "5,000 headers of a part", lambda: [part("image", a_png(), more="X-More: y\r\n" * 5000)], MALFORMED
    )
    yield a_form("a boundary of 1,000 characters", lambda: [part("image", a_png())], MALFORMED, "b" * 1000)
    yield a_form("a boundary of 70 characters", lambda: [part("image", a_png())], fine, "b" * 70)
    yield a_form("a file over the limit", lambda: [part("image", bytes(_OVER))], BODY_TOO_LARGE)
    yield a_form(
        "text in the field",
        lambda: [b'Content-Disposition: form-data; name="image"\r\n\r\n' + MARK],
        NO_IMAGE,
    )
    for name, filename in (
        ("a path", f"../../etc/{MARK.decode()}"),
        ("Windows' device", "C:\\\\CON"),
        ("letters", "Ünï©ødé 图.png"),
        ("NUL", "a\0b.png"),
        ("nothing", ""),
        ("10,000 letters", "n" * 10_000),
        ("a script", "<script>.svg"),
    ):
        many = len(filename) > 8000
        yield a_form(
            f"a file name of {name}",
            lambda f=filename: [part("image", a_png(), filename=f)],  # type: ignore[misc]
            MALFORMED if many else fine,
        )
    for label in ("image/svg+xml", "text/html", "", "x" * 500):
        yield a_form(f"a part labeled {label[:20]!r}", lambda t=label: [part("image", a_png(), type=t)], fine)  # type: ignore[misc]
    yield a_form(
        "a form in a form",
        lambda: [
            part("image", joined([part("image", a_png())], "inner"), type="multipart/mixed; boundary=inner")
        ],
        NO_IMAGE,
    )
    whole = joined([part("image", b"x" * 50)], "edge")
    for name, body in (
        ("nothing", b""),
        ("only the last boundary", b"--edge--\r\n"),
        ("no boundary in it", a_png()),
        ("another boundary in it", joined([part("image", b"x")], "other")),
        ("no last boundary", whole[:-10]),
        ("half a boundary", whole[:-6]),
        ("LF instead of CRLF", whole.replace(b"\r\n", b"\n")),
        ("NUL in a header", whole.replace(b"Content-Type", b"Content\0Type")),
        ("a header without a colon", whole.replace(b"Content-Type:", b"Content-Type")),
    ):
        yield case(f"form: {name}", lambda body=body: form_of("/score", body, boundary="edge"), MALFORMED)  # type: ignore[misc]
    yield case(
        "form: something in front",
        lambda: form_of(
            "/score", b"a preamble\r\n" + joined([part("image", a_png())], "edge"), boundary="edge"
        ),
        fine,
    )
    yield case(
        "form: a boundary that is none in front",
        lambda: form_of(
            "/score",
            b"--edge case\r\n--edg\r\n" + joined([part("image", a_png())], "edge"),
            boundary="edge",
        ),
        fine,
    )
    yield case(
        "form: blanks behind a boundary",
        lambda: form_of(
            "/score",
            joined([part("image", a_png())], "edge").replace(b"--edge\r\n", b"--edge \t\r\n"),
            boundary="edge",
        ),
        fine,
    )
    yield a_form(
        "a folded header",
        lambda: [
            part("image", a_png())
            .replace(b"; name=", b";\r\n name=")
            .replace(b"; filename=", b";\r\n\tfilename=")
        ],
        fine,
    )
    yield case(
        "form: something behind it",
        lambda: form_of("/score", joined([part("image", a_png())], "edge") + b"an epilogue", boundary="edge"),
        fine,
    )
    for name, label in (
        ("no boundary named", "multipart/form-data"),
        ("an empty boundary", "multipart/form-data; boundary="),
        ("a boundary in quotes that do not end", 'multipart/form-data; boundary="edge'),
        ("a boundary with a line in it", "multipart/form-data; boundary=a b"),
    ):
        yield case(
            f"form: {name}",
            lambda label=label: post(
                "/score", joined([part("image", b"x")], "other"), {"Content-Type": label}
            ),  # type: ignore[misc]
            MALFORMED,
        )
    yield case(
        "form: labeled as mixed, so its bytes are the image",
        lambda: post(
            "/score", joined([part("image", a_png())]), {"Content-Type": "multipart/mixed; boundary=edge"}
        ),
        NO_IMAGE,
    )
    yield case(
        "form: fields of a page's form",
        lambda: post("/score", b"image=abc", {"Content-Type": "application/x-www-form-urlencoded"}),
        NO_IMAGE,
    )
    encoded_png = base64.b64encode(a_png())
    for name, asked, answer in (
        ("the image in JSON", {"image": encoded_png.decode()}, MALFORMED),
        ("a data: URL in JSON", {"url": f"data:image/png;base64,{encoded_png.decode()}"}, MALFORMED),
        ("an address in JSON", {"url": "https://example.org/a.jpg"}, refused(403, "fetch-not-allowed")),
    ):
        yield case(
            f"form: {name} in place of it",
            lambda asked=asked: post(  # type: ignore[misc]
                "/score", json.dumps(asked).encode(), {"Content-Type": "application/json"}
            ),
            answer,
        )
    for name, body, label in (
        (
            "the image in JSON, labeled as text",
            json.dumps({"image": encoded_png.decode()}).encode(),
            "text/plain",
        ),
        ("a data: URL", b"data:image/png;base64," + encoded_png, "text/plain"),
        ("base64", encoded_png, "text/plain"),
        ("a file as text", a_png().decode("utf-8", "replace").encode(), "application/octet-stream"),
    ):
        yield case(
            f"form: {name} in place of it",
            lambda body=body, label=label: post("/score", body, {"Content-Type": label}),  # type: ignore[misc]
            refused(415, "unsupported-media-type", reason="unknown-format"),
        )
    yield a_form(
        "a data: URL in the field",
        lambda: [part("image", b"data:image/png;base64," + encoded_png)],
        refused(415, "unsupported-media-type", reason="unknown-format"),
    )


def _pair(
    name: str,
    files: Callable[[], Mapping[str, bytes]],
    expected: Expected,
    query: str = "",
    further: Callable[[Answer], None] = lambda answer: None,
) -> Case:
    def request() -> bytes:
        return form(f"/compare{query}", [part(field, data) for field, data in files().items()])

    return Case(f"pair: {name}", request, (expected,), further=further)


def _comparisons() -> Iterator[Case]:
    photo = Image.fromarray(photograph())

    def blurred() -> bytes:
        return encoded(photo.filter(ImageFilter.GaussianBlur(2)), "PNG")

    def small() -> bytes:
        return encoded(photo.resize((80, 60)), "PNG")

    def two(reference: bytes, distorted: bytes) -> dict[str, bytes]:
        return {"reference": reference, "distorted": distorted}

    sizes = {"reference.image.width": 160, "distorted.image.width": 160}
    same = Expected(
        200, facts={**sizes, "signal.psnr_db": None, "differences.score": 0.0, "resized_from": None}
    )
    fine = Expected(200, facts={"model": "bpclip", "resized_from": None})

    def in_order(answer: Answer) -> None:
        body = answer.json()
        assert 0.0 <= body["score"] <= 1.0
        assert 10 < body["signal"]["psnr_db"] < 60
        assert 0 < body["signal"]["ssim"] < 1

    def identical(answer: Answer) -> None:
        assert np.isclose(answer.json()["signal"]["ssim"], 1.0)

    yield _pair("as it should be", lambda: two(a_png(), blurred()), fine, further=in_order)
    yield _pair("the other way round", lambda: two(blurred(), a_png()), fine, further=in_order)
    yield _pair("the same file twice", lambda: two(a_png(), a_png()), same, further=identical)
    yield _pair(
        "the same pixels in two formats", lambda: two(a_png(), files()["BMP"]), same, further=identical
    )
    yield _pair(
        "a bad reference",
        lambda: two(a_png()[:900], a_png()),
        refused(422, "invalid-image", field="reference"),
    )
    yield _pair(
        "a bad distorted image",
        lambda: two(a_png(), a_png()[:900]),
        refused(422, "invalid-image", field="distorted"),
    )
    yield _pair(
        "pixels missing in the reference",
        lambda: two(a_png()[:-9000], a_png()),
        refused(422, "invalid-image", field="reference"),
    )
    yield _pair(
        "pixels missing in the distorted image",
        lambda: two(a_png(), a_png()[:-9000]),
        refused(422, "invalid-image", field="distorted"),
    )
    yield _pair(
        "two bad files",
        lambda: two(b"text", b"text"),
        refused(415, "unsupported-media-type", field="reference"),
    )
    yield _pair(
        "a distorted image that is none",
        lambda: two(a_png(), MARK),
        refused(415, "unsupported-media-type", field="distorted"),
    )
    yield _pair(
        "a flood beside a good file",
        lambda: two(a_png(), resized("PNG", a_png(), 65_000, 65_000)),
        refused(422, "image-too-large", field="distorted"),
    )
    yield _pair(
        "an empty reference", lambda: two(b"", a_png()), refused(400, "malformed-request", field="reference")
    )
    yield _pair(
        "of two sizes",
        lambda: two(a_png(), small()),
        refused(
            422,
            "size-mismatch",
            reference={"width": 160, "height": 120},
            distorted={"width": 80, "height": 60},
        ),
    )
    yield _pair(
        "of two sizes, brought to one",
        lambda: two(a_png(), small()),
        Expected(200, facts={"resized_from": {"width": 80, "height": 60}, "distorted.image.width": 80}),
        "?resize=reference",
        in_order,
    )
    yield _pair(
        "of one size, brought to it", lambda: two(a_png(), blurred()), fine, "?resize=reference", in_order
    )
    yield _pair("resized to nonsense", lambda: two(a_png(), small()), BAD_PARAMETER, "?resize=nonsense")
    yield _pair(
        "resized twice", lambda: two(a_png(), small()), BAD_PARAMETER, "?resize=none&resize=reference"
    )
    yield _pair("a parameter of /score", lambda: two(a_png(), a_png()), BAD_PARAMETER, "?quality_map=true")
    yield _pair("one field only", lambda: {"reference": a_png()}, MALFORMED)
    yield _pair("a third field", lambda: two(a_png(), a_png()) | {"image": a_png()}, MALFORMED)
    yield case("pair: no form", lambda: post("/compare", a_png(), {"Content-Type": "image/png"}), MALFORMED)
    yield case(
        "pair: both files in one field",
        lambda: form("/compare", [part("reference", a_png()), part("reference", a_png())]),
        MALFORMED,
    )


def _batches() -> Iterator[Case]:
    def several(name: str, images: Callable[[], list[bytes]], expected: Expected, *slugs: str) -> Case:
        return Case(
            f"batch: {name}",
            lambda: form("/score/batch", [part("images", data) for data in images()]),
            (expected,),
            further=ndjson(*slugs) if slugs else lambda answer: None,
        )

    done = Expected(200)
    yield several(
        "good and bad",
        lambda: [a_png(), b"text", a_jpeg()[:900], a_jpeg()],
        done,
        "",
        "unsupported-media-type",
        "invalid-image",
        "",
    )
    yield several(
        "one file",
        lambda: [a_png()],
        done,
        "",
    )
    yield several("an empty file", lambda: [a_png(), b""], done, "", "malformed-request")
    yield several("nothing", list, MALFORMED)
    yield several("65 files", lambda: [b"text"] * 65, MALFORMED)
    yield case("batch: another field", lambda: form("/score/batch", [part("image", a_png())]), MALFORMED)
    yield case("batch: no form", lambda: post("/score/batch", a_png()), MALFORMED)
