"""``iqa serve``: the service, until it is told to stop."""

import subprocess
import sys

import typer

from app.commands.flags import with_settings
from app.commands.terminal import UNUSABLE, reported
from app.settings import Settings


@reported
@with_settings()
def serve_command(settings: Settings) -> None:
    """Start the HTTP service.

    Every flag wins over its environment variable, which has the same name: --port over IQA_PORT.

    Exit status: 0 after SIGTERM or Ctrl-C, once what was accepted is answered; 1 if it cannot start; 2 for
    wrong settings.
    """
    from app.supervisor import serve as run_service

    if "official" in settings.sources().values():
        _fetch_official(settings.qualiclip_sha256)
    raise typer.Exit(run_service(settings))


def _fetch_official(sha256: str | None) -> None:
    """Has the weights downloaded where they can be seen to come: inference processes load without a word."""
    # A process of its own, so that the one that stays does not hold torch.
    command = [sys.executable, "-P", "-m", "app.cli", "weights", "fetch", "official"]
    if sha256 is not None:
        command += ["--sha256", sha256]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise typer.Exit(UNUSABLE)
