"""Grafana's dashboard as a file: it is whole, and every panel explains itself."""

import json
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.docker.watching import DASHBOARD, FOLDER, panels

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_PROVISIONING = DASHBOARD.parents[1] / "provisioning"
_COLUMNS = 24
_OLDEST_SCHEMA = 36  # of Grafana 9, the first whose data sources are objects everywhere

_BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
_PANELS = panels(_BOARD)


def _provisioned(kind: str, file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((_PROVISIONING / kind / file).read_text(encoding="utf-8"))
    assert found["apiVersion"] == 1
    return found


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    assert _BOARD["schemaVersion"] >= _OLDEST_SCHEMA
    assert _BOARD["uid"] == "iqa-service"
    assert "id" not in _BOARD  # Grafana gives it; a foreign one would clash
    identifiers = [panel["id"] for panel in _BOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    titles = [panel["title"] for panel in _PANELS]
    assert len(set(titles)) == len(titles)


def test_variables_choose_the_source_and_the_replica() -> None:
    variables = {each["name"]: each for each in _BOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "instance", "model"}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    for name in ("instance", "model"):
        assert variables[name]["datasource"] == _DATASOURCE
        assert variables[name]["includeAll"]


def test_panels_lie_side_by_side() -> None:
    for panel in _BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] in range(_COLUMNS)
        assert place["x"] + place["w"] <= _COLUMNS
    for one, other in combinations(_BOARD["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


@pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 15
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    first, *later = defaults["thresholds"]["steps"]
    assert first["value"] is None
    assert [step["value"] for step in later] == sorted(step["value"] for step in later)


@pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_the_chosen_source(panel: dict[str, Any]) -> None:
    assert panel["datasource"] == _DATASOURCE
    assert panel["targets"]
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)
    for target in panel["targets"]:
        assert target["datasource"] == _DATASOURCE
        # A fixed window would be empty or blurred at another zoom; these count events, not their rate.
        assert "[$__rate_interval]" in target["expr"] or "rate(" not in target["expr"]


def test_it_is_provisioned_with_its_source() -> None:
    (source,) = _provisioned("datasources", "prometheus.yml")["datasources"]
    assert source["type"] == "prometheus"
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    assert source["jsonData"]["timeInterval"] == configuration["global"]["scrape_interval"]
    (provider,) = _provisioned("dashboards", "iqa.yml")["providers"]
    assert provider["type"] == "file"
    compose = yaml.safe_load((DASHBOARD.parents[3] / "docker-compose.yml").read_text(encoding="utf-8"))
    mounts = compose["services"]["grafana"]["volumes"]
    assert f"./docker/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    assert "./docker/grafana/provisioning:/etc/grafana/provisioning:ro" in mounts
