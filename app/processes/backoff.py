"""How long to wait before a process that does not stay up is started again."""

from typing import Final

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 30.0


def restart_pause_s(failures: int) -> float:
    """Seconds to wait after so many failures in a row, at least one: doubled each time, up to 30 s."""
    return min(_FIRST_S * 2.0 ** min(failures - 1, 16), _LONGEST_S)
