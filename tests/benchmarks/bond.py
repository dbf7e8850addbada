"""``python -m tests.benchmarks.bond COMMAND...``: runs it until the input ends, then ends all it started.

The benchmark that starts it holds the other end of the input, so however the benchmark ends, no server stays
behind. (LitServe's processes outlive the one that started them.) Lines ``stop`` and ``go`` on the input halt
and resume the command's processes meanwhile, as Ctrl-Z does.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import Final

_SIGNALS: Final = {"stop": signal.SIGSTOP, "go": signal.SIGCONT}


def main() -> int:
    # A session of its own is a process group of its own, in which all are reached that did not leave it.
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_obey, args=(process.pid,), daemon=True).start()
    code = process.wait()
    _signal(process.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def _obey(group: int) -> None:
    for line in sys.stdin:
        _signal(group, _SIGNALS[line.strip()])
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
