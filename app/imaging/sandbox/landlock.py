"""Landlock: the kernel denies a process what lies outside some folders, and TCP (landlock(7), Linux 5.13).

The kernel's version of it (its ABI) tells which rights it knows. Later kernels know more, which are not asked
for here.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from app.processes.linux import system_call

# The same numbers on every architecture (linux/landlock.h, asm-generic/unistd.h).
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_READ_FILE: Final = 1 << 2
_READ_FOLDER: Final = 1 << 3
_RIGHTS_BY_VERSION: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""Number of rights about files since a version; each is a bit. All of them are denied but for the rules."""
_TCP: Final = (4, 0b11)  # since version 4: bind and connect
_SCOPES: Final = (6, 0b11)  # since version 6: abstract Unix sockets, and signals


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def restrict_files(readable: Iterable[Path]) -> int:
    """Denies this thread, and those that it starts, every file outside of some folders.

    Files open already stay as they are. Only reading is allowed inside the folders: nothing is executed,
    written, made, renamed or removed. If the kernel can, TCP and signals to other processes are denied too.

    Args:
        readable: folders and files; those that do not exist are left out.

    Returns:
        The version of Landlock that the kernel has, at least 1.

    Raises:
        OSError: the kernel has none, or it is switched off, or a filter of the container forbids it.
    """
    version = system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    ruleset = _Ruleset(files=(1 << max(n for v, n in _RIGHTS_BY_VERSION.items() if v <= version)) - 1)
    size = ctypes.sizeof(ctypes.c_uint64)
    for field, (since, bits) in (("network", _TCP), ("scopes", _SCOPES)):
        if version >= since:
            setattr(ruleset, field, bits)
            size += ctypes.sizeof(ctypes.c_uint64)
    rules = system_call(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    try:
        for path in readable:
            _allow_reading(rules, path)
        system_call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)
    return version


def _allow_reading(rules: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | (_READ_FOLDER if stat.S_ISDIR(os.fstat(descriptor).st_mode) else 0)
        rule = _PathBeneath(rights=rights, descriptor=descriptor)
        system_call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
