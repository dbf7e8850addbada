"""The formats: what is written is read again, whatever the names; and what a spreadsheet would make of it."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bulk.errors import OutputError
from app.bulk.file_formats import Csv, FileFormat, JsonLines, Parquet, format_of, read_name, written_name
from app.bulk.rows import Row
from app.schemas.columns import columns
from tests.app.bulk.rows import MODELS, row, verdict

NAMES = [
    "photos/a.jpg",
    'a,b "c".jpg',
    "two\nlines\r.jpg",
    "\udcff\udc80.jpg",
    "literal\\xff.jpg",
    "back\\slash.jpg",
    "=cmd|' /C calc'!A0.jpg",
    "+1.jpg",
    "-1.jpg",
    "@sum.jpg",
    "'quoted.jpg",
    "\ttab.jpg",
    " | bar.jpg",
    "é 日本 \u2028.jpg",
    "\x1b[31mred.jpg",
]
_COLUMNS = columns(MODELS)


def _rows() -> list[Row]:
    rows: list[Row] = [
        row(
            name,
            0.123456,
            warnings=["scaled-down: a, b; c.", "=almost-uniform"],
            verdict=verdict("fail", "It is not sharp.", "+ too dark"),
        )
        for name in NAMES
    ]
    return [*rows, row("plain.jpg"), {"file": "bad.jpg", "problem": "-The image is empty."}]


@pytest.mark.parametrize("form", [JsonLines(), Csv(), Parquet()], ids=["jsonl", "csv", "parquet"])
def test_what_is_written_is_read(form: FileFormat, tmp_path: Path) -> None:
    path = tmp_path / "scores"
    with path.open("wb") as file:
        form.write(iter(_rows()), _COLUMNS, file, "{}")
    found = list(form.read(path, _COLUMNS))
    assert [each["file"] for each in found] == [*NAMES, "plain.jpg", "bad.jpg"]
    assert found[-1]["problem"] == "-The image is empty."
    assert found[-1].get("score") is None
    for got, wanted in zip(found[:-1], _rows()[:-1], strict=True):
        assert {name: value for name, value in got.items() if value is not None} == {
            name: value for name, value in wanted.items() if value is not None
        }


def test_no_cell_of_a_spreadsheet_begins_a_formula() -> None:
    file = io.BytesIO()
    Csv().write(iter(_rows()), _COLUMNS, file, "")
    cells = [cell for line in csv.reader(io.StringIO(file.getvalue().decode(), newline="")) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "./=cmd|' /C calc'!A0.jpg" in cells
    assert "'-The image is empty." in cells


def test_parquet_has_proper_types(tmp_path: Path) -> None:
    from pyarrow import parquet

    path = tmp_path / "scores.parquet"
    with path.open("wb") as file:
        Parquet().write(iter(_rows()), _COLUMNS, file, '{"program": "x"}')
    table = parquet.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    assert types["file"] == types["verdict"] == types["sha256"] == "string"
    assert types["score"] == types["bpclip_sharpness"] == "double"
    assert types["width"] == types["bytes"] == "int64"
    assert types["reasons"].startswith("list<")
    assert table.schema.metadata[b"iqa"] == b'{"program": "x"}'
    assert table.column("score").null_count == 1


def test_parquet_is_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    monkeypatch.setattr("app.bulk.file_formats._ROWS_OF_GROUP", 10)
    path = tmp_path / "scores.parquet"
    with path.open("wb") as file:
        Parquet().write((row(f"{number}.jpg") for number in range(25)), _COLUMNS, file, "")
    assert parquet.ParquetFile(path).num_row_groups == 3
    assert [each["file"] for each in Parquet().read(path, _COLUMNS)] == [
        f"{number}.jpg" for number in range(25)
    ]


@given(
    st.lists(
        st.binary(min_size=1, max_size=6).filter(lambda name: b"\0" not in name), min_size=2, unique=True
    )
)
def test_no_two_names_are_stored_alike(names: list[bytes]) -> None:
    import os

    texts = [os.fsdecode(name) for name in names]
    stored = [written_name(text) for text in texts]
    assert len(set(stored)) == len(names)
    assert [read_name(text) for text in stored] == texts
    for text in stored:
        text.encode()


@pytest.mark.parametrize("text", ["a\\xff.jpg", "a\\\\xff", "\\", "\\\\x", "\\x\udcff"])
def test_a_name_that_looks_stored_is_told_apart(text: str) -> None:
    assert read_name(written_name(text)) == text


def test_the_end_of_the_name_decides() -> None:
    assert isinstance(format_of(Path("a.JSONL")), JsonLines)
    assert isinstance(format_of(Path("a.csv")), Csv)
    assert isinstance(format_of(Path("a.parquet")), Parquet)
    with pytest.raises(OutputError, match=r"\.jsonl, \.csv or \.parquet"):
        format_of(Path("a.xlsx"))


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(OutputError, match=r"iqa-service\[parquet\]"):
        format_of(Path("a.parquet"))


@pytest.mark.parametrize("form", [Csv(), Parquet()], ids=["csv", "parquet"])
@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\xff\xfe", '"'])
def test_another_file_is_one_sentence(form: FileFormat, text: str, tmp_path: Path) -> None:
    path = tmp_path / "scores"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(OutputError):
        list(form.read(path, _COLUMNS))
