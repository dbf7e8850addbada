"""The slim installation: the service, its worker and the command line run where there is no torch."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.app.command_line import invoke
from tests.app.files import encoded
from tests.app.running import running
from tests.photographs import named

_ROOT = Path(__file__).parents[2]
_ABSENT = "import sys\nfor name in ('torch', 'torchvision', 'open_clip'):\n    sys.modules[name] = None\n"


def required(*options: str) -> list[Requirement]:
    """What a build of the image installs."""
    command = [sys.executable, "docker/requirements.py", *options, ""]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT, timeout=60)
    return [Requirement(line) for line in printed.stdout.splitlines()]


def with_what_they_need(requirements: list[Requirement]) -> set[str]:
    """Names of all distributions that an installation of these brings, by what is installed here."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    return found


@pytest.mark.process
def test_nothing_of_it_brings_torch() -> None:
    assert {"torch", "torchvision", "open-clip-torch"} <= with_what_they_need(required())
    slim = with_what_they_need(required("--slim"))
    assert not {name for name in slim if name.startswith(("torch", "open-clip", "nvidia", "cuda", "triton"))}
    assert {"openvino", "fastapi", "pillow", "numpy"} <= slim


@pytest.fixture
def slim(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds no torch, and no graph that another one left."""
    (tmp_path / "sitecustomize.py").write_text(_ABSENT, encoding="utf-8")
    return {
        "PYTHONPATH": f"{tmp_path}:{_ROOT}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.process
@pytest.mark.slow
def test_the_service_scores_without_torch(slim: dict[str, str]) -> None:
    coffee = encoded(named()["coffee"], quality=90)
    with running(slim) as (_, client):
        files = {"image": ("coffee.jpg", coffee, "image/jpeg")}
        answer = client.post("/score", files=files)
        assert answer.status_code == 200, answer.text
        pair = {"reference": files["image"], "distorted": ("half.jpg", encoded(named()["coffee"], quality=5))}
        compared = client.post("/compare", files=pair)
        assert compared.status_code == 200, compared.text


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("weights", "export", "--runtime", "eager"), "need PyTorch, which is not installed"),
        (("weights", "inspect", "bundled"), "PyTorch, which is not installed"),
        (("evaluate", "none", "--gate"), "PyTorch, which is not installed"),
    ],
)
def test_what_needs_torch_says_so(slim: dict[str, str], arguments: tuple[str, ...], sentence: str) -> None:
    command = [sys.executable, "-P", "-m", "app.cli", *arguments]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=_ROOT, timeout=120, env={"PATH": "", **slim}
    )
    assert ended.returncode != 0
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_weights_that_were_not_prepared_need_it(
    weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.loading.find_spec", lambda _: None)
    result = invoke("weights", "export", environment={**weights_environment, "IQA_RUNTIME": "eager"})
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "are not prepared for running without PyTorch" in line
