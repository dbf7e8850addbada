"""The distribution iqa-client: built, installed without the service, used beside another package ``app``."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools import find_namespace_packages

import app.client
from tests.app.files import encoded
from tests.photographs import named

_ROOT = Path(__file__).parents[3]
_PROJECT = _ROOT / "app/client/wheel"
_PATIENCE_S = 240


def _declared(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def _run(command: list[str | Path], folder: Path) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))
    }
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=_PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _with_dependencies(names: set[str]) -> set[str]:
    """Distributions, and everything that they require here."""
    found: set[str] = set()
    line = sorted(names)
    while line:
        name = canonicalize_name(line.pop())
        if name in found:
            continue
        found.add(name)
        required = map(Requirement, metadata.requires(name) or [])
        line += [each.name for each in required if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as an installer has it built."""
    folder = tmp_path_factory.mktemp("dist")
    program = "import backend, sys; backend.build_wheel(sys.argv[1])"
    # The first entry of the path is the current folder, as backend-path says.
    _run([sys.executable, "-c", program, folder], _PROJECT)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel and what it requires, and nothing more."""
    folder = tmp_path_factory.mktemp("alone") / "venv"
    _run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    for name in _with_dependencies({"httpx", "pydantic"}):
        installed = metadata.distribution(name)
        for top in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            (packages / top).symlink_to(str(installed.locate_file(top)))
    return folder / "bin/python"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a program is that has packages ``app`` and ``models`` of its own, and two photographs."""
    for name in ("app", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n", encoding="utf-8")
    (tmp_path / "good.jpg").write_bytes(encoded(named()["chelsea"], quality=92))
    (tmp_path / "bad.jpg").write_bytes(encoded(named()["chelsea"], quality=5))
    return tmp_path


@pytest.mark.process
def test_the_wheel_is_typed_licensed_and_has_the_service_s_version(wheel: Path) -> None:
    version = _declared(_ROOT)["project"]["version"]
    assert wheel.name == f"iqa_client-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = f"iqa_client-{version}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"iqa_client", about}
    assert {"iqa_client/py.typed", f"{about}/licenses/LICENSE"} <= names
    copied = {name.removeprefix("iqa_client/") for name in names if name.endswith(".py")}
    modules = {
        path.relative_to(_ROOT / "app").as_posix().removeprefix("client/")
        for part in ("client/*.py", "schemas/**/*.py")
        for path in (_ROOT / "app").glob(part)
    }
    of_science = ("__init__", "vocabulary", "calibration", "faults", "grades")
    science = {f"science/{name}.py" for name in of_science}
    assert copied == modules | science | {"version.py"}


def test_it_requires_httpx_and_pydantic_as_the_service_does() -> None:
    required = _declared(_PROJECT)["project"]["dependencies"]
    assert {Requirement(line).name for line in required} == {"httpx", "pydantic"}
    assert set(required) <= set(_declared(_ROOT)["project"]["dependencies"])


def test_the_service_is_installed_without_the_client_s_build() -> None:
    chosen = _declared(_ROOT)["tool"]["setuptools"]["packages"]["find"]
    found = set(find_namespace_packages(str(_ROOT), **chosen))
    assert {"app.client", "app.web", "models"} <= found
    assert [name for name in found if name.startswith("app.client.")] == []


@pytest.mark.process
def test_a_part_of_the_service_cannot_get_into_the_wheel(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("from app.client import Client\nimport app.settings\n", encoding="utf-8")
    program = "import backend, pathlib, sys; backend._copy(*map(pathlib.Path, sys.argv[1:]))"
    with pytest.raises(AssertionError, match=r"module\.py imports app\.settings; add it to _MODULES"):
        _run([sys.executable, "-c", program, module, tmp_path / "copy.py"], _PROJECT)


_PROGRAM = """
import asyncio, json, pickle, sys
import app, iqa_client, models
from iqa_client import AsyncClient, Client, Problem
from iqa_client.version import version

async def model_names(url):
    async with AsyncClient(url) as client:
        return [model.name for model in (await client.models()).models]

with Client(sys.argv[1]) as client:
    answer = client.score("good.jpg", policy="upload")
    many = list(client.score_many(["good.jpg", "no-such.jpg"], models="bpclip"))
    many.sort(key=lambda each: each.index)
    try:
        client.score(b"no image")
    except Problem as error:
        problem = pickle.loads(pickle.dumps(error))
    ssim = client.compare("good.jpg", "bad.jpg").signal.ssim
print(json.dumps({
    "mine": [app.MINE, models.MINE],
    "version": version(),
    "exported": iqa_client.__all__,
    "score": answer.score,
    "verdict": answer.verdict.policy,
    "models": sorted(asyncio.run(model_names(sys.argv[1]))),
    "many": [str(each.problem) if each.problem else "" for each in many],
    "ssim": ssim,
    "pickled": [pickle.loads(pickle.dumps(answer)) == answer, pickle.loads(pickle.dumps(many[0])) == many[0]],
    "problem": [problem.slug, problem.status, problem.of_image],
    "loaded": sorted(name for name in sys.modules if name.partition(".")[0] in ("app", "models", "numpy")),
}))
"""


@pytest.mark.process
def test_it_works_beside_packages_called_app_and_models(
    client: httpx.Client, python: Path, folder: Path
) -> None:
    (folder / "program.py").write_text(_PROGRAM, encoding="utf-8")
    said = json.loads(_run([python, "program.py", str(client.base_url)], folder))
    assert 0 <= said.pop("score") <= 1
    assert said.pop("ssim") < 0.99
    assert said == {
        "mine": [True, True],
        "version": _declared(_ROOT)["project"]["version"],
        "exported": app.client.__all__,
        "verdict": "upload",
        "models": ["bpclip", "bpclip-fr", "qualiclip"],
        "many": ["", "no-such.jpg: There is no such file."],
        "pickled": [True, True],
        "problem": ["unsupported-media-type", 415, True],
        "loaded": ["app", "models"],
    }


_TYPED = """
from typing import assert_type
from iqa_client import Client, CompareAnswer, ScoreAnswer, Verdict, Words

def judged(client: Client, models: Words) -> Verdict | None:
    answer = client.score("good.jpg", models=models)
    assert_type(answer, ScoreAnswer)
    assert_type(answer.score, float)
    assert_type(client.compare(b"", b""), CompareAnswer)
    return answer.verdict
"""


@pytest.mark.process
@pytest.mark.slow
def test_programs_are_checked_with_its_types(python: Path, tmp_path: Path) -> None:
    # Apart from the fixture's packages: mypy would take this program's `app` for what it checks.
    (tmp_path / "program.py").write_text(_TYPED, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache"]
    _run([*command, "--config-file", "", "--python-executable", python, "program.py"], tmp_path)
