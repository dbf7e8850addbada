"""Profiles of primaries and a curve give the colors that LittleCMS gives; all others are left to it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.imaging.decode import decode
from app.imaging.limits import Limits
from models.color.colorimetry import to_srgb
from models.color.matrix_profile import profile_space
from tests.app.door.making import png_of
from tests.app.door.profiles import display_p3
from tests.app.files import png_chunk
from tests.color_spaces import DISPLAY_P3, codes_in, psnr_db
from tests.photographs import named

pytestmark = pytest.mark.pure

COFFEE = named()["coffee"]
LINEAR = b"curv" + bytes(8)
GAMMA = b"curv" + bytes(4) + struct.pack(">IH", 1, 461)  # 1.8
PARAMETRIC = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(157286, 62119, 3417, 5072, 2651))  # sRGB's


def _profile(curve: bytes, *, of_red: bytes = b"") -> bytes:
    """Display P3 with another curve, appended, for all its primaries or for red alone."""
    profile = display_p3()
    data = bytearray(profile + curve + of_red)
    for at in range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12):
        if data[at + 1 : at + 4] == b"TRC":
            red = data[at : at + 1] == b"r" and of_red
            start, size = (len(profile) + len(curve), len(of_red)) if red else (len(profile), len(curve))
            data[at + 4 : at + 12] = struct.pack(">II", start, size)
    data[:4] = struct.pack(">I", len(data))
    return bytes(data)


@pytest.mark.parametrize("curve", [GAMMA, PARAMETRIC, LINEAR], ids=["gamma", "parametric", "linear"])
def test_the_colors_are_those_of_littlecms(curve: bytes) -> None:
    profile = _profile(curve)
    space = profile_space(profile, "P3")
    assert space is not None
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = ImageCms.profileToProfile(
        Image.fromarray(COFFEE), source, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    difference = np.abs(to_srgb(COFFEE, space)[0].astype(int) - np.asarray(expected).astype(int))
    assert np.quantile(difference, 0.999) <= 2


def test_the_usual_profile_has_a_table_for_its_curve() -> None:
    space = profile_space(display_p3(), "P3")
    assert space is not None
    assert space.curve(np.array([0.0, 0.5, 1.0])) == pytest.approx([0.0, 0.214, 1.0], abs=1e-3)


def test_other_profiles_are_none() -> None:
    for damaged in (b"", display_p3()[:200], bytes(500), _profile(b"curv"), _profile(b"para" + bytes(9))):
        assert profile_space(damaged, "") is None
    assert profile_space(_profile(GAMMA, of_red=LINEAR), "") is None
    with_tables = display_p3().replace(b"cprt", b"A2B0")
    assert profile_space(with_tables, "") is None


def test_linear_samples_of_16_bits_keep_their_shadows() -> None:
    samples = np.rint(65535 * codes_in(COFFEE, DISPLAY_P3, lambda light: light).clip(0, 1)).astype(np.uint16)
    about = png_chunk(b"iCCP", b"linear\0\0" + zlib.compress(_profile(LINEAR)))
    picture = decode(png_of(samples, bits=16, before=about), Limits())
    assert picture.color.converted
    assert psnr_db(picture.pixels, COFFEE) > 48
