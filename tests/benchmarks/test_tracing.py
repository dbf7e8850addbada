"""The program that measures what traces cost: it counts right; no time."""

import pytest

from tests.benchmarks import tracing
from tests.benchmarks.tracing import Round, Turn


@pytest.mark.pure
def test_ratios_are_medians_of_rounds() -> None:
    rounds = [
        Round(off=Turn(100.0, 0.010), on=Turn(98.0, 0.0102)),
        Round(off=Turn(50.0, 0.020), on=Turn(50.0, 0.020)),
        Round(off=Turn(110.0, 0.010), on=Turn(100.0, 0.011)),
    ]
    said = tracing.report(rounds)
    assert "off   100.00 images/s    10.00 ms" in said
    assert "time on / off       1.020 (1.000 to 1.100)" in said
    assert "processors on / off 1.020 (1.000 to 1.100)" in said


@pytest.mark.slow
@pytest.mark.process
def test_both_are_measured(
    weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**weights_environment, "OTEL_BSP_SCHEDULE_DELAY": "50"}.items():
        monkeypatch.setenv(name, value)
    assert tracing.main(["--trace", "64x48", "--rounds", "1", "--seconds", "0", "--connections", "2"]) == 0
    assert "processors on / off" in capsys.readouterr().out
