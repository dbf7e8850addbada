"""The seam between the service and one image format."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

    from models.color.description import CodePoints


END_MISSING: Final = (
    "end-missing: the file lacks its end, though no pixel of the picture; "
    "it may have been cut while it was sent."
)
"""A warning about a file, for :attr:`ImageFormat.decode`."""


LOSSLESS: Final = 101
"""The fidelity of what is stored without loss: above JPEG's best."""


class Unreadable(Exception):
    """A file that may be whole, but of a kind of its format that is not decoded here.

    Args:
        reason: one of the values of ``reason`` that :class:`app.errors.UnsupportedMediaType` explains.
        sentence: for the client: which kind of file it is, and what to do.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


@dataclass(frozen=True)
class ImageFormat:
    """An image format: everything that the service knows about it.

    Add one by a module with such an object and a line in :data:`app.imaging.formats.registry.FORMATS`.

    Attributes:
        name: the name in answers.
        pillow: Pillow's names: first the one that opens its files, then those of variants, which answers give
            as they are.
        mime: the media type by which clients label its files; the content decides.
        suffixes: of its file names, in lower case and with the dot.
        signatures: byte strings, one of which begins every file.
        recognize: whether a file without such a signature is of this format.
        has_decoder: whether this installation decodes the format; loads the decoder and registers it with
            Pillow. Called often.
        extra: the extra that installs the decoder; '' if Pillow brings it.
        too_many_pieces: whether the file has more segments, chunks or boxes than are read.
        claimed_sizes: widths and heights in pixels that are checked before the decoder sees the file.
        count_frames: number of frames or pages, at least 1, counted before Pillow does, where Pillow would
            take long. Gets the file and a maximum; may return ``maximum + 1`` for any larger number. None
            leaves it to Pillow, which reads the number from the header.
        prepared: the bytes that the decoder opens: the file, or one whose first picture is the file's main
            picture. Raises :class:`Unreadable` for a file of a kind that is not decoded here.
        check: raises :class:`Unreadable` for an opened image that is not decoded here.
        decode: from the opened image, perhaps reduced, and the file: the image that is converted, and coded
            warnings about it. Where Pillow itself notices damage, this leaves the decoding to it.
        check_pixels: raises for the converted image, and its file, if pixels are missing of which Pillow says
            nothing. Not part of `decode`: what the samples are is told before they are loaded.
        bytes_per_pixel: memory that decoding takes at most per pixel, as measured, until they are upright
            sRGB.
        reduced_bytes_per_pixel: the same for a file that is decoded at a reduced size; None where none is.
        is_turned: whether the decoder itself turns or mirrors the picture of this file.
        code_points: the code points by which the file describes its color, where Pillow does not read them.
        fidelity: how true to its picture a file is taken to be that does not say it, on the scale of JPEG's
            quality; :data:`LOSSLESS` where nothing is left out.
    """

    name: str
    pillow: tuple[str, ...]
    mime: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...] = ()
    recognize: Callable[[bytes], bool] = lambda data: False
    has_decoder: Callable[[], bool] = lambda: True
    extra: str = ""
    too_many_pieces: Callable[[bytes], bool] = lambda data: False
    claimed_sizes: Callable[[bytes], Iterable[tuple[int, int]]] = lambda data: ()
    count_frames: Callable[[bytes, int], int] | None = None
    prepared: Callable[[bytes], bytes] = lambda data: data
    check: "Callable[[Image.Image], None]" = lambda image: None
    decode: "Callable[[Image.Image, bytes], tuple[Image.Image, tuple[str, ...]]]" = lambda image, data: (
        image,
        (),
    )
    check_pixels: "Callable[[Image.Image, bytes], None]" = lambda image, data: None
    bytes_per_pixel: int = 30
    reduced_bytes_per_pixel: int | None = None
    is_turned: Callable[[bytes], bool] = lambda data: False
    code_points: "Callable[[bytes], CodePoints | None]" = lambda data: None
    fidelity: int = 70

    def matches(self, data: bytes) -> bool:
        """Whether the first bytes of a file are those of this format."""
        return data.startswith(self.signatures) or self.recognize(data)

    def answered_name(self, pillow: str | None) -> str:
        """The name in answers of an image that Pillow has opened under that name."""
        return self.name if pillow in (None, self.pillow[0]) else str(pillow)

    def missing_decoder(self) -> str:
        """Says that the decoder is missing, and how to install it."""
        if not self.extra:
            return f"{self.name} is not read by this server's build of Pillow."
        return (
            f"{self.name} is read only where the extra `{self.extra}` is installed "
            f"(pip install 'iqa-service[{self.extra}]')."
        )
