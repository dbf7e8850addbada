"""The log: lines for people or JSON objects, one per event, on standard error; never image content."""

import json
import logging
import re
import sys
import time
from contextvars import ContextVar
from typing import Any, Final, Literal

from app.tracing.request_trace import current_trace

request_id: Final = ContextVar[str | None]("request_id", default=None)
"""Id of the request that is being processed; every line logged meanwhile has it as the field ``id``."""

_OWN: Final = "fields"
_LONGEST_FIELD: Final = 200
"""Characters of a field; a client may send a path of 60,000, and it would stand in the log at its cost."""
_READERS: Final = ("PIL", "python_multipart")
"""Libraries that read what clients send, and log what they find wrong with it. That is no fault of the
service: the client is told, and the request has its line; theirs would tell of folders of the machine."""
_OF_READERS: Final = re.compile(rf"[/\\](?:{'|'.join(_READERS)})[/\\]")


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        line = f"{clock} {record.levelname:<7} {record.name}: {record.getMessage()}"
        line += f" {fields}" if fields else ""
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def configure_logging(form: Literal["console", "json"], level: str) -> None:
    """Sends the log of this process, libraries' warnings included, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Console())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("iqa").setLevel(level.upper())
    logging.captureWarnings(True)
    for name in _READERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("py.warnings").addFilter(_not_of_readers)


def log_fields(logger: logging.Logger, level: int, message: str, **fields: Any) -> None:
    """Logs a message with fields; those that are None are left out, and text is cut where it is long."""
    logger.log(level, message, extra={_OWN: _present(fields)})


def log_exception(logger: logging.Logger, message: str, error: BaseException, /, **fields: Any) -> None:
    """The same about an exception, with where it was raised, as an error."""
    logger.error(message, exc_info=error, extra={_OWN: _present(fields)})


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: _shown(value) for key, value in fields.items() if value is not None}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    of_request = {"id": request_id.get(), "trace_id": current_trace.get().trace_id}
    present = {key: value for key, value in of_request.items() if value is not None}
    return present | getattr(record, _OWN, {})


def _shown(value: Any) -> Any:
    """A field as it may stand in a line: short, and without what would break it or drive a terminal."""
    if not isinstance(value, str) or (len(value) <= _LONGEST_FIELD and value.isprintable()):
        return value
    short = value if len(value) <= _LONGEST_FIELD else value[: _LONGEST_FIELD - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in short)


def _not_of_readers(record: logging.LogRecord) -> bool:
    """Whether a warning comes from elsewhere; its text begins with the file that it is about."""
    return _OF_READERS.search(record.getMessage().partition(": ")[0]) is None
