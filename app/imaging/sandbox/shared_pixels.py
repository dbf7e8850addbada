"""The pixels of an image at full size, in memory that has no owner: a descriptor that processes hand on."""

import mmap
import os
import stat
import sys
import tempfile
import weakref
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.imaging.decode import Size

if sys.platform == "linux":
    import fcntl

    _SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Original:
    """A decoded image that other images are compared with.

    It is closed at the latest when no reference to it is left.

    Args:
        size: of the image.
        descriptor: of the memory; it belongs to the object from here on.

    Raises:
        ValueError: there are not as many bytes as the size says, or another process could still change them.
            The descriptor is closed then.
    """

    def __init__(self, size: Size, descriptor: int) -> None:
        self.size = size
        self.descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != self.nbytes or not _is_sealed(descriptor):
            self.close()
            raise ValueError("The descriptor is not one of an image of that size.")

    @property
    def nbytes(self) -> int:
        """Of memory that it takes."""
        return 3 * self.size[0] * self.size[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def copy(self) -> "Original":
        """The same memory behind another descriptor, which is closed by itself."""
        return Original(self.size, os.dup(self.descriptor))

    def close(self) -> None:
        """Gives the memory back once no process uses it; a second time does nothing."""
        self._close()

    def pixels(self) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8, read-only; they stay as long as the array does, also after :meth:`close`."""
        memory = mmap.mmap(self.descriptor, self.nbytes, prot=mmap.PROT_READ)
        return np.frombuffer(memory, np.uint8).reshape(self.size[1], self.size[0], 3)


def reserve() -> int:
    """A descriptor of memory for an image, which is empty still; the caller must close it."""
    if sys.platform == "linux":
        return os.memfd_create("original", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def fill(descriptor: int, pixels: NDArray[np.uint8]) -> None:
    """Copies ``(H, W, 3)`` uint8 pixels into reserved memory and seals it: no process changes it any more.

    Raises:
        OSError: there is no memory for them.
    """
    rest = np.ascontiguousarray(pixels).data.cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    if sys.platform == "linux":
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)


def _is_sealed(descriptor: int) -> bool:
    if sys.platform != "linux":
        return True
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) == _SEALS
    except OSError:  # another kind of file
        return False
