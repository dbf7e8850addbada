"""The commands of ``iqa``: ``serve``, ``score``, ``compare``, ``pick``, ``evaluate``, ``train``, and more.

Only the commands themselves import torch, when they run; ``--help`` does not wait for it.
"""

import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from app.commands import keys, weights
from app.commands.benchmark.command import benchmark
from app.commands.calibrate import calibrate_policy
from app.commands.compare import compare_files
from app.commands.evaluate.labels import evaluate
from app.commands.pick.command import pick_files
from app.commands.policies import show_policies
from app.commands.score import score_files
from app.commands.serve import serve_command
from app.commands.train import train_model
from app.cpu import wait_briefly

app = typer.Typer(
    help="How good an image looks, and why.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # joins the lines of a paragraph
    # A plain traceback, for the bug that it is; what can be expected to go wrong ends in a sentence.
    pretty_exceptions_enable=False,
)
for _name, _command in {
    "serve": serve_command,
    "score": score_files,
    "compare": compare_files,
    "pick": pick_files,
    "evaluate": evaluate,
    "benchmark": benchmark,
    "train": train_model,
    "policies": show_policies,
    "calibrate": calibrate_policy,
}.items():
    app.command(_name)(_command)
app.add_typer(weights.weights_app, name="weights")
app.add_typer(keys.keys_app, name="keys")


def _print_version(asked: bool) -> None:
    if asked:
        try:
            print(f"iqa-service {version('iqa-service')}")
        except PackageNotFoundError:  # run from a folder that is not installed
            print("iqa-service, not installed")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def main() -> None:
    """Runs the command of ``sys.argv`` and exits with its status."""
    # Names of files may hold what the terminal's encoding does not.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    wait_briefly()
    # What Pillow thinks of a file is not for the terminal: the file is scored, or is named at the end.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    app()


if __name__ == "__main__":
    main()
