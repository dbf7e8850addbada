"""The published measures of a pair that can be asked for beside PSNR and SSIM."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.measures.cvvdp import cvvdp
from models.measures.haarpsi import haarpsi
from models.measures.mdsi import mdsi
from models.measures.ms_ssim import ms_ssim
from models.measures.vsi import vsi

_Function = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float | None]

_PUBLISHED: Final[Mapping[str, _Function]] = {
    "ms_ssim": ms_ssim,
    "haarpsi": haarpsi,
    "vsi": vsi,
    "mdsi": mdsi,
    "cvvdp": cvvdp,
}


def measure_published(
    names: Iterable[str], reference: NDArray[np.uint8], distorted: NDArray[np.uint8]
) -> dict[str, float | None]:
    """Measures of two ``(H, W, 3)`` uint8 images of one shape, by name; None where these are too small.

    MDSI is 0 for identical images and grows with the distortion; the others are 1, CVVDP 10, and fall.

    Raises:
        KeyError: there is no measure of that name.
        ModuleNotFoundError: CVVDP is asked for, and the extra ``perceptual`` is not installed.
    """
    return {name: _PUBLISHED[name](reference, distorted) for name in names}
