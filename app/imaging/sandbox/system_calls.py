"""The system calls that a decoder may make, as a list for seccomp. Everything outside of it is denied.

Pillow, its codecs, numpy and Python were watched with strace while they decoded files of every format: they
need memory, threads, time and the socket to the parent. They do not need to open a file for writing, to make
memory that outlives them, to connect, to start programs, or to know of other processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Argument:
    """A condition on an argument of a call.

    Attributes:
        index: of the argument.
        allowed: values, of 32 bits.
        mask: bits of the value that count.
        pointer: whether the upper 32 bits count too, and must be 0; the kernel ignores them in an int.
    """

    index: int
    allowed: frozenset[int]
    mask: int = 0xFFFFFFFF
    pointer: bool = False


@dataclass(frozen=True)
class AllowedCall:
    """A system call that is allowed where all conditions hold.

    Attributes:
        numbers: by machine, as ``platform.machine()`` names it; machines without the call are left out.
        conditions: on its arguments.
    """

    numbers: Mapping[str, int]
    conditions: tuple[Argument, ...] = ()


# Numbers on x86-64 and on aarch64 (asm/unistd_64.h, asm-generic/unistd.h), the most frequent calls first.
_PLAIN: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "brk": (12, 214),
    "madvise": (28, 233),
    "recvfrom": (45, 207),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "futex": (202, 98),
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "lseek": (8, 62),
    "close": (3, 57),
    "fstat": (5, 80),
    "stat": (4, None),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "recvmsg": (47, 212),
    "sendmsg": (46, 211),
    "poll": (7, None),
    "ppoll": (271, 73),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrusage": (98, 165),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getcpu": (309, 168),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}

_NULL: Final = frozenset({0})
# Flags of open(2): anything but reading. The last two are O_PATH and __O_TMPFILE. They are the same on both.
_NOT_READING: Final = 0o3 | 0o100 | 0o200 | 0o1000 | 0o2000 | 0o10000000 | 0o20000000
# CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID: a thread of this
# process as the C library makes it. musl adds CLONE_DETACHED, which does nothing.
_THREAD: Final = 0x3D0F00
_CLONE_DETACHED: Final = 0x400000
_FCNTL: Final = frozenset({1, 2, 3, 1030, 1033, 1034})  # F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, seals
_IOCTL: Final = frozenset({0x5401, 0x5421, 0x5451})  # TCGETS (isatty), FIONBIO, FIOCLEX
_PR_SET_NAME: Final = 15  # codecs name their threads


def allowed_calls(pid: int, *, reading_files: bool) -> list[AllowedCall]:
    """The list.

    Args:
        pid: of the process, which may send signals to itself alone: that is how abort(3) ends it.
        reading_files: whether files may be opened for reading.
    """
    any_int = 0xFFFFFFFF
    conditional: list[tuple[int | None, int | None, tuple[Argument, ...]]] = [
        # No address: a socket is used as it is.
        (44, 206, (Argument(4, _NULL, pointer=True),)),  # sendto
        (56, 220, (Argument(0, frozenset({_THREAD}), any_int ^ _CLONE_DETACHED),)),  # clone
        (72, 25, (Argument(1, _FCNTL),)),  # fcntl; its F_SETOWN would send signals
        (16, 29, (Argument(1, _IOCTL),)),  # ioctl
        (302, 261, (Argument(2, _NULL, pointer=True),)),  # prlimit64, to read limits
        (157, 167, (Argument(0, frozenset({_PR_SET_NAME})),)),  # prctl
        (234, 131, (Argument(0, frozenset({pid})),)),  # tgkill
    ]
    if reading_files:
        conditional += [
            (257, 56, (Argument(2, _NULL, _NOT_READING),)),  # openat
            (2, None, (Argument(1, _NULL, _NOT_READING),)),  # open
        ]
    plain = [(x86_64, aarch64, ()) for x86_64, aarch64 in _PLAIN.values()]
    return [_call(*call) for call in (*plain, *conditional)]


def _call(x86_64: int | None, aarch64: int | None, conditions: tuple[Argument, ...]) -> AllowedCall:
    numbers = {"x86_64": x86_64, "aarch64": aarch64}
    return AllowedCall({name: number for name, number in numbers.items() if number is not None}, conditions)
