"""The program that measures the load balancer runs, and counts right; no figure is judged."""

import json
from pathlib import Path

import pytest

from tests.benchmarks import balancer
from tests.benchmarks.balancer import Figures
from tests.docker.balancing import program


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.skipif(not program(), reason="HAProxy is not installed (Debian: haproxy)")
def test_two_replicas_and_one(
    weights_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in weights_environment.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "figures.json"
    short = ["--trace", "128x96", "--blocks", "1", "--connections", "4"]
    short += ["--requests", "40", "--rounds", "1", "--round-requests", "20"]
    balancer.main([*short, "--out", str(out)])
    figures = json.loads(out.read_text())
    # Two models see each image at its own size.
    assert sum(figures["pixels"]) == 40 * 2 * 128 * 96
    assert min(figures["pixels"]) > 0
    assert len(figures["two"]) == len(figures["one"]) == 1
    assert "40 requests" in capsys.readouterr().out


def test_what_the_figures_say() -> None:
    figures = Figures(requests=10, pixels=(90.0, 110.0), two=(9.0, 8.0, 10.0), one=(10.0, 10.0, 12.0))
    assert figures.apart == pytest.approx(0.2)
    assert figures.ratio == pytest.approx(10 / 12)
