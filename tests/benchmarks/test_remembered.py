"""The program that measures what remembering saves runs, and measures what it says."""

import pytest

from tests.app.running import running
from tests.benchmarks.remembered import KINDS, measure, report


@pytest.mark.process
def test_it_measures_each_kind(weights_environment: dict[str, str]) -> None:
    with running({**weights_environment, "IQA_CACHE_BYTES": None}) as (_, client):
        # It raises where an answer that should have been remembered was not, or one that should not was.
        times = measure(client, (160, 120), rounds=2)
    assert {kind: len(values) for kind, values in times.items()} == dict.fromkeys(KINDS, 2)


def test_the_report_has_the_ratios() -> None:
    text = report(dict(zip(KINDS, ([100.0, 90.0, 110.0], [1.0], [400.0], [200.0]), strict=True)))
    assert "again / first time   0.010" in text
    assert "known / new reference 0.50" in text
