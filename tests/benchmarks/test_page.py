"""The program that measures the page runs, and measures what it says."""

import pytest

from tests.app.web.browser import CHROMIUM
from tests.benchmarks.page import Times, at_once, one_by_one, report, subject
from tests.benchmarks.remembered import files_of


@pytest.mark.system
@pytest.mark.skipif(not CHROMIUM.exists(), reason="the page is measured in Chromium, which is not installed")
def test_it_measures_one_photograph_and_many(weights_environment: dict[str, str]) -> None:
    files = files_of((160, 120))
    with subject(dict(weights_environment)) as (page, client):
        times = one_by_one(page, client, files, rounds=2)
        many = at_once(page, files, many=6)
    for kind in (times.shown, times.sent, times.service, times.client):
        assert len(kind) == 2
    assert all(shown > service > 0 for shown, service in zip(times.shown, times.service, strict=True))
    assert all(shown > sent >= 0 for shown, sent in zip(times.shown, times.sent, strict=True))
    assert many["frames"] > 0
    assert many["milliseconds"] > many["drop"] > 0


def test_the_report_has_what_the_page_adds() -> None:
    many = {"milliseconds": 9000.0, "drop": 1.0, "tasks": 2.0, "longest": 61.0, "gap": 80.0, "frames": 500.0}
    text = report(
        Times(shown=[120.0, 150.0], sent=[1.0, 1.0], service=[100.0, 110.0], client=[90.0, 90.0]), many
    )
    assert "added by the page          median    30.0 ms, worst 40.0 ms" in text
    assert "2 tasks over 50 ms, the longest 61 ms" in text
