"""The log: lines for people or JSON objects, one per event, on standard error; never image content."""

import json
import logging
import sys
import time
from typing import Any, Final, Literal

_OWN: Final = "fields"


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


def log_fields(logger: logging.Logger, level: int, message: str, **fields: Any) -> None:
    """Logs a message with fields; those that are None are left out."""
    present = {key: value for key, value in fields.items() if value is not None}
    logger.log(level, message, extra={_OWN: present})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, _OWN, {})
