"""The filter as the kernel would run it, on both machines: which calls it lets through."""

import errno
import struct

import pytest

from app.imaging.sandbox.seccomp import Instruction, assemble
from app.imaging.sandbox.system_calls import allowed_calls

PID = 4321
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = sorted(AUDIT)

# x86-64, aarch64, from the kernel's tables.
FORBIDDEN = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "accept": (43, 202),
    "sendmmsg": (307, 269),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "bpf": (321, 280),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "mkdirat": (258, 34),
    "linkat": (265, 37),
    "symlinkat": (266, 36),
    "creat": (85, None),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "fchmodat": (268, 53),
    "setuid": (105, 146),
    "capset": (126, 91),
    "seccomp": (317, 277),
    "setrlimit": (160, 164),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "memfd_create": (319, 279),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "io_setup": (206, 0),
    "splice": (275, 76),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
    "openat2": (437, 437),
    "process_madvise": (440, 440),
    "landlock_restrict_self": (446, 446),
    "a call of the future": (900, 900),
    "read of x32": (0x40000000, 0x40000000),
}
OPENAT = {"x86_64": 257, "aarch64": 56}


def _run(program: list[Instruction], number: int, arguments: tuple[int, ...] = (), audit: int = 0) -> int:
    """The verdict on a call: what the kernel's interpreter would return."""
    data = struct.pack("<iIQ6Q", number, audit, 0, *(*arguments, *[0] * (6 - len(arguments))))
    at = value = 0
    while True:
        step = program[at]
        at += 1
        match step.code:
            case 0x20:
                (value,) = struct.unpack_from("<I", data, step.constant)
            case 0x54:
                value &= step.constant
            case 0x15:
                at += step.if_true if value == step.constant else step.if_false
            case 0x35:
                at += step.if_true if value >= step.constant else step.if_false
            case 0x06:
                return step.constant
            case _:
                raise AssertionError(step)


def _verdict(machine: str, number: int, *arguments: int, reading_files: bool = True) -> int:
    program = assemble(allowed_calls(PID, reading_files=reading_files), machine)
    assert len(program) < 4096  # BPF_MAXINSNS
    assert all(max(each.if_true, each.if_false) < 256 for each in program)
    return _run(program, number, arguments, AUDIT[machine])


@pytest.mark.parametrize("machine", MACHINES)
def test_what_an_attacker_needs_is_denied(machine: str) -> None:
    column = ("x86_64", "aarch64").index(machine)
    for name, numbers in FORBIDDEN.items():
        if (number := numbers[column]) is not None:
            verdict = _verdict(machine, number)
            assert verdict == (ENOSYS if number >= 424 else EPERM), name


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_of_another_machine_end_the_process(machine: str) -> None:
    program = assemble(allowed_calls(PID, reading_files=True), machine)
    i386 = 0x40000003
    for other in (i386, *(audit for name, audit in AUDIT.items() if name != machine)):
        assert _run(program, 0, audit=other) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_files_are_opened_for_reading_at_most(machine: str) -> None:
    number = OPENAT[machine]
    directory, close_on_exec = 0o200000, 0o2000000
    assert _verdict(machine, number, 0, 0, 0) == ALLOW
    assert _verdict(machine, number, 0, 0, directory | close_on_exec) == ALLOW
    for flags in (1, 2, 3, 0o100, 0o101, 0o1000, 0o2000, 0o10000000, 0o20200002):
        assert _verdict(machine, number, 0, 0, flags) == EPERM, oct(flags)
    assert _verdict(machine, number, 0, 0, 0, reading_files=False) == EPERM


def test_threads_are_started_and_no_processes() -> None:
    for machine, number in (("x86_64", 56), ("aarch64", 220)):
        assert _verdict(machine, number, 0x3D0F00) == ALLOW  # glibc
        assert _verdict(machine, number, 0x7D0F00) == ALLOW  # musl
        for flags in (0, 17, 0x01200011, 0x4111, 0x10000000, 0x3D0F00 | 0x10000000, 0x3D0F00 & ~0x10000):
            assert _verdict(machine, number, flags) == EPERM, hex(flags)


def test_conditions_on_arguments() -> None:
    high = 1 << 40
    for number, allowed, denied in (
        (44, [(3, 0, 0, 0, 0)], [(3, 0, 0, 0, 1), (3, 0, 0, 0, high)]),  # sendto with an address
        (302, [(0, 7, 0)], [(0, 7, 1), (0, 7, high)]),  # prlimit64 that sets
        (72, [(0, 1030), (0, 1033)], [(0, 8), (0, 10), (0, 4), (0, 1024)]),  # fcntl: F_SETOWN, F_SETSIG, ...
        (16, [(0, 0x5421)], [(0, 0x5412), (0, 0x8912)]),  # ioctl: TIOCSTI, SIOCGIFCONF
        (157, [(15, 1)], [(4, 1), (1, 0), (22, 2)]),  # prctl
        (234, [(PID, 1, 6)], [(PID + 1, 1, 6), (0, 0, 9)]),  # tgkill
    ):
        for arguments in allowed:
            assert _verdict("x86_64", number, *arguments) == ALLOW, (number, arguments)
        for arguments in denied:
            assert _verdict("x86_64", number, *arguments) == EPERM, (number, arguments)
