"""The thin program for the photographs that packages carry, on tiny weights."""

import json

import pytest

from tests.benchmarks import robustness


@pytest.mark.slow
def test_it_is_evaluate_on_the_photographs_of_packages(
    weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**weights_environment, "IQA_THREADS": "1", "IQA_MAX_SCORED_PIXELS": "10000"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["robustness", "--limit", "1", "--models", "bpclip", "--json"])
    with pytest.raises(SystemExit) as ended:
        robustness.main()
    assert ended.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["photographs"] == 1
    assert {name: found["dtype"] for name, found in printed["models"].items()} == {
        "bpclip": "float32",
        "bpclip-fr": "float32",
    }
