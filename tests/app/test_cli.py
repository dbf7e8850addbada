"""The command line as a whole: help, flags, settings, errors; and ``iqa serve``."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import typer

import app.supervisor
from app.commands.terminal import INTERRUPTED, PIPE_CLOSED, UNUSABLE, CommandFailure, Meter, reported
from app.printable import shown
from app.settings import Settings
from models.checkpoints.errors import WeightsNotFound
from tests.app.command_line import ROOT, invoke, start


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that the service was started with, which is not really started."""
    started: list[Settings] = []

    def serve(settings: Settings) -> int:
        started.append(settings)
        return 0

    monkeypatch.setattr(app.supervisor, "serve", serve)
    return started


def test_help_names_the_commands() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for command in ("serve", "score", "compare", "evaluate", "train", "policies", "weights", "keys"):
        assert command in result.stdout


@pytest.mark.process
def test_help_does_not_wait_for_slow_imports() -> None:
    command = "import sys, app.cli; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=ROOT
    )
    slow = {
        "torch",
        "numpy",
        "scipy",
        "PIL",
        "fastapi",
        "starlette",
        "open_clip",
        "timm",
        "httpx",
        "uvicorn",
        "zmq",
    }
    assert slow & set(found.stdout.split()) == set()


def test_the_version_is_printed() -> None:
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("iqa-service")


def test_there_is_a_flag_for_every_setting() -> None:
    text = invoke("serve", "--help", environment={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).stdout
    missing = [name for name in Settings.model_fields if f"--{name.replace('_', '-')} " not in text]
    assert missing == []
    assert "Port to listen on; 0 takes a free one. Default: 8000." in text


def test_flags_win_over_the_environment(served: list[Settings]) -> None:
    arguments = ("--port", "9000", "--models", "bpclip", "--qualiclip-weights", "x.safetensors")
    environment = {"IQA_PORT": "8100", "IQA_HOST": "0.0.0.0", "IQA_MODELS": "qualiclip"}
    result = invoke("serve", *arguments, environment=environment)
    assert result.exit_code == 0, result.stderr
    (settings,) = served
    assert (settings.port, settings.host, settings.models) == (9000, "0.0.0.0", ("bpclip",))
    assert settings.model_dump()["qualiclip_weights"] == "x.safetensors"


def test_the_exit_status_is_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.supervisor, "serve", lambda settings: 1)
    assert invoke("serve").exit_code == 1


def test_a_wrong_flag_is_named_as_a_flag_and_a_wrong_variable_as_a_variable(served: list[Settings]) -> None:
    result = invoke("serve", "--http-processes", "0", environment={"IQA_DTYPE": "float8"})
    assert result.exit_code == UNUSABLE
    assert "--http-processes 0 is not usable" in result.stderr
    assert "IQA_DTYPE=float8 is not usable" in result.stderr
    assert served == []


@pytest.mark.process
def test_official_weights_are_fetched_in_sight_before_the_service_starts(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    status = 1

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(subprocess, "run", run)
    assert invoke("serve", "--qualiclip-weights", "official").exit_code == UNUSABLE
    assert commands[0][-3:] == ["weights", "fetch", "official"]
    assert served == []
    status = 0
    assert invoke("serve", "--qualiclip-weights", "official").exit_code == 0
    assert len(served) == 1
    invoke("serve", "--qualiclip-weights", "official", "--models", "bpclip")
    assert len(commands) == 2


@pytest.mark.process
def test_a_port_in_use_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        output, errors = start("serve", "--port", port, environment={}).communicate(timeout=60)
    assert output == ""
    assert f"127.0.0.1:{port} is already in use" in errors
    assert len(errors.splitlines()) == 1


def _raising(error: BaseException) -> Callable[[], None]:
    @reported
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (CommandFailure("It is so."), "It is so.\n"),
        (WeightsNotFound("There are none."), "There are none.\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x\n.csv"),
            "x\\n.csv: No such file or directory.\n",
        ),
        (OSError("broken"), "broken.\n"),
        (MemoryError(), "There is not enough memory.\n"),
    ],
)
def test_what_can_be_expected_is_a_sentence(
    error: Exception, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit_:
        _raising(error)()
    assert exit_.value.exit_code == UNUSABLE
    assert capsys.readouterr().err == sentence


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        _raising(ZeroDivisionError())()


def test_an_interrupt_has_its_status_and_a_short_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_:
        _raising(KeyboardInterrupt())()
    assert exit_.value.exit_code == INTERRUPTED
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.process
def test_a_closed_pipe_is_quiet() -> None:
    # In a process of its own: standard output is put elsewhere for good.
    command = (
        "import typer; from app.commands.terminal import reported\n"
        "@reported\n"
        "def command():\n"
        "    raise BrokenPipeError(32, 'Broken pipe')\n"
        "typer.run(command)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (PIPE_CLOSED, "", "")


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("é ü.jpg", "é ü.jpg"),
        ("two\nlines.jpg", "two\\nlines.jpg"),
        ("\x1b[31mred.jpg", "\\x1b[31mred.jpg"),
        ("not\udcffutf8.jpg", "not\\udcffutf8.jpg"),
    ],
)
def test_names_are_printed_on_one_line_and_harmless(name: str, printed: str) -> None:
    assert shown(name) == printed


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Meter("scoring", 100) as meter:
        for _ in range(20):
            now += 1.0
            meter.advance(2)
            meter.print("a result")
    printed = capsys.readouterr()
    assert printed.out == "a result\n" * 20
    assert printed.err.splitlines() == [
        "scoring: 10 of 100 images, 2.0/s, 45 s left",
        "scoring: 20 of 100 images, 2.0/s, 40 s left",
        "scoring: 30 of 100 images, 2.0/s, 35 s left",
        "scoring: 40 of 100 images, 2.0/s, 30 s left",
    ]


def test_progress_of_a_resumed_download_counts_what_came_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Meter("downloading", None, "bytes") as meter:
        meter.reach(100_000_000, 400_000_000)
        now = 10.0
        meter.reach(120_000_000, 400_000_000)
    assert capsys.readouterr().err == "downloading: 120.0 of 400.0 MB, 2.0/s, 140 s left\n"


@pytest.mark.parametrize(("total", "left"), [(1000, "495 s"), (2000, "17 min"), (100_000, "13 h 53 min")])
def test_a_nights_work_is_not_counted_in_seconds(
    total: int, left: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Meter("scoring", total) as meter:
        now = 5.0
        meter.advance(10)
    assert capsys.readouterr().err == f"scoring: 10 of {total} images, 2.0/s, {left} left\n"
