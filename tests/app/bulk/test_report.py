"""The report: one page that asks nobody for anything, and in which names are names."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from app.bulk.report import page, write_report
from app.bulk.summary import Summary
from app.bulk.thumbnails import thumbnail
from app.imaging.limits import Limits
from app.schemas.columns import columns
from tests.app.bulk.rows import MODELS, about, row, summary_of, verdict
from tests.calibrations import calibration
from tests.photographs import named

HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "{{ 7 * 7 }}{% raw %}.jpg",
    "two\nlines\u202e.jpg",
    "\udcff.jpg",
]


class _Page(HTMLParser):
    """The tags of a page, and what could load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)


def _summary(*, policy: bool = True) -> Summary:
    rows = [
        row(
            name,
            number / 10,
            verdict=verdict("fail", "It is <b>not</b> sharp.") if policy else None,
            warnings=["scaled-down: <i>1</i> of 2."],
        )
        for number, name in enumerate(HOSTILE)
    ]
    return summary_of([*rows, {"file": "bad.jpg", "problem": "The <u>image</u> is empty."}])


def test_it_needs_nothing_beside_it() -> None:
    text = page(about("upload"), _summary())
    found = _Page(text)
    assert not {"script", "iframe", "object", "embed", "link", "form", "base"} & set(found.tags)
    assert all(address.startswith("data:image/jpeg;base64,") for address in found.addresses)
    assert found.handlers == []
    assert "http" not in re.sub(r"<meta http-equiv", "", text)
    assert "url(" not in text
    assert "@import" not in text


def test_only_its_own_style_applies() -> None:
    text = page(about(), _summary(policy=False))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert policy is not None
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'")


def test_names_are_only_shown() -> None:
    text = page(about("upload", named=("<b>photos</b>",)), _summary())
    for bad in ("<script", "<img src=x", "<b>", "<u>", "<i>", "\u202e", "\udcff"):
        assert bad not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.jpg" in text
    assert "{{ 7 * 7 }}{% raw %}.jpg" in text
    assert "\\udcff.jpg" in text


def test_it_tells_what_there_is(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", about("upload"), _summary())
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Quality of 5 images" in text
    for heading in (
        "Scores",
        "Dimensions",
        "Verdicts",
        "The lowest scores",
        "What could not be scored",
        "Warnings",
    ):
        assert f"<h2>{heading}</h2>" in text
    assert "median 0.20" in text
    assert "bpclip-tiny" in text
    assert "2 January 2026, 03:04 UTC" in text
    assert text.count("<caption>") == text.count("<table>") >= 5
    assert all(re.search(r"aria-label=\"[^\"]+\"", svg) for svg in re.findall("<svg[^>]*>", text))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_images_are_read_by_the_calibration() -> None:
    calibrated = {"bpclip": calibration()}
    found = about()
    used = tuple(
        model.model_copy(update={"calibration": calibrated.get(model.name)}) for model in found.basis.models
    )
    found = found.model_copy(update={"basis": found.basis.model_copy(update={"models": used})})
    rows = [row(f"{score}.jpg", score, calibration=calibration()) for score in (0.1, 0.55, 0.7)]
    text = page(found, summary_of(rows))
    assert "<p>Excellent</p>" in text
    assert "<p>Good: slightly soft, slightly underexposed, " in text
    assert "<p>Bad: blurry, underexposed, " in text
    assert "those of 500 real photographs" in text
    assert "with the faults that bpclip finds" in text


def test_a_card_shows_the_fields_of_the_table() -> None:
    text = page(about("upload"), summary_of([row("a.jpg", 0.5, verdict=verdict("fail", "Too small."))]))
    shown = re.findall(r"<dt>(\w+)</dt><dd>([^<]*)</dd>", text.partition("<summary>All fields")[2])
    written = row("a.jpg", 0.5, verdict=verdict("fail", "Too small."))
    full = [column.name for column in columns(MODELS) if written[column.name] not in (None, [], "")]
    assert [name for name, _ in shown] == full
    assert dict(shown)["reasons"] == "Too small."
    assert dict(shown)["bpclip_score"] == "0.5"


def test_without_a_calibration_no_faults_are_named() -> None:
    text = page(about(), summary_of([row("a.jpg", 0.1)]))
    assert "<p>Bad</p>" in text
    assert "carry no calibration, so no faults are named" in text


def test_without_verdicts_there_is_none() -> None:
    text = page(about(), _summary(policy=False))
    assert "Verdicts" not in text
    assert "fail the policy" not in text


def test_of_failures_alone_there_is_a_report_too() -> None:
    text = page(about(), summary_of([{"file": "bad.jpg", "problem": "The image is empty."}]))
    assert "No image could be scored." in text
    assert "The image is empty." in text
    assert "<svg" not in text


def test_a_single_image_is_enough() -> None:
    assert "Quality of 1 image<" in page(about(), summary_of([row("a.jpg")]))


def _saved(path: Path, turned: bool = False) -> str:
    photo = Image.fromarray(named()["astronaut"]).resize((1600, 1200))
    exif = photo.getexif()
    exif[0x0112] = 6 if turned else 1
    photo.save(path, exif=exif, quality=95)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_thumbnails_are_small_and_upright(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    digest = _saved(path, turned=True)
    address = thumbnail(path, digest, Limits())
    assert address is not None
    assert len(address) < 21_000
    small = tmp_path / "small.jpg"
    small.write_bytes(base64.b64decode(address.partition(",")[2]))
    with Image.open(small) as found, Image.open(path) as photo:
        assert found.size == (240, 320)
        upright = ImageOps.exif_transpose(photo).resize(found.size)
        differences = [
            abs(a - b)
            for a, b in zip(found.resize((3, 4)).tobytes(), upright.resize((3, 4)).tobytes(), strict=True)
        ]
        assert max(differences) < 25


@pytest.mark.parametrize("fault", ["missing", "changed", "too large", "folder"])
def test_without_its_file_an_image_has_no_thumbnail(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    digest = _saved(path)
    limits = Limits()
    if fault == "missing":
        path.unlink()
    elif fault == "changed":
        path.write_bytes(path.read_bytes() + b"x")
    elif fault == "too large":
        limits = Limits(max_bytes=1000)
    else:
        path = tmp_path
    assert thumbnail(path, digest, limits) is None
