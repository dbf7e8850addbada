"""A decoder whose codec was taken over: instead of decoding, it tries what an attacker would.

``python -m tests.app.imaging.sandbox.probes TARGETS LAYERS DESCRIPTOR MEMORY FILE``. It answers the first
image with what became of each attempt: the name of an error, or "allowed".
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import InvalidImage
from app.imaging.decode import Least, Opened, Picture
from app.imaging.sandbox import __main__ as child
from app.imaging.sandbox import lockdown

SECRET: Final = "IQA_PROBED_SECRET"
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# x86-64, aarch64; from 424 on all architectures agree.
_BY_MACHINE: Final = {
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "add_key": (248, 217),
    "kexec_load": (246, 104),
    "mount": (165, 40),
    "chroot": (161, 51),
    "setns": (308, 268),
    "seccomp": (317, 277),
    "shmget": (29, 194),
    "io_setup": (206, 0),
    "vmsplice": (278, 75),
    "execveat": (322, 281),
    "capset": (126, 91),
    "prlimit64": (302, 261),
    "clone": (56, 220),
}
BY_LANDLOCK: Final = {
    **dict.fromkeys(("read the secret", "read /etc/passwd", "list /", "list the folder"), 1),
    **dict.fromkeys(("read the parent's environment", "read the parent's memory map", "make a folder"), 1),
    **dict.fromkeys(("open the parent's memory", "open a file of the parent", "read the parent's pages"), 1),
    **dict.fromkeys(("make a file", "make a link", "make a hard link", "rename", "remove"), 1),
    **dict.fromkeys(
        ("become a program", "open a file for writing", "write a library", "trace the parent"), 1
    ),
    "empty a file": 3,
    "connect by TCP": 4,
    "connect to a name": 6,
    "signal the parent": 6,
}
"""What Landlock alone denies, and the version since which it does."""
_EVERYWHERE: Final = {
    "io_uring_setup": 425,
    "clone3": 435,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "openat2": 437,
}


@dataclass(frozen=True)
class Targets:
    """What the attempts aim at.

    Attributes:
        parent: the process that started the decoder.
        secret: a file with something worth reading.
        folder: a folder that can be written to.
        port: of a TCP listener on 127.0.0.1.
        unix: path of a Unix socket that listens.
        abstract: name of one without a path.
    """

    parent: int
    secret: str
    folder: str
    port: int
    unix: str
    abstract: str


def command(targets: Targets, layers: str = "landlock seccomp") -> tuple[str, ...]:
    """The command of such a decoder.

    Args:
        targets: of the attempts.
        layers: mechanisms that the kernel is to have; without the others, as on an older one.
    """
    return (sys.executable, "-P", "-m", __spec__.name, json.dumps(asdict(targets)), layers)


def _call(number: int, *arguments: Any) -> None:
    _check(_LIBC.syscall(number, *arguments))


def _check(result: int | None) -> None:
    if result is None or result < 0:
        raise OSError(ctypes.get_errno(), "denied")


def _attempts(aim: Targets, channel: int) -> dict[str, Callable[[], object]]:
    parent = Path(f"/proc/{aim.parent}")
    new = str(Path(aim.folder) / "new")
    buffer = ctypes.create_string_buffer(64)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)  # struct iovec
    there = (ctypes.c_size_t * 2)(id(buffer), 8)
    machine = ("x86_64", "aarch64").index(platform.machine())
    calls: dict[str, Callable[[], object]] = {
        name: lambda number=numbers[machine]: _call(number, 0, 0, 0, 0, 0)
        for name, numbers in _BY_MACHINE.items()
        if name != "prlimit64"
    }
    calls |= {name: lambda number=number: _call(number, 2, 0, 0, 0) for name, number in _EVERYWHERE.items()}
    inet = (socket.AF_INET.to_bytes(2, "little") + aim.port.to_bytes(2, "big") + b"\x7f\0\0\1").ljust(
        16, b"\0"
    )
    return calls | {
        "read the secret": lambda: Path(aim.secret).read_bytes(),
        "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "list /": lambda: os.listdir("/"),  # noqa: PTH208
        "list the folder": lambda: os.listdir(aim.folder),  # noqa: PTH208
        "read the parent's environment": lambda: (parent / "environ").read_bytes(),
        "read the parent's memory map": lambda: (parent / "maps").read_bytes(),
        "open the parent's memory": lambda: os.open(parent / "mem", os.O_RDONLY),
        "read the parent's command line": lambda: (parent / "cmdline").read_bytes(),
        "open a file of the parent": lambda: os.open(parent / "fd" / "1", os.O_RDONLY),
        "read its own environment file": lambda: Path("/proc/self/environ").read_bytes(),
        "open its own memory": lambda: os.open("/proc/self/mem", os.O_RDWR),
        "trace the parent": lambda: _check(_LIBC.ptrace(16, aim.parent, None, None)),
        "read the parent's pages": lambda: _check(_LIBC.process_vm_readv(aim.parent, here, 1, there, 1, 0)),
        "write the parent's pages": lambda: _check(_LIBC.process_vm_writev(aim.parent, here, 1, there, 1, 0)),
        "limit the parent": lambda: _call(
            _BY_MACHINE["prlimit64"][machine], aim.parent, 7, ctypes.byref(buffer), None
        ),
        "signal the parent": lambda: os.kill(aim.parent, 0),
        "signal a thread of the parent": lambda: _check(_LIBC.tgkill(aim.parent, aim.parent, 0)),
        "signal everyone": lambda: os.kill(-1, 0),
        "signal by a file": lambda: fcntl.fcntl(channel, fcntl.F_SETOWN, aim.parent),
        "fork": os.fork,
        "start a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "become a program": lambda: os.execv("/bin/true", ["true"]),
        "a TCP socket": lambda: socket.socket(socket.AF_INET),
        "a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "a Unix socket": lambda: socket.socket(socket.AF_UNIX),
        "a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "a pair of sockets": socket.socketpair,
        "connect the socket that it has": lambda: _check(_LIBC.connect(channel, inet, len(inet))),
        "bind the socket that it has": lambda: _check(_LIBC.bind(channel, inet, len(inet))),
        "send to an address": lambda: _check(_LIBC.sendto(channel, b"x", 1, 0, inet, len(inet))),
        "make a file": lambda: os.open(new, os.O_WRONLY | os.O_CREAT),
        "make a file without a name": lambda: os.open(aim.folder, os.O_WRONLY | os.O_TMPFILE),
        "open a file for writing": lambda: os.open(aim.secret, os.O_WRONLY),
        "empty a file": lambda: os.truncate(aim.secret, 0),
        "make a folder": lambda: os.mkdir(new),  # noqa: PTH102
        "make a link": lambda: os.symlink(aim.secret, new),  # noqa: PTH211
        "make a hard link": lambda: os.link(aim.secret, new),
        "make a pipe": os.pipe,
        "rename": lambda: os.rename(aim.secret, new),  # noqa: PTH104
        "remove": lambda: os.unlink(aim.secret),  # noqa: PTH108
        "remove a folder": lambda: os.rmdir(aim.folder),  # noqa: PTH106
        "change rights": lambda: os.chmod(aim.secret, 0o777),  # noqa: PTH101
        "change the owner": lambda: os.chown(aim.secret, 0, 0),
        "change times": lambda: os.utime(aim.secret),
        "change the folder": lambda: os.chdir(aim.folder),
        "follow a link": lambda: os.readlink("/proc/self/exe"),  # noqa: PTH115
        "write a library": lambda: os.open(json.__file__, os.O_WRONLY),
        "new namespaces": lambda: _check(_LIBC.unshare(0x10000000)),
        "be traced": lambda: _check(_LIBC.ptrace(0, 0, None, None)),
        "be dumped": lambda: _check(_LIBC.prctl(4, 1, 0, 0, 0)),
        "live on after the parent": lambda: _check(_LIBC.prctl(1, 0, 0, 0, 0)),
        "another user": lambda: os.setuid(1),
        "a session of its own": os.setsid,
        "a higher priority": lambda: os.nice(-1),
        "a watch on files": lambda: _check(_LIBC.inotify_init1(0)),
        "memory that outlives it": lambda: os.memfd_create("x"),
        "a letter to the terminal": lambda: fcntl.ioctl(channel, 0x5412, b"x"),
    }


def _connections(aim: Targets) -> dict[str, Callable[[], object]]:

    def connect(family: socket.AddressFamily, address: Any) -> None:
        with socket.socket(family) as connecting:
            connecting.connect(address)

    return {
        "connect by TCP": lambda: connect(socket.AF_INET, ("127.0.0.1", aim.port)),
        "connect to a socket": lambda: connect(socket.AF_UNIX, aim.unix),
        "connect to a name": lambda: connect(socket.AF_UNIX, "\0" + aim.abstract),
    }


def _outcome(attempt: Callable[[], object]) -> str:
    ctypes.set_errno(0)
    try:
        found = attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    if found == 0 and attempt is os.fork:
        os._exit(0)
    return "allowed"


def main() -> int:
    """Runs the decoder."""
    targets, layers, channel = Targets(**json.loads(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    report: dict[str, Any] = {}

    def attack(opened: Opened, least: Least | None = None) -> Picture:
        attempts = _attempts(targets, channel) | _connections(targets)
        if "seccomp" not in layers:  # the others would succeed, to the harm of the test
            attempts = {name: attempts[name] for name in BY_LANDLOCK}
        report.update({name: _outcome(attempt) for name, attempt in attempts.items()})
        report["environment"] = sorted(os.environ)
        raise InvalidImage(json.dumps(report))

    def missing(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSYS, "not on this kernel")

    if "landlock" not in layers:
        vars(lockdown)["restrict_files"] = missing
    if "seccomp" not in layers:
        vars(lockdown)["restrict_calls"] = missing
    if "decode" not in layers:
        Opened.decode = attack  # type: ignore[method-assign]
    return child.main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
