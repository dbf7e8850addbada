"""Whether requests are traced: the variables of OpenTelemetry say so.

OTEL_EXPORTER_OTLP_ENDPOINT, or its variant for traces alone, turns it on. All others keep their meaning, see
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. As long as it is off,
no module of OpenTelemetry's is imported from here.
"""

import importlib.util
import logging
import os
from collections.abc import Mapping
from typing import Final

from app.tracing.request_trace import NO_TRACING, Tracing

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN: Final = "http/protobuf"
_NEEDED: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")

_log = logging.getLogger("iqa.tracing")


def endpoint(environment: Mapping[str, str] | None = None) -> str | None:
    """The variable that asks for traces; None where none does, or another one turns them off."""
    variables = os.environ if environment is None else environment
    disabled = variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or variables.get("OTEL_TRACES_EXPORTER", "").strip().lower() not in ("", "otlp"):
        return None
    return next((name for name in _ENDPOINTS if variables.get(name, "").strip()), None)


def hindrance(environment: Mapping[str, str] | None = None) -> str | None:
    """Why requests are not traced although the environment asks for it, as a sentence; None for no reason."""
    variables = os.environ if environment is None else environment
    name = endpoint(variables)
    if name is None:
        return None
    if not all(map(_is_installed, _NEEDED)):
        return (
            f"{name} is set, but requests are not traced: the extra `otel` is not installed. "
            "Install it (pip install 'iqa-service[otel]') or unset the variable."
        )
    for variable in _PROTOCOLS:
        if protocol := variables.get(variable, "").strip():
            if protocol == _SPOKEN:
                return None
            return (
                f"{variable} is {protocol}, but requests are not traced: only {_SPOKEN} is spoken. "
                f"Unset it, and let {name} name the collector's port for HTTP, usually 4318."
            )
    return None


def begin(**process: str) -> Tracing:
    """What this process tells of its work: to the collector that the environment names, or to nobody.

    Args:
        process: attributes that tell this process from the others of the service.
    """
    if endpoint() is None or hindrance() is not None:  # the supervisor has said why
        return NO_TRACING
    try:
        from app.tracing.exporting import ExportedTracing

        return ExportedTracing(process)
    except Exception as error:  # a variable of theirs has a value that they raise for
        _log.warning("requests are not traced: OpenTelemetry cannot be set up: %s", error)
        return NO_TRACING


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
