"""Decoded references: teams that watch a transcoder hold hundreds of images against the same one."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from app.imaging.model_inputs import Fitted
from app.imaging.sandbox.shared_pixels import Original
from app.inference.tasks import Result

_MOST_SCORED = 8
"""Questions about one reference whose answers are remembered with it."""


@dataclass
class Reference:
    """A reference, as further comparisons need it.

    Attributes:
        fitted: the image at the size that the models see.
        original: its pixels at full size, for PSNR and SSIM.
        decode_s: how long decoding took.
        waited_s: how long it waited for that.
    """

    fitted: Fitted
    original: Original
    decode_s: float
    waited_s: float
    _scored: dict[Hashable, tuple[Result, ...]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Of memory that it takes."""
        arrays = {id(pixels): pixels.nbytes for pixels in self.fitted.pixels.values()}
        return self.original.nbytes + sum(arrays.values())

    def scored(self, key: Hashable) -> tuple[Result, ...] | None:
        """The no-reference models' results for the reference; None where they have not been asked.

        Args:
            key: says everything that the answer depends on beside the image.
        """
        return self._scored.get(key)

    def remember(self, key: Hashable, results: tuple[Result, ...]) -> None:
        """Keeps what they said."""
        while len(self._scored) >= _MOST_SCORED:
            del self._scored[next(iter(self._scored))]
        self._scored[key] = results
