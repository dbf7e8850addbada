"""What `kustomize build` makes of docker/kubernetes, as far as it is used there.

Resources, components, strategic merges (and `$patch: delete`), images, and ConfigMaps from files of settings.
Whatever else a kustomization may say is refused, so that nothing is overlooked. Where kubectl is installed, a
test holds this against it.
"""

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml

Resource = dict[str, Any]

_KNOWN: Final = {"apiVersion", "kind", "resources", "components", "patches", "configMapGenerator", "images"}
_MERGED_BY: Final = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
"""Lists whose elements are merged by a field; Kubernetes knows more, whose patches are refused here."""
_REPLACED: Final = {"tolerations", "items", "egress"}


def build(folder: Path) -> list[Resource]:
    """The resources of a folder with a kustomization.yaml, as they would be applied."""
    resources, settings = _collected(folder)
    named = {name: f"{name}-{_digest(name, data)}" for name, data in settings.items()}
    for name, data in settings.items():
        metadata = {"name": named[name]}
        resources.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    for resource in resources:
        for container in pod_of(resource).get("containers", ()):
            for source in container.get("envFrom", ()):
                reference = source["configMapRef"]
                reference["name"] = named[reference["name"]]
    return resources


def pod_of(resource: Resource) -> dict[str, Any]:
    """The pod's specification inside a resource; empty where it has none."""
    template: dict[str, Any] = resource.get("spec", {}).get("template", {}).get("spec", {})
    return template


def _collected(folder: Path) -> tuple[list[Resource], dict[str, dict[str, str]]]:
    """Resources, and the data of generated ConfigMaps by name."""
    text = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(text) - _KNOWN:
        raise NotImplementedError(f"{folder}: {unknown}")
    resources: list[Resource] = []
    settings: dict[str, dict[str, str]] = {}
    for entry in text.get("resources", ()):
        if (folder / entry).is_dir():
            more, theirs = _collected(folder / entry)
            resources += more
            settings |= theirs
        else:
            resources += yaml.safe_load_all((folder / entry).read_text())
    for entry in text.get("configMapGenerator", ()):
        _generate(entry, folder, settings)
    for entry in text.get("components", ()):
        resources += (component := _Component(folder / entry)).resources
        _patch(resources, component.patches)
    _patch(resources, _patches(folder, text))
    for image in text.get("images", ()):
        _name_image(resources, image)
    return resources, settings


class _Component:
    """A folder with resources and patches that are applied to what others have collected."""

    def __init__(self, folder: Path) -> None:
        text = yaml.safe_load((folder / "kustomization.yaml").read_text())
        if text["kind"] != "Component" or set(text) - {"apiVersion", "kind", "resources", "patches"}:
            raise NotImplementedError(str(folder))
        self.resources = [yaml.safe_load((folder / entry).read_text()) for entry in text.get("resources", ())]
        self.patches = _patches(folder, text)


def _patches(folder: Path, text: dict[str, Any]) -> list[Resource]:
    found = []
    for entry in text.get("patches", ()):
        if set(entry) != {"path"}:
            raise NotImplementedError(f"{folder}: {entry}")
        found.append(yaml.safe_load((folder / entry["path"]).read_text()))
    return found


def _patch(resources: list[Resource], patches: Sequence[Resource]) -> None:
    for patch in patches:
        (index,) = (number for number, each in enumerate(resources) if _same(each, patch))
        if patch.get("$patch") == "delete":
            del resources[index]
        else:
            resources[index] = _merged(resources[index], patch)


def _same(resource: Resource, patch: Resource) -> bool:
    return (resource["apiVersion"], resource["kind"], resource["metadata"]["name"]) == (
        patch["apiVersion"], patch["kind"], patch["metadata"]["name"],
    )  # fmt: skip


def _merged(base: Any, patch: Any, field: str = "") -> Any:
    """A patch over what it patches; `field` is where both stand."""
    if isinstance(base, dict) and isinstance(patch, dict):
        result = dict(base)
        for name, value in patch.items():
            result[name] = _merged(base[name], value, name) if name in base else deepcopy(value)
        return result
    if isinstance(base, list) and field not in _REPLACED:
        key = _MERGED_BY[field]
        result = {each[key]: each for each in base}
        for each in patch:
            result[each[key]] = _merged(result.get(each[key], {}), each)
        return list(result.values())
    return patch


def _generate(entry: dict[str, Any], folder: Path, settings: dict[str, dict[str, str]]) -> None:
    if set(entry) - {"name", "behavior", "envs"}:
        raise NotImplementedError(f"{folder}: {entry}")
    merges = entry.get("behavior", "create") == "merge"
    if merges != (entry["name"] in settings):
        raise ValueError(f"{folder}: {entry['name']} is merged where there is none, or made twice")
    data = settings.setdefault(entry["name"], {})
    for name in entry["envs"]:
        lines = (line.strip() for line in (folder / name).read_text().splitlines())
        data |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _name_image(resources: Sequence[Resource], image: dict[str, str]) -> None:
    if set(image) != {"name", "newTag"}:
        raise NotImplementedError(str(image))
    for resource in resources:
        for container in pod_of(resource).get("containers", ()):
            if container["image"].split(":")[0] == image["name"]:
                container["image"] = f"{image['name']}:{image['newTag']}"


def _digest(name: str, data: dict[str, str]) -> str:
    """Another one than kustomize's, which is its own business; as long, and changed by the same."""
    return hashlib.sha256(json.dumps([name, data], sort_keys=True).encode()).hexdigest()[:10]
