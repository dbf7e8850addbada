"""The two forms of the log."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from app.logs import configure_logging, log_fields


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    logger = logging.getLogger("iqa.test")
    log_fields(logger, logging.INFO, "request", id="ü", status=200, slug=None)
    log_fields(logger, logging.DEBUG, "quiet")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("it failed")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["message"], first["id"], first["status"], first["level"]) == ("request", "ü", 200, "info")
    assert first["time"].endswith("Z")
    assert "slug" not in first
    assert "two\nlines" in second["exception"]


def test_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("console", "debug")
    log_fields(logging.getLogger("iqa.test"), logging.DEBUG, "request", status=200)
    assert capsys.readouterr().err.rstrip().endswith("DEBUG   iqa.test: request status=200")


def test_warnings_of_libraries_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    logging.getLogger("py.warnings").warning("from a library")
    assert json.loads(capsys.readouterr().err)["logger"] == "py.warnings"
    assert sys.stdout is not sys.stderr
