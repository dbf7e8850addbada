"""A row per pair: what tables and lines of JSON say of a comparison, and the columns of tables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app.bulk.comparisons.matching import Unmatched
from app.bulk.file_formats import FileFormat, written_name
from app.bulk.rows import Row
from app.schemas.columns import Column
from app.schemas.compare_summary import UntimedCompareSummary
from app.schemas.measured.pair_measures import MEASURES_OF_FILES, MeasureOfFiles
from app.scoring.outcomes import ComparedFiles
from app.version import version
from models.files import appearing

_COLUMNS: Final = (
    Column("file", "text", "the copy; of a reference without a copy, the reference"),
    Column("reference", "text", "what it was compared with"),
    Column("score", "number", "full-reference score; 0 to 1, 1 is indistinguishable"),
    Column("grade", "text", "how visible the distortion is, in the words of ITU-R BT.500"),
    Column("psnr_db", "number", "over RGB, in dB; nothing for identical pixels"),
    Column("ssim", "number", "on luma"),
    Column("displacement_x", "number", "pixels to the right by which the content is displaced"),
    Column("displacement_y", "number", "likewise, down"),
    Column("displacement_scale", "number", "of the content"),
    Column("reference_score", "number", "no-reference score of the reference; 0 to 1, higher is better"),
    Column("copy_score", "number", "no-reference score of the copy"),
    Column("verdict", "text", "pass, review or fail"),
    Column("reasons", "texts", "why it does not pass"),
    Column("warnings", "texts", "why the comparison should be read with care"),
    Column("problem", "text", "why there is no comparison"),
    Column("width", "whole", "pixels of the copy, upright"),
    Column("height", "whole", "pixels of the copy, upright"),
)

_PUBLISHED: Final[Mapping[MeasureOfFiles, str]] = {
    "ms_ssim": "multi-scale SSIM, on luma; 1 is identical",
    "haarpsi": "1 is identical",
    "vsi": "1 is identical",
    "mdsi": "0 is identical, higher is worse",
    "cvvdp": "ColorVideoVDP in JOD; 10 is identical",
}

_DECIMALS: Final = 6  # beyond what float32 tells apart


def pair_fields(compared: ComparedFiles) -> Row:
    """The line of JSON of a pair: its names, and the answer in short or the problem."""
    names = {"file": str(compared.pair.copy), "reference": str(compared.pair.reference)}
    if compared.answer is None:
        return {**names, "problem": compared.problem}
    summary = UntimedCompareSummary.of(compared.answer).model_dump(mode="json")
    return {**names, "reference_image": summary.pop("reference"), **summary}


def unmatched_fields(unmatched: Unmatched) -> Row:
    """The line of JSON of an image that is not compared."""
    return {"file": str(unmatched.path), "reference": None, "problem": unmatched.problem}


def flat_pair(fields: Mapping[str, Any]) -> Row:
    """The row of a line of JSON."""
    reference = fields["reference"]
    row: Row = {"file": fields["file"], "reference": reference and written_name(reference)}
    if "problem" in fields:
        return {**row, "problem": fields["problem"]}
    signal, verdict = fields["signal"], fields["verdict"] or {}
    moved = signal["displacement"] or {}
    copy = fields["distorted"]
    return {
        **row,
        "score": fields["score"],
        "grade": fields["grade"],
        **{name: _rounded(signal[name]) for name in ("psnr_db", "ssim", *MEASURES_OF_FILES)},
        **{f"displacement_{name}": _rounded(moved.get(name)) for name in ("x", "y", "scale")},
        "reference_score": fields["reference_image"]["score"],
        "copy_score": copy["score"],
        "verdict": verdict.get("outcome"),
        "reasons": list(dict.fromkeys(reason["message"] for reason in verdict.get("reasons", ()))),
        "warnings": fields["warnings"],
        "width": copy["width"],
        "height": copy["height"],
    }


def worst_first(lines: list[Row]) -> list[Row]:
    """Lines of JSON by score; those without a comparison come last."""
    return sorted(lines, key=lambda fields: (fields.get("score") is None, fields.get("score") or 0.0))


def pair_columns(measures: Sequence[MeasureOfFiles]) -> tuple[Column, ...]:
    """The columns of a table of comparisons with these measures beside PSNR and SSIM."""
    return (*_COLUMNS, *(Column(name, "number", _PUBLISHED[name]) for name in measures))


def write_pairs(
    path: Path,
    file_format: FileFormat,
    lines: list[Row],
    about: Mapping[str, Any],
    measures: Sequence[MeasureOfFiles] = (),
) -> None:
    """Writes a file of comparisons, the worst first; it appears whole or not at all.

    Args:
        path: of the file.
        file_format: of it.
        lines: of JSON, of pairs and of what has no partner.
        about: where they come from, for formats that have room for it.
        measures: that were asked for beside PSNR and SSIM.

    Raises:
        OSError: it cannot be written.
    """
    rows = worst_first(lines)
    if file_format.table:
        rows = [flat_pair(fields) for fields in rows]
    program = {"program": f"iqa-service {version()}", **about}
    with appearing(path) as file:
        file_format.write(rows, pair_columns(measures), file, json.dumps(program))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)
