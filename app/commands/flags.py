"""Command-line flags from settings and from dataclasses: name, default and description stand in one place."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

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

        return _with_parameters(run, signature, [*own, *flags])

    return decorate


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an argument or option for each field of a parameter that is a dataclass.

    The fields are annotated as parameters of a Typer command are. The command gets an instance.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and dataclasses.is_dataclass(parameter.annotation)
    }

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        for name, group in groups.items():
            given = {field.name: arguments.pop(field.name) for field in dataclasses.fields(group)}
            arguments[name] = group(**given)
        command(**arguments)

    expanded = [
        each
        for parameter in signature.parameters.values()
        for each in (_options(groups[parameter.name]) if parameter.name in groups else [parameter])
    ]
    return _with_parameters(run, signature, expanded)


def _options(group: type) -> list[inspect.Parameter]:
    annotations = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=annotations[field.name],
        )
        for field in dataclasses.fields(group)
    ]


def _with_parameters(
    run: Callable[..., None], signature: inspect.Signature, parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Return the function as Typer is to see it: with these parameters, all by keyword."""
    by_keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = signature.replace(parameters=by_keyword)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in by_keyword}
    return run


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
