"""The files through which several HTTP processes share their metrics, one set for each of their places.

prometheus_client maps them into memory. Left to itself it makes sparse files named after processes: where the
disk is full the first touch of a page ends the process, and each that ends leaves its files behind. So the
supervisor reserves them before it starts a process, and the next process in a place continues its counters.
"""

import os
from pathlib import Path
from typing import Final

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own
PLACE_VARIABLE: Final = "PROMETHEUS_MULTIPROC_PLACE"

_TOTAL_BYTES: Final = 512 * 1024
"""Of the counters, and of the histograms: more than all routes with all their problems take."""
_GAUGE_BYTES: Final = 128 * 1024
_GAUGES: Final = ("gauge_livesum", "gauge_livemax", "gauge_livemin", "gauge_livemostrecent")
_SIZES: Final = {"counter": _TOTAL_BYTES, "histogram": _TOTAL_BYTES} | dict.fromkeys(_GAUGES, _GAUGE_BYTES)


def reserve_files(folder: Path, places: int) -> None:
    """Makes the files of all places, with room on the disk for all that will be in them.

    Raises:
        OSError: there is no room; then there are none of them.
    """
    made: list[Path] = []
    try:
        for place in range(places):
            for kind, size in _SIZES.items():
                made.append(_path(folder, kind, place))
                made[-1].write_bytes(bytes(size))
    except OSError:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def forget_gauges(folder: Path, place: int) -> None:
    """Empties the gauges of a process that has ended. What it counted stays."""
    for kind in _GAUGES:
        try:
            file = os.open(_path(folder, kind, place), os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # nothing could be reserved, or all was deleted
            continue
        try:
            os.pwrite(file, bytes(8), 0)  # the length of what is in it
        finally:
            os.close(file)


def _path(folder: Path, kind: str, place: int) -> Path:
    return folder / f"{kind}_{place}.db"
