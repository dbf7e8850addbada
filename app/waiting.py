"""How threads wait for one another on a CPU: those of OpenMP that compute, and those of Python.

torch divides an operation among threads that meet at its end. By default whoever is early spins for
milliseconds before it sleeps, which is fast on cores of its own. But here decoding and HTTP want the same
cores: a spinning thread then keeps off the core just the thread that it waits for, and a batch takes ten
times as long (measured on two cores beside one busy process: mean 313 ms instead of 33, against 81 to 89 with
this). libgomp, which torch brings on Linux, reads its variables when it is loaded.
"""

import os
from typing import Final

_SPIN_COUNT: Final = "1000"
"""Turns of the loop, some microseconds: longer than threads in step need, far shorter than a time slice."""

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread of Python that wants to run waits for one that does; :func:`sys.setswitchinterval`."""


def wait_briefly() -> None:
    """Has OpenMP's threads spin briefly, unless the environment says how they are to wait.

    To be called before torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)
