"""What docker/kubernetes says agrees with Kubernetes' schemas, with itself, and with the service."""

import hashlib
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from app.api.routes import health, metrics
from app.auth.api_keys import KeyRing
from app.fetching.addresses import may_be_dialed
from app.imaging.limits import Limits
from app.metrics import Metrics
from app.policies import load
from app.settings import PREFIX, Settings, unknown_variables
from tests.app.running import running
from tests.docker.helm import render
from tests.docker.kustomize import Resource, build, pod_of

_ROOT: Final = Path(__file__).parents[2]
_FOLDER: Final = _ROOT / "docker/kubernetes"
_CHART: Final = _ROOT / "docker/helm"
_BUILDS: Final[dict[str, tuple[str, list[str]]]] = {
    "base": ("base", []),
    "gpu": ("overlays/gpu", []),
    "base, keys and monitoring": ("base", ["keys", "monitoring"]),
    "gpu, keys and KEDA": ("overlays/gpu", ["keys", "keda"]),
    "base and fetch": ("base", ["fetch"]),
    "base, policies and slim": ("base", ["policies", "slim"]),
}
"""A folder, and the components that are put on it."""
_RENDERED: Final[dict[str, tuple[list[str], dict[str, Any]]]] = {
    "chart": ([], {}),
    "chart, gpu": (["values-gpu.yaml"], {}),
    "chart, all on": (
        [],
        {
            "image": {"slim": True},
            "keys": {"secret": "iqa-api-keys"},
            "policies": "[mine]\nside = { fail = 200 }\n",
            "serviceMonitor": {"enabled": True},
        },
    ),
}
"""Files of values of the chart beside its own, and what is set by hand."""
_VERSIONS: Final = ("1.30", kubernetes_validate.latest_version())
"""Of Kubernetes: the oldest that the documents name, and the newest that there are schemas of."""
_OTHERS_KINDS: Final = {"ServiceMonitor": "monitoring.coreos.com/v1", "ScaledObject": "keda.sh/v1alpha1"}
"""Not of Kubernetes itself, so without a schema; tests of their own look at what they say."""
_UNITS: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

_DIGEST: Final = r"iqa-settings-[a-z0-9]{10}\b"

_ENDING_S: Final = 10
"""What the supervisor takes at most beyond delay and timeout: 5 s for HTTP processes, 5 s for all others."""

# Of docker/README.sizing.md, in bytes.
_READY: Final = {"base": 1.3e9, "gpu": 4e9}
_DECODER: Final = 0.1e9
_QUEUED_PIXEL: Final = 6
_ENCODED: Final = 2**28


@pytest.fixture(params=[*_BUILDS, *_RENDERED])
def built(request: pytest.FixtureRequest, tmp_path: Path) -> list[Resource]:
    """The resources of each way to use the folder, and the chart."""
    if request.param in _RENDERED:
        return _rendered(request.param)
    return build(_written(request.param, tmp_path))


@pytest.mark.parametrize("version", _VERSIONS)
def test_every_resource_has_its_schema(built: list[Resource], version: str) -> None:
    for resource in built:
        if resource["kind"] in _OTHERS_KINDS:
            assert resource["apiVersion"] == _OTHERS_KINDS[resource["kind"]]
        else:
            kubernetes_validate.validate(resource, version, strict=True)


def test_the_schemas_refuse_what_kubernetes_would() -> None:
    """Else the test above would prove nothing."""
    deployment = _only(build(_FOLDER / "base"), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, _VERSIONS[0], strict=True)


@pytest.mark.system
@pytest.mark.parametrize("name", _BUILDS)
def test_kustomize_builds_the_same(name: str, tmp_path: Path) -> None:
    folder = _written(name, tmp_path)
    text = subprocess.run(
        [*_kustomize(), str(folder)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    theirs, ours = (
        [_in_any_order(resource) for resource in yaml.safe_load_all(re.sub(_DIGEST, "iqa-settings-", each))]
        for each in (text, yaml.safe_dump_all(build(folder)))
    )
    assert sorted(theirs, key=_identity) == sorted(ours, key=_identity)


def test_there_is_one_of_each_and_none_names_a_namespace(built: list[Resource]) -> None:
    identities = [_identity(resource) for resource in built]
    assert len(set(identities)) == len(identities)
    assert not any("namespace" in resource["metadata"] for resource in built)


def test_there_is_one_autoscaler(built: list[Resource]) -> None:
    (autoscaler,) = (each for each in built if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"))
    target = autoscaler["spec"]["scaleTargetRef"]
    deployment = _only(built, "Deployment")
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert target["apiVersion"] == deployment["apiVersion"]
    assert "replicas" not in deployment["spec"], "an update would undo what the autoscaler did"


def test_settings_are_real_and_usable(built: list[Resource], monkeypatch: pytest.MonkeyPatch) -> None:
    variables = _variables(built)
    assert variables
    assert all(name.startswith(PREFIX) for name in variables)
    assert unknown_variables(variables) == []
    settings = _settings(built, monkeypatch)
    assert settings.host == "0.0.0.0"
    assert settings.log_format == "json"


def test_the_settings_that_are_read_are_those_that_are_made(built: list[Resource]) -> None:
    """The name has a digest, so that a change is a rollout."""
    (source,) = _container(built)["envFrom"]
    made = _settings_map(built)["metadata"]["name"]
    assert source["configMapRef"]["name"] == made
    if not re.fullmatch(_DIGEST, made):  # of the chart: there the pods have the digest
        template = _only(built, "Deployment")["spec"]["template"]
        assert re.fullmatch(r"[0-9a-f]{64}", template["metadata"]["annotations"]["checksum/settings"])


def test_no_service_can_change_the_settings(built: list[Resource]) -> None:
    """Kubernetes would set IQA_PORT to `tcp://...` in all pods of a namespace with a Service named `iqa`."""
    assert pod_of(_only(built, "Deployment"))["enableServiceLinks"] is False


def test_what_is_shared_out_by_cores_is_set_to_the_limit(
    built: list[Resource], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = _container(built)["resources"]["limits"]
    settings = _settings(built, monkeypatch)
    cores = float(limits["cpu"])
    assert settings.threads is not None
    assert settings.decode_processes is not None
    assert settings.threads * len(settings.devices) <= cores
    assert settings.decode_processes * settings.http_processes <= cores
    assert ("nvidia.com/gpu" in limits) == settings.devices[0].startswith("cuda")
    assert int(limits.get("nvidia.com/gpu", 1)) == len(settings.devices)


def test_memory_suffices_for_what_the_settings_allow(
    built: list[Resource], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sum of docker/README.sizing.md: where memory ends, Kubernetes ends all processes of the pod."""
    settings = _settings(built, monkeypatch)
    decoders = settings.decode_processes or 0
    most = (
        _READY["gpu" if "cuda:0" in settings.devices else "base"]
        + settings.http_processes * decoders * (_DECODER + Limits.of(settings).decoding_bytes)
        + _QUEUED_PIXEL * settings.queue_pixels
        + settings.intake_bytes
        + settings.cache_bytes
        + settings.reference_cache_bytes
        + (settings.encoded_cache_bytes or _ENCODED)
        + sum(
            _bytes(volume["emptyDir"]["sizeLimit"])
            for volume in pod_of(_only(built, "Deployment"))["volumes"]
            if volume.get("emptyDir", {}).get("medium") == "Memory"
        )
    )
    assert most <= _bytes(_container(built)["resources"]["limits"]["memory"])


def test_what_is_asked_for_is_the_limit(built: list[Resource]) -> None:
    resources = _container(built)["resources"]
    plain = {name: value for name, value in resources["limits"].items() if name != "nvidia.com/gpu"}
    assert resources["requests"] == plain


def test_probes_name_real_routes(built: list[Resource], monkeypatch: pytest.MonkeyPatch) -> None:
    container = _container(built)
    routes = {route.path for route in health.router.routes}  # type: ignore[attr-defined]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    paths = {}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[kind]["httpGet"]
        assert probe["path"] in routes
        assert ports[probe["port"]] == _settings(built, monkeypatch).admin_port
        paths[kind] = probe["path"]
    # A pod that drains or whose worker restarts is not ready, but is no reason to kill it.
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


@pytest.mark.system
def test_the_service_starts_with_these_settings(weights_environment: dict[str, str]) -> None:
    """And answers the probes."""
    built = build(_FOLDER / "base")
    here = {"IQA_HOST": "127.0.0.1", "IQA_PORT": "0", "IQA_DRAIN_DELAY_S": "0"}
    with running({**_variables(built), **weights_environment, **here}) as (server, client):
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert client.get(_container(built)[kind]["httpGet"]["path"]).status_code == 200
        assert len(server.children("app.server")) == int(_variables(built)["IQA_HTTP_PROCESSES"])
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_draining_ends_before_it_is_cut_off(built: list[Resource], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(built, monkeypatch)
    grace_s = pod_of(_only(built, "Deployment"))["terminationGracePeriodSeconds"]
    assert grace_s >= settings.drain_delay_s + settings.drain_timeout_s + _ENDING_S


def test_a_replica_is_not_ready_before_it_stops_listening(
    built: list[Resource], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delay outlasts the readiness probe's failures, for those who go by the pod's readiness."""
    probe = _container(built)["readinessProbe"]
    noticed_s = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert _settings(built, monkeypatch).drain_delay_s > noticed_s


def test_an_update_takes_nobody_away_before_another_is_there(built: list[Resource]) -> None:
    strategy = _only(built, "Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_selectors_find_the_pods(built: list[Resource]) -> None:
    deployment = _only(built, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        _only(built, "Service")["spec"]["selector"],
        _only(built, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        _only(built, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(
            constraint["labelSelector"]["matchLabels"]
            for constraint in pod_of(deployment)["topologySpreadConstraints"]
        ),
    ]
    for selector in selectors:
        assert selector, "this would be every pod"
        assert selector.items() <= labels


def test_ports_are_those_of_the_container(built: list[Resource]) -> None:
    names = {port["name"] for port in _container(built)["ports"]}
    assert {port["targetPort"] for port in _only(built, "Service")["spec"]["ports"]} == names
    for rule in _only(built, "NetworkPolicy")["spec"]["ingress"]:
        assert {port["port"] for port in rule["ports"]} <= names


def test_pods_connect_to_nobody(built: list[Resource]) -> None:
    policy = _only(built, "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    fetches = any(variable["name"] == "IQA_FETCH_HOSTS" for variable in _container(built).get("env", ()))
    assert bool(policy["egress"]) == fetches
    for rule in policy["ingress"]:
        assert rule["from"], "this would be everybody"


def test_pods_that_fetch_reach_the_name_server_and_public_addresses_only(tmp_path: Path) -> None:
    built = build(_written("base and fetch", tmp_path))
    names, public = _only(built, "NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert [each.keys() for each in names["to"]] == [{"namespaceSelector", "podSelector"}]
    (block,) = (each["ipBlock"] for each in public["to"])
    closed = [ipaddress.ip_network(network) for network in block["except"]]
    for text in (
        "10.0.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "127.0.0.1",
    ):
        assert any(ipaddress.ip_address(text) in network for network in closed)
    # Whatever the policy closes, the service would not dial either.
    assert not any(may_be_dialed(network.network_address) for network in closed)
    assert may_be_dialed(ipaddress.ip_address("8.8.8.8"))


def test_pods_may_do_nothing_but_serve(built: list[Resource]) -> None:
    pod, container = pod_of(_only(built, "Deployment")), _container(built)
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == _only(built, "ServiceAccount")["metadata"]["name"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]


def test_volumes_are_there_and_bounded(built: list[Resource]) -> None:
    volumes = {volume["name"]: volume for volume in pod_of(_only(built, "Deployment"))["volumes"]}
    assert {mount["name"] for mount in _container(built)["volumeMounts"]} == set(volumes)
    assert all("sizeLimit" in volume["emptyDir"] for volume in volumes.values() if "emptyDir" in volume)


def test_the_image_is_a_version(built: list[Resource]) -> None:
    name, _, tag = _container(built)["image"].rpartition(":")
    version = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
    slim = "-slim" if _variables(built)["IQA_RUNTIME"] == "openvino" else ""
    assert (name, tag) == ("iqa-service", version + slim)


def test_the_user_is_that_of_the_image(built: list[Resource]) -> None:
    dockerfile = _ROOT / "Dockerfile"
    if not dockerfile.exists():
        pytest.skip("there is no Dockerfile to agree with")
    *_, user = re.findall(r"^USER\s+(\S+)", dockerfile.read_text(), re.MULTILINE)
    context = pod_of(_only(built, "Deployment"))["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert context["fsGroup"] == context["runAsGroup"], "mounted keys could not be read"


def test_keys_are_read_from_where_they_are_mounted(tmp_path: Path) -> None:
    built = build(_written("base, keys and monitoring", tmp_path))
    path = Path(_variables(built)["IQA_API_KEYS_FILE"])
    mount = next(each for each in _container(built)["volumeMounts"] if each["name"] == "keys")
    volume = next(each for each in pod_of(_only(built, "Deployment"))["volumes"] if each["name"] == "keys")
    assert "subPath" not in mount, "it would never change"
    assert path.parent == Path(mount["mountPath"])
    assert path.name in {item["path"] for item in volume["secret"]["items"]}
    assert not volume["secret"].get("optional"), "without keys nobody is to be let in"
    assert volume["secret"]["defaultMode"] == 0o440


def test_policies_are_read_from_where_they_are_mounted(tmp_path: Path) -> None:
    for built in (build(_written("base, policies and slim", tmp_path)), _rendered("chart, all on")):
        path = Path(_variables(built)["IQA_POLICIES_FILE"])
        mounts = {each["name"]: each for each in _container(built)["volumeMounts"]}
        volumes = {each["name"]: each for each in pod_of(_only(built, "Deployment"))["volumes"]}
        assert path.parent == Path(mounts["policies"]["mountPath"])
        assert mounts["policies"]["readOnly"]
        (item,) = volumes["policies"]["configMap"]["items"]
        assert path.name == item["path"]
    (made,) = (each for each in built if each["metadata"]["name"] == volumes["policies"]["configMap"]["name"])
    (tmp_path / "policies.toml").write_text(made["data"][item["key"]])
    assert "mine" in load(tmp_path / "policies.toml")


@pytest.mark.parametrize(("chart", "folder"), [("chart", "base"), ("chart, gpu", "gpu")])
def test_the_chart_is_what_kustomize_builds(chart: str, folder: str, tmp_path: Path) -> None:
    ours, theirs = _rendered(chart), build(_written(folder, tmp_path))
    for each in (ours, theirs):
        # Both see that a change is a rollout, each in its own way.
        _settings_map(each)["metadata"]["name"] = "iqa-settings"
        _container(each)["envFrom"] = []
        _only(each, "Deployment")["spec"]["template"]["metadata"].pop("annotations", None)
    assert sorted(map(_in_any_order, ours), key=_identity) == sorted(
        map(_in_any_order, theirs), key=_identity
    )


def test_the_chart_with_all_is_what_components_make(tmp_path: Path) -> None:
    chart = _rendered("chart, all on")
    keys = build(_written("base, keys and monitoring", tmp_path))
    (tmp_path / "kustomization").rename(tmp_path / "before")
    others = build(_written("base, policies and slim", tmp_path))
    assert _variables(chart) == _variables(others) | _variables(keys) | {"IQA_RUNTIME": "openvino"}
    assert _container(chart)["image"] == _container(others)["image"]
    assert _in_any_order(_only(chart, "ServiceMonitor")) == _in_any_order(_only(keys, "ServiceMonitor"))
    (secret,) = (each for each in pod_of(_only(chart, "Deployment"))["volumes"] if each["name"] == "keys")
    assert secret in pod_of(_only(keys, "Deployment"))["volumes"]


def test_a_change_of_settings_or_policies_is_a_rollout_of_the_chart() -> None:
    templates = [
        _only(render(_CHART, [], values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        for values in ({}, {"settings": {"IQA_CACHE_BYTES": "0"}}, {"policies": "[a]\n"})
    ]
    assert len({json.dumps(each) for each in templates}) == 3


def test_the_chart_has_the_version_of_the_service() -> None:
    chart = yaml.safe_load((_CHART / "Chart.yaml").read_text())
    version = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["appVersion"] == version


def test_changed_keys_are_seen_behind_the_links_of_a_volume(tmp_path: Path) -> None:
    """A Secret's file is a link to a link to a folder, and it is the link in the middle that is replaced."""
    (tmp_path / "keys.txt").symlink_to("..data/keys.txt")
    _publish(tmp_path, "first", "shop")
    now = 0.0
    ring = KeyRing(tmp_path / "keys.txt", None, clock=lambda: now)
    assert [key.name for key in ring.current().keys] == ["shop"]
    _publish(tmp_path, "second", "shop", "press")
    now = 2.0
    assert [key.name for key in ring.current().keys] == ["shop", "press"]


def test_the_autoscaler_asks_for_what_the_adapter_makes() -> None:
    autoscaler = _only(build(_FOLDER / "base"), "HorizontalPodAutoscaler")
    wanted = {metric["pods"]["metric"]["name"] for metric in autoscaler["spec"]["metrics"]}
    rules = _adapter_rules()
    assert wanted == set(rules)
    assert not wanted & _exposed(), "a name would mean two things"
    for rule in rules.values():
        series = rule["seriesQuery"].partition("{")[0]
        assert re.fullmatch(rule["name"]["matches"], series)
        assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


@pytest.mark.parametrize("path", ["prometheus-adapter.yml", "components/keda/scaledobject.yaml"])
def test_queries_name_metrics_that_there_are(path: str) -> None:
    text = re.sub(r"^\s*(#|as:).*$", "", (_FOLDER / path).read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"\biqa_[a-z_]+", text))
    assert named
    assert named <= _exposed()


@pytest.mark.system
def test_adapter_and_keda_compute_what_they_say(tmp_path: Path) -> None:
    """Two replicas of the namespace: one with 6 s of queue and half busy, one idle; a third is elsewhere."""
    namespace = 'namespace="iqa",'
    adapter = {
        name: rule["metricsQuery"]
        .replace("<<.GroupBy>>", "pod")
        .replace("<<.LabelMatchers>>", namespace + 'pod=~"iqa-service-a|iqa-service-b|iqa-service-c"')
        .replace("<<.Series>>", rule["seriesQuery"].partition("{")[0])
        for name, rule in _adapter_rules().items()
    }
    scaled = yaml.safe_load((_FOLDER / "components/keda/scaledobject.yaml").read_text())
    keda = {each["name"]: each["metadata"]["query"] for each in scaled["spec"]["triggers"]}
    _require_values(
        tmp_path,
        [
            *_series("iqa", "iqa-service-a", queued_s=6, busy_s=30, workers=2),
            *_series("iqa", "iqa-service-b", queued_s=0, busy_s=0, workers=1),
            *_series("iqa", "iqa-service-c", queued_s=0, busy_s=0, workers=1),
            *_series("iqa", "another-d", queued_s=60_000_000, busy_s=60, workers=1),
        ],
        {
            adapter["iqa_queue_time_seconds"]: {
                '{pod="iqa-service-a"}': 6,
                '{pod="iqa-service-b"}': 0,
                '{pod="iqa-service-c"}': 0,
            },
            adapter["iqa_device_busy"]: {
                '{pod="iqa-service-a"}': 0.25,
                '{pod="iqa-service-b"}': 0,
                '{pod="iqa-service-c"}': 0,
            },
            keda["queue-time"]: {"{}": 6},
            keda["device-busy"]: {"{}": 0.25},
        },
    )


def test_keda_scales_as_the_autoscaler_does(tmp_path: Path) -> None:
    autoscaler = _only(build(_FOLDER / "overlays/gpu"), "HorizontalPodAutoscaler")["spec"]
    base = _only(build(_FOLDER / "base"), "HorizontalPodAutoscaler")["spec"]
    scaled = _only(build(_written("gpu, keys and KEDA", tmp_path)), "ScaledObject")["spec"]
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == autoscaler["behavior"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (
        base["minReplicas"],
        base["maxReplicas"],
    )
    assert scaled["minReplicaCount"] <= scaled["fallback"]["replicas"] <= autoscaler["maxReplicas"]
    thresholds = [float(trigger["metadata"]["threshold"]) for trigger in scaled["triggers"]]
    assert thresholds == [
        _quantity(metric["pods"]["target"]["averageValue"]) for metric in autoscaler["metrics"]
    ]


def test_prometheus_finds_the_service(tmp_path: Path) -> None:
    built = build(_written("base, keys and monitoring", tmp_path))
    service, monitor = _only(built, "Service"), _only(built, "ServiceMonitor")["spec"]
    selector = monitor["selector"]["matchLabels"]
    assert selector
    assert selector.items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] in {route.path for route in metrics.router.routes}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["README.kubernetes.md", "README.sizing.md"])
def test_documents_name_what_there_is(name: str) -> None:
    text = (_ROOT / "docker" / name).read_text()
    assert unknown_variables(re.findall(r"\bIQA_[A-Z_]+\b", text)) == []
    whole = {name.removesuffix("_sum") for name in _exposed()}
    assert set(re.findall(r"\biqa_[a-z_]+", text)) <= _exposed() | whole | set(_adapter_rules())
    paths = re.findall(r"docker/kubernetes/[\w./-]*\w", text)
    for path in paths:
        assert (_ROOT / path).exists(), path
    for path in re.findall(r"(?:\]\(|--values |tests\.benchmarks\.)([\w./-]+)", text):
        program = _ROOT / "tests/benchmarks" / path
        module = program / "__main__.py" if program.is_dir() else program.with_suffix(".py")
        assert module.exists() or (_ROOT / "docker" / path).exists(), path


@cache
def _exposed() -> set[str]:
    """Names that a query can ask for, before there is a value of each."""
    names: set[str] = set()
    for line in Metrics().render().decode().splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            names |= {name + part for part in parts}
    return names


def _written(name: str, folder: Path) -> Path:
    """A folder with a kustomization for one of the builds."""
    base, components = _BUILDS[name]
    if not components:
        return _FOLDER / base
    place = folder / "kustomization"
    place.mkdir()

    def from_there(path: str) -> str:
        return os.path.relpath(_FOLDER / path, place)

    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [from_there(base)],
        "components": [from_there(f"components/{each}") for each in components],
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(text))
    return place


def _kustomize() -> list[str]:
    """The command that builds a folder; skips the test where there is none, or one too old for components."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if not shutil.which("kubectl"):
        pytest.skip("neither kustomize nor kubectl is installed")
    asked = ["kubectl", "version", "--client", "--output", "json"]
    about = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    version = json.loads(about).get("kustomizeVersion", "v0")
    if int(version.lstrip("v").split(".")[0]) < 5:
        pytest.skip("this kubectl is older than 1.27, and its kustomize than what we test with")
    return ["kubectl", "kustomize"]


def _identity(resource: Resource) -> tuple[str, str]:
    return resource["kind"], resource["metadata"]["name"]


def _in_any_order(value: Any) -> Any:
    """Lists of named things without their order, which means nothing."""
    if isinstance(value, dict):
        return {name: _in_any_order(each) for name, each in value.items()}
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return sorted(map(_in_any_order, value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


def _only(resources: list[Resource], kind: str) -> Resource:
    (resource,) = (each for each in resources if each["kind"] == kind)
    return resource


def _settings_map(resources: list[Resource]) -> Resource:
    (found,) = (
        each
        for each in resources
        if each["kind"] == "ConfigMap"
        and each["metadata"]["name"].startswith("iqa-")
        and not each["metadata"]["name"].endswith("-policies")
    )
    return found


def _rendered(name: str) -> list[Resource]:
    files, values = _RENDERED[name]
    return render(_CHART, files, values)


def _container(resources: list[Resource]) -> dict[str, Any]:
    container: dict[str, Any]
    (container,) = pod_of(_only(resources, "Deployment"))["containers"]
    return container


def _variables(resources: list[Resource]) -> dict[str, str]:
    """The environment of the container; what it names itself wins."""
    own = {each["name"]: each["value"] for each in _container(resources).get("env", ())}
    data: dict[str, str] = _settings_map(resources)["data"]
    return data | own


def _settings(resources: list[Resource], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in _variables(resources).items():
        monkeypatch.setenv(name, value)
    return Settings()


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def _quantity(text: str) -> float:
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _adapter_rules() -> dict[str, dict[str, Any]]:
    """By the name of the metric that they make."""
    rules = yaml.safe_load((_FOLDER / "prometheus-adapter.yml").read_text())["rules"]
    return {rule["name"]["as"]: rule for rule in rules}


def _publish(volume: Path, folder: str, *names: str) -> None:
    """Changes a mounted Secret as the kubelet does."""
    (volume / folder).mkdir()
    lines = [f"{name}:{hashlib.sha256(name.encode()).hexdigest()}\n" for name in names]
    (volume / folder / "keys.txt").write_text("".join(lines))
    (volume / "..new").symlink_to(folder)
    (volume / "..new").rename(volume / "..data")


def _series(
    namespace: str, pod: str, *, queued_s: int, busy_s: int, workers: int
) -> Iterator[dict[str, str]]:
    """A replica's, sampled every 15 s for two minutes; `busy_s` is of each minute, over all workers."""
    labels = f'namespace="{namespace}",pod="{pod}"'
    yield {"series": f"iqa_queued_seconds{{{labels}}}", "values": f"{queued_s}x8"}
    yield {"series": f"iqa_inference_seconds_sum{{{labels}}}", "values": f"0+{busy_s / 4}x8"}
    for worker in range(workers):
        series = f'iqa_budget_pixels{{{labels},worker="{worker}"}}'
        yield {"series": series, "values": "1000000x8"}


def _require_values(folder: Path, series: list[dict[str, str]], queries: dict[str, dict[str, float]]) -> None:
    """Prometheus' own test of what queries give two minutes after the first sample."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed; it comes with Prometheus")
    samples = (
        {
            "expr": query,
            "eval_time": "2m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
        }
        for query, expected in queries.items()
    )
    test = {"interval": "15s", "input_series": series, "promql_expr_test": list(samples)}
    path = folder / "queries.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
