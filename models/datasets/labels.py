"""Label files of published data sets: rows of CSV, text, Excel and MATLAB files, checked as they are read."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LayoutError(Exception):
    """A folder does not hold the data set as published; the message says what is wrong."""


@dataclass(frozen=True)
class LabeledImage:
    """An image of a data set, as its labels have it.

    Attributes:
        image: its path below the folder of images.
        score: in the data set's unit; None where the data set says not to measure on it.
        reference: path of its reference below the folder of references; None where there is none.
        split: train, validation or test; nothing where the data set is not split.
    """

    image: str
    score: float | None
    reference: str | None = None
    split: str = ""


def csv_rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """The rows of a table with a header that has at least these columns.

    Raises:
        LayoutError: there is no such file, or it has other columns.
    """
    with _present(path).open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.DictReader(file)
        if missing := [column for column in columns if column not in (rows.fieldnames or ())]:
            raise LayoutError(f"{path.name} has no column {missing[0]}.")
        yield from rows


def text_rows(path: Path, separator: str | None = None) -> Iterator[list[str]]:
    """The fields of each line of two fields, empty lines left out; None separates at white space.

    Raises:
        LayoutError: there is no such file, or a line has another number of fields.
    """
    for line in _present(path).read_text(encoding="utf-8", errors="replace").splitlines():
        fields = [field.strip() for field in line.split(separator)]
        if not any(fields):
            continue
        if len(fields) != 2:
            raise LayoutError(f"{path.name} has a line that is not a name and a score: {line[:60]!r}.")
        yield fields


def sheet_rows(path: Path, sheet: str | None, *columns: str) -> Iterator[dict[str, Any]]:
    """The rows of an Excel sheet below the first row that has all of these columns.

    Args:
        path: of the file.
        sheet: its name; None for the first.
        columns: values of others are not given.

    Raises:
        LayoutError: no such file, sheet or columns, or the library for Excel files is not installed.
    """
    _present(path)
    try:
        import openpyxl
    except ModuleNotFoundError:
        raise LayoutError(
            f"{path.name} is an Excel file, which needs the extra `benchmark`: "
            "pip install 'iqa-service[benchmark]'."
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = (book[sheet] if sheet is not None else book.worksheets[0]).iter_rows(values_only=True)
        places: dict[str, int] | None = None
        for row in rows:
            if places is None:
                if set(columns) <= set(row):
                    places = {column: row.index(column) for column in columns}
            elif any(row[place] is not None for place in places.values()):
                yield {column: row[place] for column, place in places.items()}
    except Exception as error:  # likewise of a damaged file
        raise LayoutError(
            f"{path.name} cannot be read as an Excel file with this data set's sheet."
        ) from error
    if places is None:
        raise LayoutError(f"{path.name} has no row with the columns {', '.join(columns)}.")


def matrix(path: Path, name: str) -> NDArray[Any]:
    """The entries of an array of a MATLAB file, in a row; texts are str.

    Raises:
        LayoutError: there is no such file or array.
    """
    from scipy.io import loadmat

    _present(path)
    try:
        found = loadmat(path)[name].ravel()
    except Exception as error:  # of a damaged file scipy raises whatever its parser stumbles over
        raise LayoutError(f"{path.name} cannot be read as a MATLAB file that has {name}.") from error
    if found.dtype != object:
        return np.asarray(found)
    return np.array([str(np.asarray(entry).ravel()[0]) for entry in found])


def number(value: object, path: Path) -> float:
    """A score of a label file.

    Raises:
        LayoutError: it is none.
    """
    try:
        score = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise LayoutError(f"{path.name} has {str(value)[:60]!r} where a score should be.")
    return score


def _present(path: Path) -> Path:
    if not path.is_file():
        raise LayoutError(f"There is no file {path}.")
    return path
