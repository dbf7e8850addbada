"""Command-line flags made from the settings: name, default and description stand in one place."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from app.settings import PREFIX, Settings, SettingsError, read_settings
from models.registry import FULL_REFERENCE, spec_of, specs

IN_PROCESS: Final = (
    "models",
    *(spec.setting for spec in specs().values() if spec.weights is None and not spec.full_reference),
    "qualiclip_sha256",
    "devices",
    "dtype",
    "runtime",
    "threads",
    "max_pixels",
    "max_side",
    "min_side",
    "max_aspect",
    "max_frames",
    "max_scored_pixels",
    "batch_pixels",
    "batch_images",
    "decode_processes",
)
"""What matters to a command that scores by itself, without a service."""

PAIR_WEIGHTS: Final = spec_of(FULL_REFERENCE).setting
"""The weights that matter to a command that compares."""


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command a flag for each of these settings, or for all: ``--http-processes``, ``--port``, ...

    The command has an argument ``settings``. It gets those of the environment with the flags over them.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "settings"]
        flags = [_flag(name, Settings.model_fields[name]) for name in names or Settings.model_fields]

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {flag.name: arguments.pop(flag.name) for flag in flags}
            command(settings=_read(given), **arguments)

        parameters = [*own, *flags]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    option = typer.Option(
        "--" + name.replace("_", "-"),
        help=f"{field.description}{_default(field.default)}",
        metavar=_metavar(field.annotation),
        show_default=False,
        rich_help_panel="Settings",
    )
    # All are texts here: the settings check them, and say what is wrong in the same words as elsewhere.
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _read(given: dict[str, str | None]) -> Settings:
    try:
        return read_settings(**given)
    except SettingsError as error:
        # For a flag on the command line the message names the flag, not the variable.
        message = str(error)
        for name, value in given.items():
            if value is not None:
                message = message.replace(f"{PREFIX}{name.upper()}=", f"--{name.replace('_', '-')} ")
        raise SettingsError(message) from error


def _metavar(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if annotation is float:
        return "NUMBER"
    return "INTEGER" if int in (annotation, *get_args(annotation)) else "TEXT"


def _default(value: Any) -> str:
    if value is None or value == ():
        return ""
    return f" Default: {','.join(value) if isinstance(value, tuple) else value}."
