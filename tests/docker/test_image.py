"""The Dockerfile and what it runs, as far as that can be seen without building it."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from app.settings import Settings, unknown_variables
from tests.app.running import Server, eventually
from tests.docker import dockerfile

_ROOT = Path(__file__).parents[2]
_DOCKER = _ROOT / "docker"
_FILE = dockerfile.read(_ROOT / "Dockerfile")
_IMAGE = _FILE.stage("image")  # what the full image and the slim one have in common
_LAYERS = {name: _FILE.stage(name) for name in ("", "slim")}
_PATIENCE_S = 60


def _module(name: str) -> ModuleType:
    """A program of docker/, which is no package: in the build it lies alone."""
    spec = importlib.util.spec_from_file_location(name, _DOCKER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _constraints() -> dict[str, Version]:
    lines = (_DOCKER / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {name: Version(version) for name, version in pins}


def _needed(*extras: str, options: Sequence[str] = ()) -> list[Requirement]:
    """What pyproject.toml asks for, as the build reads it."""
    command = [sys.executable, _DOCKER / "requirements.py", *options, ",".join(extras)]
    printed = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=_ROOT, timeout=_PATIENCE_S
    ).stdout
    return [Requirement(line) for line in printed.splitlines()]


def _ready(port: int | str | None) -> int:
    """The exit status of the health check, asked as the container asks."""
    environment = {"IQA_PORT": str(port)} if port is not None else {}
    command = [sys.executable, "-IS", _DOCKER / "ready.py"]
    return subprocess.run(command, env=environment, timeout=_PATIENCE_S, check=False).returncode


@contextmanager
def _answering(answer: bytes) -> Iterator[int]:
    """The port of a server that gives one client this answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_PATIENCE_S)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(_PATIENCE_S)
                connection.recv(4096)
                connection.sendall(answer)
                connection.recv(1)  # until the client has gone

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(_PATIENCE_S)
            assert not thread.is_alive()


@pytest.mark.system
def test_hadolint_finds_nothing() -> None:
    command = [Path(sys.executable).with_name("hadolint"), "--no-color", "Dockerfile"]
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=_ROOT, timeout=_PATIENCE_S
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_what_may_differ_is_an_argument() -> None:
    assert _FILE.stage("base").base == "${BASE_IMAGE}"
    assert _FILE.arguments["BASE_IMAGE"].startswith("python:3.")
    assert _FILE.arguments["PYTHON"] == "python3"
    torch = _FILE.stage("torch").pairs("ARG")
    assert torch["TORCH_INDEX_URL"] == "", "the build with CUDA works everywhere"
    for stage in ("dependencies", "slim-dependencies"):
        assert _FILE.stage(stage).pairs("ARG")["EXTRAS"] == "heic"
    assert _IMAGE.pairs("ARG").keys() == {"VERSION", "REVISION", "LICENSES"}


def test_an_argument_is_known_where_it_is_used() -> None:
    """What stands before the first stage holds only in those that name it, and buildah inherits no others."""
    for stage in _FILE.stages:
        used = {
            name
            for instruction in stage.all("RUN")
            for name in re.findall(r"\$\{([A-Z_]+)", instruction.text)
            if name.isupper()
        }
        assert used <= stage.pairs("ARG").keys(), stage.name


def test_nothing_of_the_index_gets_into_the_image() -> None:
    for name, layers in _LAYERS.items():
        assert [stage.name for stage in _FILE.ancestors(layers)] == [name, "image", "base"]
    for stage in [*_LAYERS.values(), *_FILE.ancestors(_IMAGE)]:
        assert not any("pip" in instruction.text.lower() for instruction in stage.instructions), stage.name
    assert "://" not in re.sub(r"(?m)^ *#.*$", "", (_ROOT / "Dockerfile").read_text(encoding="utf-8"))


def test_only_the_base_runs_anything_in_the_image() -> None:
    assert all(stage.all("RUN") == [] for stage in (_IMAGE, *_LAYERS.values()))
    (run,) = _FILE.stage("base").all("RUN")
    assert "--no-install-recommends" in run.text
    assert "rm -rf /var/lib/apt/lists/*" in run.text


def test_every_layer_holds_one_thing_and_the_code_comes_last() -> None:
    copies = {
        name: [instruction.text.split() for instruction in stage.all("COPY")]
        for name, stage in _LAYERS.items()
    }
    last = [
        ["--from=service", "/weights", "/opt/iqa/models/weights"],
        ["--from=graphs", "--chown=10001:10001", "/graphs", "/var/lib/iqa"],
        ["--from=service", "/opt/iqa", "/opt/iqa"],
    ]
    assert copies == {
        "": [
            ["--from=torch", "/opt/torch", "/opt/torch"],
            ["--from=dependencies", "/opt/venv", "/opt/venv"],
            *last,
        ],
        "slim": [["--from=slim-dependencies", "/opt/venv", "/opt/venv"], *last],
    }
    assert "mv models/weights /weights" in _FILE.stage("service").all("RUN")[-1].text
    # A change of the code leaves the layers below as they are, so nothing of it comes into their stages.
    needed = {"base", "builder", "torch", "dependencies", "slim-dependencies"}
    early = [stage for stage in _FILE.stages if stage.name in needed]
    copied = {word for stage in early for copy in stage.all("COPY") for word in copy.text.split()[:-1]}
    assert copied == {
        "docker/constraints.txt",
        "docker/tidy.py",
        "pyproject.toml",
        "docker/requirements.py",
    }


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    lines = (_ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    copies = chain.from_iterable(stage.all("COPY") for stage in _FILE.stages)
    copied = {word for copy in copies for word in copy.text.split()[:-1] if "--from" not in copy.text}
    assert {pattern[1:] for pattern in patterns if pattern.startswith("!")} == copied
    assert all((_ROOT / path).exists() for path in copied)


def test_it_is_nobody_in_particular_and_is_told_to_stop() -> None:
    assert _IMAGE.only("USER").text == "10001:10001"
    assert "--uid 10001 " in _FILE.stage("base").only("RUN").text
    assert _IMAGE.only("ENTRYPOINT").words() == ["tini", "--", "iqa"]
    assert _IMAGE.only("CMD").words() == ["serve"]
    assert _IMAGE.only("STOPSIGNAL").text == "SIGTERM"
    assert _IMAGE.only("EXPOSE").text == str(Settings().port)
    check = _IMAGE.only("HEALTHCHECK").text.partition("CMD ")[2]
    assert dockerfile.Instruction("CMD", check).words() == ["ready"]
    assert "docker/ready.py /opt/iqa/bin/ready" in _FILE.stage("service").all("RUN")[-1].text


def test_its_environment_is_of_real_settings() -> None:
    environment = _IMAGE.pairs("ENV")
    assert environment["IQA_HOST"] == "0.0.0.0"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert unknown_variables(environment) == []


def test_it_says_what_it_is() -> None:
    labels = _IMAGE.pairs("LABEL")
    named = {"title", "description", "version", "revision", "licenses"}
    assert labels.keys() == {f"org.opencontainers.image.{name}" for name in named}
    assert all(labels.values())


@pytest.mark.system
def test_every_requirement_has_one_version_that_suits_it() -> None:
    torch = _FILE.stage("torch").pairs("ARG")
    pins = {
        **_constraints(),
        "torch": Version(torch["TORCH_VERSION"]),
        "torchvision": Version(torch["TORCHVISION_VERSION"]),
    }
    declared = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = declared["project"]["optional-dependencies"]  # all of them: make installs by the same file
    needed = _needed(*extras) + [Requirement(line) for line in declared["build-system"]["requires"]]
    assert {"torch", "pillow-heif", "piq", "pytest"} <= {requirement.name for requirement in needed}
    for requirement in needed:
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert pins[name] in requirement.specifier, requirement


def test_torch_is_pinned_by_the_dockerfile_alone() -> None:
    """Each of its indexes has builds of its own, and those for CUDA bring other libraries."""
    assert not {"torch", "torchvision", "triton"} & _constraints().keys()
    assert [name for name in _constraints() if name.startswith(("nvidia-", "cuda-"))] == []


@pytest.mark.system
def test_make_installs_by_the_constraints() -> None:
    # What make would run, were nothing installed yet.
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", "VENV=no-such-folder"]
    for target in ("no-such-folder/installed", "no-such-folder/installed-dev"):
        printed = subprocess.run(
            [*command, target], capture_output=True, text=True, check=True, cwd=_ROOT, timeout=_PATIENCE_S
        ).stdout
        (line,) = (line for line in printed.splitlines() if "--editable" in line)
        assert "install --constraint docker/constraints.txt --editable" in line


@pytest.mark.system
def test_make_leaves_torch_out_of_the_slim_installation() -> None:
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", "SLIM=1", "ARGS=", "serve"]
    printed = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=_ROOT, timeout=_PATIENCE_S
    ).stdout
    assert "docker/requirements.py --slim" in printed
    assert "--requirement .venv-slim/requirements.txt" in printed
    assert "install --constraint docker/constraints.txt --no-deps --editable ." in printed
    assert printed.rstrip().endswith(".venv-slim/bin/iqa serve")
    left_out = {each.name for each in _needed()} - {each.name for each in _needed(options=["--slim"])}
    assert left_out == {"torch", "open_clip_torch"}


@pytest.mark.system
def test_an_extra_that_does_not_exist_ends_the_build() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _needed("no-such-extra")


@pytest.mark.slow
def test_of_openvino_there_remains_what_computes_on_a_cpu() -> None:
    spec = importlib.util.find_spec("openvino")
    assert spec is not None
    assert spec.origin is not None
    libraries = Path(spec.origin).parent / "libs"
    patterns = [pattern for pattern in _module("tidy")._UNUSED if "openvino" in pattern]
    gone = {path for pattern in patterns for path in libraries.parents[1].glob(pattern)}
    assert sum(path.stat().st_size for path in gone) > 50e6, "the libraries have other names now"
    left = {path.name.partition(".")[0] for path in set(libraries.iterdir()) - gone}
    needed = {"libopenvino_intel_cpu_plugin", "libopenvino_ir_frontend", "libopenvino_pytorch_frontend"}
    assert needed <= left


@pytest.mark.system
def test_tidied_folders_are_the_same_in_every_build(tmp_path: Path) -> None:
    tidy = _module("tidy").tidy

    def made(name: str) -> dict[str, tuple[int, float, bytes]]:
        folder = tmp_path / name / "layer"  # the same module at the same place would be too easy
        for path in (
            "triton/compile.py",
            "torch/include/a.h",
            "nvidia/cu13/include/b.h",
            "lib/c.a",
            "scipy/stats/tests/test_stats.py",
            "d.py",
            "triton-3.dist-info/METADATA",
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("VALUE = 1\n", encoding="utf-8")
        (folder / "run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
        (folder / "run.sh").chmod(0o700)
        (folder / "link.py").symlink_to("d.py")
        os.chdir(folder)
        tidy(Path())
        return {
            str(path.relative_to(folder)): (
                path.lstat().st_mode & 0o777,
                path.lstat().st_mtime,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(folder.rglob("*"))
        }

    before = Path.cwd()
    try:
        first, second = made("one"), made("two")
    finally:
        os.chdir(before)
    assert first == second
    compiled = f"__pycache__/d.{sys.implementation.cache_tag}.pyc"
    # Else pip would install it again, with the next layer.
    assert {"d.py", compiled, "run.sh", "triton-3.dist-info/METADATA"} <= first.keys()
    assert (
        not {"triton", "torch/include", "nvidia/cu13/include", "lib/c.a", "scipy/stats/tests"} & first.keys()
    )
    assert (first["d.py"][0], first["run.sh"][0]) == (0o644, 0o755)
    assert {time for _, time, _ in first.values()} == {0.0}
    # PEP 552: by hash, and not held against the source.
    assert int.from_bytes(first[compiled][2][4:8], "little") == 0b01


@pytest.mark.system
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 0),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n200", 1),
        (b"HTTP/1.1 2", 1),  # and then nothing
    ],
)
def test_the_health_check_believes_only_200(answer: bytes, status: int) -> None:
    with _answering(answer) as port:
        assert _ready(port) == status


@pytest.mark.system
def test_the_health_check_fails_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert _ready(port) == 1


@pytest.mark.system
@pytest.mark.slow
def test_the_health_check_sees_the_service_come_and_drain(weights_environment: Mapping[str, str]) -> None:
    server = Server({**weights_environment, "IQA_DEVICES": "cpu", "IQA_DRAIN_DELAY_S": "60"})
    try:
        port = server.wait_ready().rpartition(":")[2]
        assert _ready(port) == 0
        server.signal(signal.SIGTERM)
        eventually(lambda: _ready(port) == 1)
        assert server.process.poll() is None, "it still serves"
    finally:
        server.close()
