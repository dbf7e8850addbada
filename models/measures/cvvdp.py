"""ColorVideoVDP of two pictures, by its authors' package, which computes with torch.

A picture of a megapixel takes a core some three seconds and more than a gigabyte of memory. So it is for
files that one names oneself: the command line has it, the service has not.
"""

import logging
import threading
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_alone = threading.Lock()  # so that several threads need the memory of one


def cvvdp(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
    """The quality of a distorted picture as seen on a screen of 1920 x 1080 pixels, in JOD.

    Args:
        reference: ``(H, W, 3)`` uint8, sRGB.
        distorted: of the same shape.

    Returns:
        10 for identical pictures; of two that are 1 apart, three of four people prefer the better (arXiv
        2401.11485).

    Raises:
        ModuleNotFoundError: the extra ``perceptual`` is not installed.
    """
    with _alone:
        quality, _ = _metric().predict(distorted, reference, dim_order="HWC")
    return float(quality)


@cache
def _metric() -> Any:
    # It says on standard error that there is no compiler for CUDA, which nothing here needs.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import pycvvdp
    import torch

    return pycvvdp.cvvdp(display_name="standard_fhd", device=torch.device("cpu"))
