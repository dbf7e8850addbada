"""The programs about many images, each for a moment on tiny weights: they run and count right; no time."""

import json

import pytest

from tests.benchmarks import bulk, bulk_resume
from tests.benchmarks.traces import BLOCK

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _tiny_weights(weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**weights_environment, "IQA_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_the_command_against_the_ceiling(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    before = torch.get_num_threads()
    arguments = ["--trace", "64x48", "--blocks", "1", "--rounds", "2", "--threads", "1", "--policy", "upload"]
    bulk.main([*arguments, "--json"])
    torch.set_num_threads(before)
    figures = json.loads(capsys.readouterr().out)
    assert figures["images"] == BLOCK
    assert len(figures["rounds"]) == 2
    ratios = sorted(pair["command"] / pair["ceiling"] for pair in figures["rounds"])
    assert ratios[0] <= figures["ratio"] <= ratios[1]


@pytest.mark.slow
def test_interrupted_and_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--images", "60", "--interruptions", "2", "--json", "--flags", "--batch-images", "1"]
    assert bulk_resume.main(arguments) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["images"] == figures["rows"] == 60
    assert figures["interruptions"] in (1, 2)  # at 95 % it may be quicker than the signal
    assert figures["missing"] == figures["twice"] == figures["unexpected"] == 0
    assert figures["long_run"]["most_resident_mb"] > 50
