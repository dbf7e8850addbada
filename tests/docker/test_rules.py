"""The rules of Prometheus: they do what they say, on series that exist, and each alert has a runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.metrics import Metrics
from tests.docker.watching import DASHBOARD, FOLDER, MISSING, program, rules

_ROOT = FOLDER.parents[1]
_BALANCER = FOLDER.parent / "haproxy.cfg"
_GUIDE = FOLDER.parent / "README.observability.md"
_USED = re.compile(r"\biqa_\w+")
_SUFFIX = re.compile(r"_(total|bucket|sum|count)$")
_FILES = (*(FOLDER / "rules").glob("*.yml"), DASHBOARD)

needs_promtool = pytest.mark.skipif(not program("promtool"), reason=MISSING)


def _promtool(*words: str | Path) -> None:
    done = subprocess.run(
        [program("promtool"), *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _metrics() -> set[str]:
    """Names of all metrics of the service, as Prometheus' types go."""
    return {family.name for family in Metrics()._registry.collect()}


@pytest.mark.system
@needs_promtool
def test_the_configuration_is_accepted() -> None:
    _promtool("check", "config", FOLDER / "prometheus.yml")


@pytest.mark.system
@needs_promtool
def test_the_rules_do_what_they_say() -> None:
    _promtool("test", "rules", *sorted((FOLDER / "tests").glob("*.yml")))


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    """By the tests that promtool runs."""
    files = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in (FOLDER / "tests").glob("*.yml")]
    checks = [check for file in files for test in file["tests"] for check in test["alert_rule_test"]]
    fired = {check["alertname"] for check in checks if check["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules("alerts")}


@pytest.mark.parametrize("rule", rules("alerts"), ids=lambda rule: rule["alert"])
def test_an_alert_says_who_is_to_do_what(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    path, _, anchor = notes["runbook_url"].partition("#")
    assert _ROOT / path == _GUIDE
    assert anchor == rule["alert"].lower()


def test_every_alert_has_a_runbook_and_no_other() -> None:
    guide = _GUIDE.read_text(encoding="utf-8")
    headings = re.findall(r"^### (Iqa\w+)$", guide, re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules("alerts")]


def test_every_metric_is_in_the_guide() -> None:
    listed = re.findall(r"^\| `(iqa_\w+)", _GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(_SUFFIX.sub("", name) for name in listed) == sorted(_metrics())


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_what_is_asked_for_exists(file: Path) -> None:
    used = {_SUFFIX.sub("", name) for name in _USED.findall(file.read_text(encoding="utf-8"))}
    assert len(used) > 8
    assert used <= _metrics()


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_recorded_series_are_recorded(file: Path) -> None:
    used = set(re.findall(r"\biqa:[\w:]+", file.read_text(encoding="utf-8")))
    assert used
    assert used <= {rule["record"] for rule in rules("recording")}


def test_the_balancers_parts_have_the_names_that_are_watched() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in _FILES)
    watched = set(re.findall(r'haproxy_(\w+?)_\w+\{proxy=\\?"(\w+)', text))
    assert {kind for kind, _ in watched} == {"frontend", "backend", "server"}
    configuration = _BALANCER.read_text(encoding="utf-8")
    for kind, name in watched:
        section = "frontend" if kind == "frontend" else "backend"
        assert re.search(rf"^{section} {name}$", configuration, re.MULTILINE), (kind, name)
    (port,) = re.findall(r"presetenv LB_STATS_PORT +(\d+)", configuration)
    assert f"haproxy:{port}" in (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
