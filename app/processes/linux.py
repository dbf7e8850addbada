"""Calls to the Linux kernel that Python's library lacks."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522  # linux/capability.h: the third, with two words of each set


def system_call(number: int, *arguments: Any) -> int:
    """The result of a system call.

    Args:
        number: of the call on this architecture.
        arguments: integers, and pointers of ctypes.

    Raises:
        OSError: the kernel rejects the call.
    """
    return _checked(_library().syscall(ctypes.c_long(number), *map(_wide, arguments)))


def control_process(option: int, value: int) -> None:
    """prctl(2), with zeros behind its value.

    Raises:
        OSError: the kernel rejects the option.
    """
    _checked(_library().prctl(ctypes.c_int(option), *map(_wide, (value, 0, 0, 0))))


def die_with_parent() -> None:
    """Has the kernel end this process with its parent: a thread stuck in native code reads no input."""
    if sys.platform == "linux":
        with suppress(OSError):
            control_process(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_memory() -> None:
    """Closes this process to other processes of its user: they can neither trace it nor read its memory, its
    environment and its open files, and it leaves no core. Only a privileged process can (CAP_SYS_PTRACE).

    The process itself still sees its own files below /proc. Starting another program ends the effect for that
    program.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            control_process(_PR_SET_DUMPABLE, 0)


def renounce_privileges() -> None:
    """Drops every capability of this thread; no program that it starts can gain any (no_new_privs).

    Raises:
        OSError: the kernel rejects it.
    """
    control_process(_PR_SET_NO_NEW_PRIVS, 1)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked(_library().capset(header, (ctypes.c_uint32 * 6)()))


def stat_fields(folder: Path) -> list[str]:
    """What ``stat`` in the folder of a process or thread says, from its state on (proc(5)); [] if gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def thread_states(pid: int) -> list[str]:
    """The state of each thread of a process, one letter as in proc(5); "" of one that has just ended.

    Raises:
        OSError: there is no such process, or the system does not tell.
    """
    threads = Path(f"/proc/{pid}/task").iterdir()
    return ["".join(stat_fields(thread)[:1]) for thread in threads]


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _wide(argument: Any) -> Any:
    return ctypes.c_ulong(argument) if isinstance(argument, int) else argument


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def address_space_bytes(pid: int) -> int:
    """What a process has reserved of its address space; 0 where that cannot be told."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
