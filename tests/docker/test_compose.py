"""docker-compose.yml: against its schema, the service's settings, and the rules of the house."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.auth.api_keys import parse_keys
from app.settings import PREFIX, Settings, unknown_variables

_ROOT = Path(__file__).parents[2]
_PATH = _ROOT / "docker-compose.yml"
_FETCH_PATH = _ROOT / "docker/compose.fetch.yml"
_TEXT = _PATH.read_text(encoding="utf-8")
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\+)([^}]*))?\}")
_PATIENCE_S = 60
# 5 beyond the drain, and 5 until what is left is killed; see app/supervisor.py and app/processes/child.py
_SUPERVISOR_S = 10
_ELSEWHERE = {
    "docker/haproxy.cfg",
    "docker/patience.lua",
    "docker/prometheus/prometheus.yml",
    "docker/prometheus/rules",
    "docker/grafana/provisioning",
    "docker/grafana/dashboards",
}
"""Mounted files that are not part of the image."""


def _compose(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file as Compose reads it, with these variables set."""
    variables = environment or {}

    def value(match: re.Match[str]) -> str:
        name, operator, word = match.groups()
        given = variables.get(name, "")
        if operator == ":+":
            return word if given else ""
        return given or word or ""

    loaded = yaml.safe_load(_VARIABLE.sub(value, _TEXT))
    assert isinstance(loaded, dict)
    return loaded


_SERVICES: dict[str, dict[str, Any]] = _compose()["services"]
_OURS = [name for name, service in _SERVICES.items() if "build" in service]
_THEIRS = [name for name in _SERVICES if name not in _OURS]


def _seconds(text: str) -> float:
    assert text.endswith("s"), text
    return float(text[:-1])


@pytest.mark.system
def test_it_is_a_compose_file() -> None:
    command = [
        str(Path(sys.executable).with_name("check-jsonschema")),
        "--builtin-schema",
        "vendor.compose-spec",
    ]
    found = subprocess.run(
        [*command, str(_PATH), str(_FETCH_PATH)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_all_are_there() -> None:
    assert _SERVICES.keys() == {"api", "api-gpu", "haproxy", "prometheus", "grafana"}
    assert _OURS == ["api", "api-gpu"]
    assert [name for name, service in _SERVICES.items() if "profiles" in service] == ["api-gpu"]


@pytest.mark.parametrize("variables", [{}, {"CPUS": "4", "API_KEYS_FILE": "docker/secrets/none.txt"}])
@pytest.mark.parametrize("name", _OURS)
def test_its_settings_are_real(name: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    environment = _compose(variables)["services"][name]["environment"]
    assert unknown_variables(environment) == []
    for variable, text in environment.items():
        monkeypatch.setenv(variable, str(text) if text is not None else "")
    settings = Settings()
    assert settings.log_format == "json"
    assert settings.threads == int(variables.get("CPUS", "2"))
    assert settings.api_keys_file == (Path("/run/secrets/api_keys") if variables else None)


def test_variables_of_ours_are_named_as_settings() -> None:
    names = {match[1] for match in _VARIABLE.finditer(_TEXT)} | set(re.findall(r"IQA_[A-Z_]+", _TEXT))
    assert unknown_variables(name for name in names if name.startswith(PREFIX)) == []


@pytest.mark.parametrize("name", _OURS)
def test_there_can_be_several_replicas(name: str) -> None:
    service = _SERVICES[name]
    assert not {"container_name", "ports", "hostname"} & service.keys()
    assert "inside" in service["networks"]


def test_replicas_on_gpus_are_found_by_the_same_name() -> None:
    service = _SERVICES["api-gpu"]
    assert service["networks"]["inside"]["aliases"] == ["api"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", "all", ["gpu"])


@pytest.mark.parametrize("name", _OURS)
def test_a_replica_has_the_time_to_drain(name: str) -> None:
    environment = _SERVICES[name]["environment"]
    drain = float(environment["IQA_DRAIN_DELAY_S"]) + float(environment["IQA_DRAIN_TIMEOUT_S"])
    assert _seconds(_SERVICES[name]["stop_grace_period"]) > drain + _SUPERVISOR_S


@pytest.mark.parametrize("name", _OURS)
def test_what_strangers_send_is_opened_where_there_is_no_way_out(name: str) -> None:
    networks = _compose()["networks"]
    assert [network for network in _SERVICES[name]["networks"] if not networks[network].get("internal")] == []


def test_fetching_adds_hosts_and_a_way_out_and_nothing_else() -> None:
    added = yaml.safe_load(_FETCH_PATH.read_text(encoding="utf-8"))
    assert added.keys() == {"services"}
    assert list(added["services"]) == _OURS
    for name, service in added["services"].items():
        assert service.keys() == {"environment", "networks"}
        assert service["environment"].keys() == {"IQA_FETCH_HOSTS"}
        assert unknown_variables(service["environment"]) == []
        assert set(service["networks"]) == {*_SERVICES[name]["networks"], "outside"}


@pytest.mark.parametrize("name", _SERVICES)
def test_each_has_bounds(name: str) -> None:
    service = _SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert float(service["cpus"]) > 0
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert not {"privileged", "cap_add", "network_mode", "pid", "user"} & service.keys()


@pytest.mark.parametrize("name", _THEIRS)
def test_what_is_not_ours_has_an_exact_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-\w+)?", _SERVICES[name]["image"])


def test_the_start_waits_for_who_is_needed() -> None:
    needs = {name: service.get("depends_on", {}) for name, service in _SERVICES.items()}
    assert {name: set(needed) for name, needed in needs.items() if needed} == {
        "haproxy": {"api", "api-gpu"},
        "grafana": {"prometheus"},
    }
    for needed in needs.values():
        assert all(other["condition"] == "service_healthy" for other in needed.values())
    # One of them is not there: without the profile, or with --scale api=0.
    assert all(other["required"] is False for other in needs["haproxy"].values())


def test_only_the_balancer_can_be_reached_from_other_machines() -> None:
    published = {name: service["ports"] for name, service in _SERVICES.items() if "ports" in service}
    assert published.keys() == {"haproxy", "prometheus", "grafana"}
    for name, ports in published.items():
        assert all(port.startswith("127.0.0.1:") for port in ports) is (name != "haproxy")


def test_mounted_files_are_here_and_read_only() -> None:
    mounts = [mount for service in _SERVICES.values() for mount in service.get("volumes", [])]
    files = [mount.split(":") for mount in mounts if mount.startswith(".")]
    assert all(mode == "ro" for _, _, mode in files)
    assert {source.removeprefix("./") for source, _, _ in files} == _ELSEWHERE
    assert [path for path in sorted(_ELSEWHERE) if not (_ROOT / path).exists()] == []


def test_volumes_and_secrets_that_are_used_are_declared() -> None:
    compose = _compose()
    mounts = [mount for service in _SERVICES.values() for mount in service.get("volumes", [])]
    assert {mount.split(":")[0] for mount in mounts if not mount.startswith(".")} == compose["volumes"].keys()
    assert {name for service in _SERVICES.values() for name in service.get("secrets", [])} == compose[
        "secrets"
    ].keys()
    assert {name for service in _SERVICES.values() for name in service["networks"]} == compose[
        "networks"
    ].keys()


def test_it_starts_without_keys() -> None:
    """Compose wants the file of a secret to be there; this one has none, and is not even looked at."""
    compose = _compose()
    path = _ROOT / compose["secrets"]["api_keys"]["file"]
    assert path.is_file()
    assert parse_keys(path.read_text(encoding="utf-8"), "the file") == []
    assert not compose["services"]["api"]["environment"]["IQA_API_KEYS_FILE"]


def test_keys_are_read_where_compose_puts_them() -> None:
    compose = _compose({"API_KEYS_FILE": "./docker/secrets/api_keys.txt"})
    assert compose["secrets"]["api_keys"]["file"] == "./docker/secrets/api_keys.txt"
    (secret,) = compose["services"]["api"]["secrets"]
    assert compose["services"]["api"]["environment"]["IQA_API_KEYS_FILE"] == f"/run/secrets/{secret}"


def test_policies_are_read_where_compose_puts_them() -> None:
    without, with_some = _compose(), _compose({"POLICIES_FILE": "./policies.toml"})
    assert not without["services"]["api"]["environment"]["IQA_POLICIES_FILE"]
    assert (_ROOT / without["configs"]["policies"]["file"]).is_file()
    assert with_some["configs"]["policies"]["file"] == "./policies.toml"
    (config,) = with_some["services"]["api"]["configs"]
    assert config["source"] == "policies"
    assert with_some["services"]["api"]["environment"]["IQA_POLICIES_FILE"] == config["target"]


def test_the_slim_image_is_a_target_of_the_dockerfile() -> None:
    compose = _compose({"TARGET": "slim", "IQA_RUNTIME": "openvino"})
    assert compose["services"]["api"]["build"]["target"] == "slim"
    assert compose["services"]["api"]["environment"]["IQA_RUNTIME"] == "openvino"
    stages = re.findall(r"^FROM \S+ AS (\S+)", (_ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert "slim" in stages
    assert not _compose()["services"]["api"]["build"]["target"]


def test_the_balancer_listens_where_compose_says() -> None:
    text = (_ROOT / "docker/haproxy.cfg").read_text(encoding="utf-8")
    defaults = dict(re.findall(r"presetenv (\w+) (\S+)", text))
    (port,) = _SERVICES["haproxy"]["ports"]
    assert port.rpartition(":")[2] == defaults["LB_PORT"]
    assert f":{defaults['LB_STATS_PORT']}/" in _SERVICES["haproxy"]["healthcheck"]["test"][-1]
    assert defaults["LB_SERVICE"] == "api"
    assert int(defaults["LB_SERVICE_PORT"]) == Settings().port
    assert defaults["LB_ADMIN_PORT"] == _SERVICES["api"]["environment"]["IQA_ADMIN_PORT"]
    hard_stop = re.search(r"hard-stop-after (\w+)", text)
    assert hard_stop is not None
    assert _seconds(_SERVICES["haproxy"]["stop_grace_period"]) > _seconds(hard_stop[1])


def test_the_balancer_finds_what_it_loads_beside_its_file() -> None:
    text = (_ROOT / "docker/haproxy.cfg").read_text(encoding="utf-8")
    mounted = dict(volume.split(":")[:2] for volume in _SERVICES["haproxy"]["volumes"])
    loaded = re.findall(r"^\s*lua-load (\S+)", text, re.MULTILINE)
    assert loaded
    for name in loaded:
        assert mounted[f"./docker/{name}"] == f"/usr/local/etc/haproxy/{name}"
