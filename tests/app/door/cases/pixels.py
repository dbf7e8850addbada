"""Odd pixels, orientations, metadata and frames, each with what is to be made of it."""

import struct
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from PIL import Image, ImageCms

from tests.app.door import making
from tests.app.door.case import (
    DAMAGED,
    MARK,
    TOO_LARGE,
    Case,
    good,
    image,
)
from tests.app.door.making import (
    chunk,
    exif,
    files,
    gif,
    photograph,
    plain,
    png_of,
    with_chunks,
    zeros,
)
from tests.app.door.profiles import display_p3, in_display_p3
from tests.app.files import encoded
from tests.app.tiff_files import tiff_file, tiff_picture
from tests.color_spaces import cicp, gama, srgb_linear
from tests.drawings import with_caption
from tests.photographs import named

_TENTHS = range(1, 10)
_SIDE = 16_384  # squared and with four bytes a pixel, one GB
_UNIFORM = "almost-uniform"


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _kinds_of_pixels()
    yield from _turned()
    yield from _metadata()
    yield from _several_frames()


def _kinds_of_pixels() -> Iterator[Case]:
    photo = Image.fromarray(photograph())
    gray = photo.convert("L")
    levels = np.asarray(gray)
    sixteen = np.asarray(levels, np.uint16) * 257
    colors = photograph().astype(np.uint16) * 257

    def float_tiff(scale: float, spoilt: float | None = None) -> bytes:
        samples = levels.astype(np.float32) * np.float32(scale)
        if spoilt is not None:
            samples[5, 5] = spoilt
        return encoded(Image.fromarray(samples), "TIFF")

    def gray_png() -> bytes:
        return encoded(gray, "PNG")

    def over_white() -> bytes:
        alpha = Image.fromarray(_ALPHA)
        white = Image.new("RGB", photo.size, "white")
        white.paste(photo, mask=alpha)
        return encoded(white, "PNG")

    def adobe(transform: int) -> bytes:
        data = encoded(photo.convert("CMYK"), quality=90)
        marker = data.index(b"Adobe")
        return data[: marker + 11] + bytes([transform]) + data[marker + 12 :]

    as_is = good(width=160, height=120, color_converted=False)
    yield image("pixels: TIFF of floats in [0, 1]", lambda: float_tiff(1 / 255), as_is, like=gray_png)
    yield image("pixels: TIFF of floats up to 255", lambda: float_tiff(1.0), DAMAGED)
    yield image("pixels: TIFF with NaN", lambda: float_tiff(1 / 255, np.nan), DAMAGED)
    yield image("pixels: TIFF with infinity", lambda: float_tiff(1 / 255, np.inf), DAMAGED)
    yield image(
        "pixels: TIFF of 32-bit integers",
        lambda: encoded(Image.fromarray(sixteen.astype(np.int32)), "TIFF"),
        as_is,
        like=gray_png,
    )
    yield image("pixels: PNG of 16-bit gray", lambda: png_of(sixteen, bits=16, kind=0), as_is, like=gray_png)
    yield image("pixels: PNG of 16-bit color", lambda: png_of(colors, bits=16, kind=2), as_is, like=plain)
    yield image(
        "pixels: TIFF of 16-bit gray", lambda: encoded(Image.fromarray(sixteen), "TIFF"), as_is, like=gray_png
    )
    yield image(
        "pixels: PNG with alpha",
        lambda: encoded(Image.fromarray(np.dstack([photograph(), _ALPHA])), "PNG"),
        as_is,
        like=over_white,
    )
    yield image(
        "pixels: palette with alpha",
        lambda: encoded(photo.quantize(64), "PNG", transparency=bytes(range(64))),
        as_is,
    )
    two_tones = good("drawing-or-screenshot", width=160, height=120, color_converted=False)
    yield image("pixels: one bit", lambda: encoded(photo.convert("1"), "PNG"), two_tones)
    yield image(
        "pixels: gray with alpha",
        lambda: encoded(Image.merge("LA", (gray, Image.fromarray(_ALPHA))), "PNG"),
        as_is,
    )
    for bits in (12, 16):
        white = 2**bits - 1
        deep = np.dstack([np.rint(levels / 255 * white), np.full(levels.shape, 65535)]).astype(np.uint16)
        yield image(
            f"pixels: PNG of {bits}-bit gray with alpha in 16 bits",
            lambda deep=deep: png_of(deep, bits=16, kind=4),  # type: ignore[misc]
            as_is if bits == 16 else good("sample-range-guessed", width=160, monochrome=True),
            like=gray_png,
        )
    linear = np.rint(65535 * srgb_linear(photograph() / 255)).astype(np.uint16)
    for name, chunk_of in (("gAMA", gama(1.0)), ("cICP", cicp(1, 8))):
        yield image(
            f"pixels: linear PNG of 16 bits by {name}",
            lambda about=chunk_of: png_of(linear, bits=16, before=chunk(*about)),  # type: ignore[misc]
            good(width=160, color_converted=True),
            like=plain,
        )
    yield image(
        "pixels: linear PNG of 16-bit gray",
        lambda: png_of(
            np.rint(65535 * srgb_linear(levels / 255)).astype(np.uint16),
            bits=16,
            kind=0,
            before=chunk(*gama(1.0)),
        ),
        good(width=160, color_converted=True, monochrome=True),
        like=gray_png,
    )
    yield image(
        "pixels: TIFF of 16-bit gray whose white is zero",
        lambda: tiff_file([tiff_picture(65535 - sixteen, t262=[0])]),
        as_is,
        like=gray_png,
    )
    yield image(
        "pixels: TIFF of signed 16-bit gray",
        lambda: tiff_file([tiff_picture(np.rint(levels / 255 * 32767).astype(np.int16))]),
        as_is,
        like=gray_png,
    )
    yield image(
        "pixels: a sepia print",
        lambda: encoded((np.asarray(gray)[..., None] * np.array([1.0, 0.87, 0.7])).astype(np.uint8)),
        good(format="JPEG", monochrome=True),
    )
    yield image(
        "pixels: a photograph with a caption",
        lambda: encoded(with_caption(named()["coffee"]), quality=85),
        good("drawing-or-screenshot", photograph=False),
    )
    for color, edge in (("#ffe000", "black"), ("red", "white"), ("#20e0ff", "")):
        yield image(
            f"pixels: a photograph with a caption in {color}",
            lambda ink=color, edge=edge: encoded(  # type: ignore[misc]
                with_caption(named()["coffee"], color=ink, edge=edge), quality=80
            ),
            good("drawing-or-screenshot", photograph=False),
        )
    yield image(
        "pixels: all transparent", lambda: encoded(Image.new("RGBA", (64, 64)), "PNG"), good(_UNIFORM)
    )
    for transform in (0, 2):
        yield image(
            f"pixels: CMYK JPEG, Adobe's transform {transform}",
            partial(adobe, transform),
            good(format="JPEG", width=160, color_converted=False),
        )
    yield image("pixels: CMYK TIFF", lambda: encoded(photo.convert("CMYK"), "TIFF"), as_is, like=plain)
    yield image(
        "pixels: LAB TIFF", lambda: encoded(_lab(), "TIFF"), good(format="TIFF", color_converted=True)
    )
    yield image("pixels: gray JPEG", lambda: encoded(gray, quality=90), as_is)
    yield image("pixels: YCbCr TIFF in JPEG", lambda: encoded(photo, "TIFF", compression="jpeg"), as_is)
    for compression in ("tiff_deflate", "packbits", "tiff_lzw"):
        yield image(
            f"pixels: TIFF, {compression}",
            partial(encoded, photo, "TIFF", compression=compression),
            as_is,
            like=plain,
        )
    yield image(
        "pixels: TIFF, fax", lambda: encoded(photo.convert("1"), "TIFF", compression="group4"), two_tones
    )
    yield image("pixels: BigTIFF", lambda: encoded(photo, "TIFF", big_tiff=True), as_is, like=plain)


_ALPHA = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (120, 1))


def _lab() -> Image.Image:
    spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(Image.fromarray(photograph()), *spaces, outputMode="LAB")
    assert converted is not None
    return converted


def _turned() -> Iterator[Case]:
    photo = Image.fromarray(photograph())
    writers: dict[str, Callable[[Image.Image, bytes], bytes]] = {
        "PNG": lambda stored, block: encoded(stored, "PNG", exif=block),
        "JPEG": lambda stored, block: encoded(stored, quality=95, exif=b"Exif\0\0" + block),
        "WebP": lambda stored, block: encoded(stored, "WEBP", lossless=True, exif=block),
        "TIFF": lambda stored, block: encoded(stored, "TIFF", exif=_exif(block)),
    }
    for kind, write in writers.items():
        for orientation in range(1, 9):
            yield image(
                f"turned: {kind} by {orientation}",
                lambda write=write, n=orientation: write(as_stored(photo, n), exif(n)),  # type: ignore[misc]
                good(width=160, height=120, orientation_applied=orientation != 1),
                like=None if kind == "JPEG" else plain,
            )
    for orientation in (0, 9, 65_535):
        yield image(
            f"turned: by {orientation}, which there is not",
            partial(_turned_png, orientation),
            good(width=160, height=120, orientation_applied=False),
            like=plain,
        )


def as_stored(upright: Image.Image, orientation: int) -> Image.Image:
    """How the pixels of an upright image lie in a file of this orientation (EXIF 2.3, table 6)."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return upright.transpose(undo[orientation]) if orientation in undo else upright


def _turned_png(orientation: int) -> bytes:
    return encoded(Image.fromarray(photograph()), "PNG", exif=exif(orientation))


def _exif(block: bytes) -> Image.Exif:
    loaded = Image.Exif()
    loaded.load(block)
    return loaded


def _metadata() -> Iterator[Case]:
    photo = Image.fromarray(photograph())
    p3 = Image.fromarray(in_display_p3(photograph()))
    block = exif(1, 200_000)

    def split_exif() -> bytes:
        pieces = [block[start : start + 60_000] for start in range(0, len(block), 60_000)]
        whole = b"".join(making.segment(0xE1, b"Exif\0\0" + piece) for piece in pieces)
        return making.with_segments(files()["JPEG"], whole)

    def profiled(profile: bytes, format: str = "JPEG") -> bytes:
        return encoded(p3, format, icc_profile=profile)

    def jpeg() -> bytes:
        return files()["JPEG"]

    converted = good(color_converted=True)
    ignored = good("color-profile-ignored", color_converted=False)
    unknown = good("orientation-unknown", orientation_applied=False)
    yield image(
        "metadata: EXIF of 200 KB in a PNG",
        lambda: with_chunks(plain(), chunk(b"eXIf", block)),
        good(),
        like=plain,
    )
    yield image("metadata: EXIF of 200 KB in a JPEG", split_exif, good(), like=jpeg)
    yield image(
        "metadata: EXIF of 200 KB and upside down",
        lambda: with_chunks(plain(), chunk(b"eXIf", exif(3, 200_000))),
        good(orientation_applied=True),
    )
    yield image(
        "metadata: EXIF of 1.5 MB",
        lambda: with_chunks(plain(), chunk(b"eXIf", exif(3, 1_500_000))),
        unknown,
        like=plain,
    )
    yield image(
        "metadata: EXIF of rubbish in a JPEG",
        lambda: encoded(photo, quality=90, exif=b"Exif\0\0" + b"\xff" * 60),
        unknown,
    )
    yield image(
        "metadata: EXIF of rubbish in a PNG",
        lambda: with_chunks(plain(), chunk(b"eXIf", b"\xff" * 60)),
        unknown,
        like=plain,
    )
    yield image(
        "metadata: EXIF that points outside",
        lambda: with_chunks(plain(), chunk(b"eXIf", b"II*\0" + struct.pack("<I", 2**31) + bytes(16))),
        unknown,
        like=plain,
    )
    yield image("metadata: profile", lambda: profiled(display_p3()), converted)
    yield image("metadata: profile of 200 KB in a JPEG", lambda: profiled(display_p3(200_000)), converted)
    yield image(
        "metadata: profile of 200 KB in a PNG",
        lambda: profiled(display_p3(200_000), "PNG"),
        converted,
        like=lambda: profiled(display_p3(), "PNG"),
    )
    yield image(
        "metadata: profile of 2 MB in a PNG", lambda: profiled(display_p3(2_000_000), "PNG"), converted
    )
    yield image("metadata: profile of 5 MB in a JPEG", lambda: profiled(display_p3(5_000_000)), ignored)
    yield image("metadata: profile of rubbish", lambda: profiled(b"\xff" * 500), ignored)
    yield image(
        "metadata: profile of rubbish behind a good header",
        lambda: profiled(display_p3()[:132] + b"\xff" * 2000),
        ignored,
    )
    yield image("metadata: half a profile", lambda: profiled(display_p3()[: len(display_p3()) // 2]), ignored)
    for kind, head in ((b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0")):
        yield image(
            f"metadata: {kind.decode()} of 1 GB in 1 MB",
            lambda kind=kind, head=head: with_chunks(plain(), chunk(kind, head + zeros(2**30))),  # type: ignore[misc]
            DAMAGED,
        )
    yield image(
        "metadata: iCCP of 1 GB in 1 MB",
        lambda: with_chunks(plain(), chunk(b"iCCP", b"profile\0\0" + zeros(2**30))),
        DAMAGED,
    )
    yield image(
        "metadata: 20,000 comments in a PNG",
        lambda: with_chunks(plain(), chunk(b"tEXt", b"Comment\0" + MARK) * 20_000),
        DAMAGED,
    )
    yield image(
        "metadata: 200,000 segments in a JPEG",
        lambda: making.with_segments(jpeg(), making.segment(0xEF, b"x") * 200_000),
        DAMAGED,
    )
    yield image(
        "metadata: fill bytes without end in a JPEG",
        lambda: making.with_segments(jpeg(), b"\xff" * 1_000_000),
        DAMAGED,
    )


def _several_frames() -> Iterator[Case]:
    frames = [
        Image.fromarray(photograph()),
        Image.fromarray(255 - photograph()),
        Image.new("RGB", (160, 120)),
    ]

    def animated(format: str, **options: object) -> bytes:
        return encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)

    three = good("several-frames", frames=3, width=160, height=120)
    yield image("frames: GIF", lambda: animated("GIF"), three)
    yield image("frames: WebP", lambda: animated("WEBP", lossless=True), three, like=plain)
    yield image("frames: APNG", lambda: animated("PNG"), three, like=plain)
    yield image("frames: TIFF", lambda: animated("TIFF"), three, like=plain)
    yield image("frames: multi-picture JPEG", lambda: animated("MPO"), good(frames=3, format="MPO"))
    if "AVIF" in files():
        yield image("frames: AVIF", lambda: animated("AVIF"), three)
    yield image("frames: GIF of 5,000", lambda: gif(5000), good("several-frames", _UNIFORM, frames=5000))
    yield image("frames: GIF of 20,000", lambda: gif(20_000), TOO_LARGE)
    yield image("frames: GIF with a comment", lambda: gif(1, comment=MARK), good(_UNIFORM, frames=1))
    yield image("frames: TIFF whose pages go round", _endless_tiff, good(frames=1, format="TIFF"), like=plain)


def _endless_tiff() -> bytes:
    data = bytearray(files()["TIFF"])
    directory = int.from_bytes(data[4:8], "little")
    next_page = directory + 2 + 12 * int.from_bytes(data[directory : directory + 2], "little")
    data[next_page : next_page + 4] = directory.to_bytes(4, "little")
    return bytes(data)
