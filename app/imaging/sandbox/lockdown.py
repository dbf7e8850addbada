"""What a decoder gives up between loading its libraries and reading the first byte of a file.

A process that decodes hostile files is taken over one day. Afterwards it has the image that it decodes, the
socket to its parent, and memory; nothing here can be taken back.
"""

import importlib.util
import os
import resource
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.imaging.sandbox.landlock import restrict_files
from app.imaging.sandbox.seccomp import restrict_calls
from app.imaging.sandbox.system_calls import allowed_calls
from app.processes.linux import hide_memory, renounce_privileges

_MAX_FILES: Final = 64
_OOM_SCORE: Final = 500
"""Added to this process's score, in thousandths of the memory: the kernel, when it runs out, ends a decoder
before the processes that all requests need."""

_SYSTEM_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
_OWN_PACKAGES: Final = ("app", "models")
_LIBRARIES: Final = (
    "numpy",
    "PIL",
    "pydantic",
    "scipy",
)  # each from where it is installed, with its neighbors


@dataclass(frozen=True)
class Lockdown:
    """What the kernel enforces on a decoder.

    Attributes:
        landlock: version of Landlock that denies files and networks; 0 where the kernel has none.
        seccomp: whether only the system calls of a list are allowed.
    """

    landlock: int
    seccomp: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the mechanisms that are not in force."""
        have = {"Landlock": self.landlock > 0, "seccomp": self.seccomp}
        return tuple(name for name, present in have.items() if not present)


def limit_resources(memory_bytes: int, file_bytes: int) -> None:
    """Bounds what a damaged file can take; nothing that a library prints because of it gets into the log.

    Args:
        memory_bytes: maximum address space.
        file_bytes: maximum size of a file, such as the memory that the parent hands over to be filled.
    """
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_FSIZE, file_bytes),
    ):
        with suppress(OSError, ValueError):  # not every system lets all be set, nor set higher than before
            resource.setrlimit(limit, (most, most))
    with suppress(OSError):  # of Linux, and where /proc can be written to
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")
    warnings.filterwarnings("ignore", module="PIL")
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nothing.fileno(), stream.fileno())


def lock_down() -> Lockdown:
    """Gives up privileges, files, networks and all system calls but some, as far as the kernel offers it.

    Libraries must be loaded by then. Where Landlock is in force, parts of them can still be; otherwise, no
    file can be opened at all.
    """
    if sys.platform != "linux":
        return Lockdown(landlock=0, seccomp=False)
    hide_memory()
    with suppress(OSError):
        renounce_privileges()
    landlock, seccomp = 0, False
    if _is_only_thread():
        with suppress(OSError):
            landlock = restrict_files(_libraries())
    with suppress(OSError):
        restrict_calls(allowed_calls(os.getpid(), reading_files=landlock > 0))
        seccomp = True
    return Lockdown(landlock, seccomp)


def _is_only_thread() -> bool:
    """Whether no other thread runs: Landlock would not hold it, and threads share their memory."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:  # /proc is hidden; no library that is loaded here starts a thread
        return True


def _libraries() -> Iterator[Path]:
    """Folders of Python's library, of installed packages and of the system's libraries."""
    yield from map(Path, _SYSTEM_LIBRARIES)
    yield Path(os.__file__).parent
    for name in ("LIBDIR", "DESTSHARED"):
        if folder := sysconfig.get_config_var(name):
            yield Path(folder)
    for name in (*_LIBRARIES, *_OWN_PACKAGES):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            package = Path(spec.origin).parent
            # Beside a package of ours may lie private files; beside an installed one lie libraries.
            yield package if name in _OWN_PACKAGES else package.parent
