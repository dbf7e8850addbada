"""The files of shared metrics: room is made before they are used, and they outlive their processes."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.processes import metric_files

_COUNTING = """
import os, sys
from app.metrics import Metrics
metrics = Metrics()
metrics.decoder_restarts.inc()
metrics.decode_seconds.observe(1.0)
metrics.queued_pixels.set(5)
sys.stdout.write(metrics.render().decode())
sys.stdout.flush()
os._exit(9)
"""


_ALL = """
from app.api.routes import routers
from app.errors import PROBLEMS
from app.metrics import Metrics
metrics = Metrics([f"policy-{number}" for number in range(100)])
for prefix in ("", "/v1"):
    for router, _ in routers():
        for route in router.routes:
            metrics.request_seconds.labels(prefix + route.path).observe(1.0)
            for problem in PROBLEMS.values():
                metrics.requests.labels(prefix + route.path, str(problem.status), problem.slug).inc()
"""


def _values(folder: Path, place: int) -> dict[str, float]:
    """What all processes together count when one more has counted and been killed."""
    environment = {
        **os.environ,
        metric_files.FOLDER_VARIABLE: str(folder),
        metric_files.PLACE_VARIABLE: str(place),
    }
    told = subprocess.run(
        [sys.executable, "-c", _COUNTING], env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 9, told.stderr
    lines = [line.rpartition(" ") for line in told.stdout.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


@pytest.mark.process
def test_the_next_process_in_a_place_goes_on_counting(tmp_path: Path) -> None:
    metric_files.reserve_files(tmp_path, 2)
    files = {path.name: path.stat().st_blocks for path in tmp_path.iterdir()}
    assert len(files) == 2 * 6
    assert all(path.stat().st_blocks * 512 >= path.stat().st_size for path in tmp_path.iterdir())  # no holes
    for count, place in enumerate((0, 1, 0, 0), 1):
        metric_files.forget_gauges(tmp_path, place)
        values = _values(tmp_path, place)
        assert values["iqa_decoder_restarts_total"] == count
        assert values["iqa_decode_seconds_count"] == count
        assert values["iqa_queued_pixels"] == (5 if count == 1 else 10)
        assert {path.name: path.stat().st_blocks for path in tmp_path.iterdir()} == files


@pytest.mark.process
def test_the_gauges_of_a_process_that_ended_do_not_count(tmp_path: Path) -> None:
    metric_files.reserve_files(tmp_path, 2)
    _values(tmp_path, 0)
    metric_files.forget_gauges(tmp_path, 0)
    assert _values(tmp_path, 1)["iqa_queued_pixels"] == 5


@pytest.mark.process
def test_there_is_room_for_all_that_can_be_counted(tmp_path: Path) -> None:
    metric_files.reserve_files(tmp_path, 1)
    files = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    environment = {
        **os.environ,
        metric_files.FOLDER_VARIABLE: str(tmp_path),
        metric_files.PLACE_VARIABLE: "0",
    }
    subprocess.run([sys.executable, "-c", _ALL], env=environment, check=True)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == files


def test_without_room_there_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = Path.write_bytes, [10]

    def scarce(path: Path, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            write(path, data[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", scarce)
    with pytest.raises(OSError, match="No space left"):
        metric_files.reserve_files(tmp_path, 2)
    assert list(tmp_path.iterdir()) == []
    metric_files.forget_gauges(tmp_path, 0)
