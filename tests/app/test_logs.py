"""The two forms of the log."""

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest

from app.logs import configure_logging, log_fields, request_id


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    others = [logging.getLogger(name) for name in ("PIL", "python_multipart", "py.warnings")]
    before = [(each, each.level, each.filters[:]) for each in others]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger, level, filters in before:
        logger.setLevel(level)
        logger.filters[:] = filters
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


@pytest.mark.parametrize(("form", "shown"), [("json", '"id": "mine"'), ("console", "id=mine")])
def test_every_line_of_a_request_has_its_id(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "console"], shown: str
) -> None:
    configure_logging(form, "info")
    logger = logging.getLogger("iqa.test")
    token = request_id.set("mine")
    logger.info("by a line")
    log_fields(logger, logging.INFO, "with fields", count=1)
    logging.getLogger("library").warning("of a library")
    request_id.reset(token)
    logger.info("after it")
    *lines, after = capsys.readouterr().err.splitlines()
    assert [shown in line for line in lines] == [True] * 3
    assert shown not in after


def test_warnings_of_libraries_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    logging.getLogger("py.warnings").warning("from a library")
    assert json.loads(capsys.readouterr().err)["logger"] == "py.warnings"
    assert sys.stdout is not sys.stderr


def test_what_readers_of_files_and_forms_find_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "debug")
    for name in ("python_multipart.multipart", "PIL.TiffImagePlugin"):
        logging.getLogger(name).error("a bad form, or a bad file")
    for path in ("/lib/PIL/TiffImagePlugin.py", "/lib/other/reader.py"):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn_explicit("it is cut off", UserWarning, path, 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert "/lib/other/reader.py" in json.loads(line)["message"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_clients_send_neither_fills_nor_breaks_a_line(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "console"]
) -> None:
    configure_logging(form, "info")
    path = "/é\n\x1b[2J\u2028\udc80" + "x" * 50_000
    log_fields(logging.getLogger("iqa.test"), logging.INFO, "request", path=path, status=404)
    (line,) = capsys.readouterr().err.rstrip("\n").split("\n")
    assert line.isprintable()
    assert "é" in line
    assert "x" * 150 in line
    assert len(line) < 400


def test_short_fields_are_left_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    log_fields(logging.getLogger("iqa.test"), logging.INFO, "request", path="/" + "x" * 199, sizes=[1, 2])
    entry = json.loads(capsys.readouterr().err)
    assert (entry["path"], entry["sizes"]) == ("/" + "x" * 199, [1, 2])
