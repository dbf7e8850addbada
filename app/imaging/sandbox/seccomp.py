"""seccomp: the kernel runs a small program before each system call of a process, which allows or denies it.

The program is classic BPF (linux/filter.h): loads, comparisons and returns over ``struct seccomp_data``. It
is assembled here, since libseccomp, which pyseccomp loads, is not on every system. A denied call fails with
EPERM, or with ENOSYS if Linux 5.1 or a later version added it: the C library then does what it does on older
kernels. A call by another architecture's numbers ends the process.
"""

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.imaging.sandbox.system_calls import AllowedCall, Argument
from app.processes.linux import system_call

_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1  # SECCOMP_FILTER_FLAG_TSYNC

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_DENY: Final = 0x00050000 | errno.EPERM
_UNKNOWN: Final = 0x00050000 | errno.ENOSYS
_FIRST_RECENT: Final = 424  # pidfd_send_signal, of Linux 5.1; from here on all architectures agree

# Offsets in struct seccomp_data, on little-endian machines.
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16


@dataclass(frozen=True)
class _Machine:
    audit: int  # AUDIT_ARCH_*, linux/audit.h
    seccomp: int  # the number of seccomp(2)


_MACHINES: Final = {"x86_64": _Machine(0xC000003E, 317), "aarch64": _Machine(0xC00000B7, 277)}


@dataclass(frozen=True)
class Instruction:
    """One instruction of BPF: operation, how many to skip if true and if false, and a constant."""

    code: int
    constant: int
    if_true: int = 0
    if_false: int = 0


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("constant", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filters", ctypes.POINTER(_Filter)))


def restrict_calls(calls: Sequence[AllowedCall]) -> None:
    """Denies all threads of this process every system call but some, for ever.

    Call :func:`app.processes.linux.renounce_privileges` first: the kernel requires it.

    Raises:
        OSError: the kernel has no seccomp, or this module does not know the machine.
    """
    machine = platform.machine()
    if machine not in _MACHINES or sys.byteorder != "little" or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    instructions = assemble(calls, machine)
    filters = (_Filter * len(instructions))(
        *(_Filter(each.code, each.if_true, each.if_false, each.constant) for each in instructions)
    )
    program = _Program(len(filters), filters)
    if system_call(_MACHINES[machine].seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))  # a thread has a filter of its own


def assemble(calls: Sequence[AllowedCall], machine: str) -> list[Instruction]:
    """The program that allows some calls on a machine, a key of :attr:`AllowedCall.numbers`."""
    program = [
        Instruction(_LOAD, _ARCHITECTURE),
        Instruction(_IF_EQUAL, _MACHINES[machine].audit, if_true=1),
        Instruction(_RETURN, _KILL_PROCESS),
        Instruction(_LOAD, _NUMBER),
    ]
    for call in calls:
        if machine in call.numbers:
            body = _decide(call.conditions)
            program += [Instruction(_IF_EQUAL, call.numbers[machine], if_false=len(body)), *body]
    return [
        *program,
        Instruction(_IF_AT_LEAST, _FIRST_RECENT, if_false=1),
        Instruction(_RETURN, _UNKNOWN),
        Instruction(_RETURN, _DENY),
    ]


def _decide(conditions: Sequence[Argument]) -> list[Instruction]:
    """Allows a call if all conditions hold and denies it otherwise; it never returns to what follows."""
    body: list[Instruction] = []
    for condition in conditions:
        at = _ARGUMENTS + 8 * condition.index
        if condition.pointer:
            body += [Instruction(_LOAD, at + 4), *_unless_one_of([0])]
        body += [
            Instruction(_LOAD, at),
            Instruction(_AND, condition.mask),
            *_unless_one_of(sorted(condition.allowed)),
        ]
    return [*body, Instruction(_RETURN, _ALLOW)]


def _unless_one_of(values: Sequence[int]) -> list[Instruction]:
    """Denies the call unless the loaded value is one of some."""
    found = [Instruction(_IF_EQUAL, value, if_true=len(values) - at) for at, value in enumerate(values)]
    return [*found, Instruction(_RETURN, _DENY)]
