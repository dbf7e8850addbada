"""The formats of a file of scores: JSON lines, CSV and Parquet; each is written and read a row at a time.

JSON lines hold the answers as ``POST /score`` gives them; the two others are tables (:mod:`app.bulk.rows`).

A name need not be UTF-8, and CSV and Parquet cannot hold others: there ``\\xNN`` stands for a byte, and a
backslash is doubled, in the few names that have such a byte or ``\\x`` in them. Spreadsheets take a cell that
begins with ``=``, ``+``, ``-`` or ``@`` for a formula: in CSV such a name gets ``./`` before it, which is the
same file, and such a text an apostrophe. Several texts in a cell of CSV have `` | `` between them.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from app.bulk.errors import OutputError
from app.bulk.rows import Row
from app.schemas.columns import BETWEEN_TEXTS, Column
from models.vocabulary import FORMER_DIMENSIONS

if TYPE_CHECKING:
    import pyarrow

_FORMULAS: Final = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "'",
)  # the last one so that every apostrophe can be undone
_ROWS_OF_GROUP: Final = 8192
_METADATA: Final = b"iqa"
_BYTE: Final = re.compile("[\udc80-\udcff]")  # what Python has in the place of a byte that is not UTF-8


class FileFormat(Protocol):
    """How rows are written and read.

    Attributes:
        table: True for flat rows, False for the fields of answers.
    """

    table: bool

    def write(self, rows: Iterable[Row], columns: Sequence[Column], file: BinaryIO, about: str) -> None:
        """Writes a whole file; `about` says where the scores come from, where the format has room for it."""
        ...

    def read(self, path: Path, columns: Sequence[Column]) -> Iterator[Row]:
        """Goes through a whole file.

        Raises:
            OutputError: it is not such a file.
        """
        ...


def format_of(path: Path) -> FileFormat:
    """The format by the end of a name.

    Raises:
        OutputError: there is none of that name, or a library for it is missing.
    """
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return JsonLines()
        case ".csv":
            return Csv()
        case ".parquet":
            return Parquet()
    raise OutputError("--out takes a name that ends in .jsonl, .csv or .parquet.")


class JsonLines:
    """Lines of JSON, in UTF-8. Lines after one that cannot be read are not read either."""

    table = False

    def write(self, rows: Iterable[Row], columns: Sequence[Column], file: BinaryIO, about: str) -> None:
        file.writelines(encoded(row) for row in rows)

    def read(self, path: Path, columns: Sequence[Column]) -> Iterator[Row]:
        with path.open("rb") as file:
            for line in file:
                try:
                    fields = json.loads(with_names_of_today(line)) if line.endswith(b"\n") else None
                except ValueError:
                    return
                if not isinstance(fields, dict) or not isinstance(fields.get("file"), str):
                    return
                yield fields


class Csv:
    """Comma-separated values as in RFC 4180, but for plain newlines; in UTF-8, with a header."""

    table = True

    def write(self, rows: Iterable[Row], columns: Sequence[Column], file: BinaryIO, about: str) -> None:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=False)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(column.name for column in columns)
        for row in rows:
            writer.writerow(_cell(column, row.get(column.name)) for column in columns)
        text.detach()  # the caller owns the file, and closes it

    def read(self, path: Path, columns: Sequence[Column]) -> Iterator[Row]:
        kinds = {column.name: column for column in columns}
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                if list(reader.fieldnames or ()) != list(kinds):
                    raise _other_columns(path.name)
                for cells in reader:
                    yield {name: _value(kinds[name], cell) for name, cell in cells.items()}
        except (csv.Error, KeyError, TypeError, UnicodeDecodeError, ValueError) as error:
            raise OutputError(f"{path.name} is not a table that this program wrote: {error}.") from error


class Parquet:
    """Parquet, in groups of a few thousand rows.

    Raises:
        OutputError: pyarrow is not installed.
    """

    table = True

    def __init__(self) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError:
            raise OutputError(
                "Parquet needs the extra `parquet`, which is not installed: "
                "pip install 'iqa-service[parquet]'. Without it there are .csv and .jsonl."
            ) from None

    def write(self, rows: Iterable[Row], columns: Sequence[Column], file: BinaryIO, about: str) -> None:
        import pyarrow
        from pyarrow import parquet

        schema = arrow_schema(columns).with_metadata({_METADATA: about.encode()})
        coming = iter(rows)
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            while group := list(islice(coming, _ROWS_OF_GROUP)):
                for row in group:
                    row["file"] = written_name(row["file"])
                writer.write_table(pyarrow.Table.from_pylist(group, schema))

    def read(self, path: Path, columns: Sequence[Column]) -> Iterator[Row]:
        with path.open("rb") as file:
            yield from self.read_open(file, path.name, columns)

    def read_open(self, source: BinaryIO, name: str, columns: Sequence[Column]) -> Iterator[Row]:
        """Goes through a file that is open.

        Raises:
            OutputError: it is not such a file.
        """
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(source) as file:
                if file.schema_arrow.names != [column.name for column in columns]:
                    raise _other_columns(name)
                for batch in file.iter_batches(_ROWS_OF_GROUP):
                    for row in batch.to_pylist():
                        yield {**row, "file": read_name(row["file"])}
        except pyarrow.ArrowException as error:
            raise OutputError(f"{name} is not a Parquet file that can be read.") from error


def encoded(row: Row) -> bytes:
    """A line of JSON. Names that are not UTF-8 are kept: JSON escapes what stands for such bytes."""
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def with_names_of_today(line: bytes) -> bytes:
    """A line of JSON in which dimensions that an earlier version named otherwise have the names of today."""
    for former, today in FORMER_DIMENSIONS.items():
        # Only keys and the values of `dimension`: JSON escapes the quotation marks within a file's name.
        line = line.replace(f'{former}":'.encode(), f'{today}":'.encode())
        line = line.replace(f'"dimension": "{former}"'.encode(), f'"dimension": "{today}"'.encode())
    return line


def written_name(name: str) -> str:
    """A file's name as text that can be stored, and that no other name is stored as."""
    if "\\x" not in name and not _BYTE.search(name):
        return name
    return _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", name.replace("\\", "\\\\"))


def read_name(text: str) -> str:
    """The name that was stored."""
    if "\\x" not in text:
        return text
    return re.sub(
        r"\\(\\|x([0-9a-f]{2}))",
        lambda found: chr(0xDC00 + int(found[2], 16)) if found[2] else "\\",
        text,
    )


def _other_columns(name: str) -> OutputError:
    return OutputError(
        f"{name} has other columns than this program writes, as tables of earlier versions have. Give "
        "another file, or --overwrite."
    )


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.name == "file":
        name = written_name(value)
        return f"./{name}" if name.startswith(_FORMULAS) else name
    if column.kind == "texts":
        value = BETWEEN_TEXTS.join(value)
    text = str(value)
    return f"'{text}" if column.kind in ("text", "texts") and text.startswith(_FORMULAS) else text


def _value(column: Column, cell: str) -> Any:
    if column.name == "file":
        return read_name(cell).removeprefix("./")
    if column.kind == "whole":
        return int(cell) if cell else None
    if column.kind == "number":
        return float(cell) if cell else None
    text = cell[1:] if cell.startswith("'") else cell
    if column.kind == "texts":
        return text.split(BETWEEN_TEXTS) if text else []
    return text or None


def arrow_schema(columns: Sequence[Column]) -> "pyarrow.Schema":
    """The columns as Arrow and Parquet have them."""
    import pyarrow

    types = {
        "text": pyarrow.string(),
        "texts": pyarrow.list_(pyarrow.string()),
        "whole": pyarrow.int64(),
        "number": pyarrow.float64(),
    }
    return pyarrow.schema([
        pyarrow.field(column.name, types[column.kind], metadata={"description": column.meaning})
        for column in columns
    ])  # fmt: skip
