"""When a photograph was taken, by its EXIF block."""

import io
from datetime import datetime

import pytest
from PIL import ExifTags, Image

from app.imaging import decode
from app.imaging.formats.structure.capture_time import capture_time
from app.imaging.limits import Limits
from app.imaging.picture_facts import measure_facts

_LIMITS = Limits(max_bytes=10**6, max_pixels=10**6, max_side=10**4, max_aspect=100)


def _photo(original: object, fraction: object = None, format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "A camera"  # without a tag of the first level, Pillow writes no block
    tags = exif.get_ifd(ExifTags.IFD.Exif)
    if original is not None:
        tags[ExifTags.Base.DateTimeOriginal] = original
    if fraction is not None:
        tags[ExifTags.Base.SubsecTimeOriginal] = fraction
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(file, format, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize(
    ("original", "fraction", "taken"),
    [
        ("2026:07:01 12:30:59", None, datetime(2026, 7, 1, 12, 30, 59)),
        ("2026:07:01 12:30:59", "25", datetime(2026, 7, 1, 12, 30, 59, 250_000)),
        ("2026:07:01 12:30:59", "1234567", datetime(2026, 7, 1, 12, 30, 59, 123_456)),
        ("2026:07:01 12:30:59", "no", datetime(2026, 7, 1, 12, 30, 59)),
        ("0000:00:00 00:00:00", None, None),
        ("    :  :     :  :  ", None, None),
        ("yesterday", "5", None),
        (None, None, None),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_time_of_the_tags(
    original: object, fraction: object, taken: datetime | None, format: str
) -> None:
    picture = decode.decode(_photo(original, fraction, format), _LIMITS)
    assert picture.taken == taken
    assert measure_facts(picture).taken == (None if taken is None else taken.isoformat())


@pytest.mark.filterwarnings("ignore")  # Pillow says what it thinks of the damage
def test_damaged_blocks_have_no_time() -> None:
    data = _photo("2026:07:01 12:30:59")
    start = data.index(b"Exif")
    for place in range(start, start + 60):
        image = Image.open(io.BytesIO(data[:place] + b"\xff" + data[place + 1 :]))
        found = capture_time(image)
        assert found is None or found.year < 10_000
