"""The report on very many scored images: one HTML page that needs nothing beside it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from app.bulk.charts import Boxes, Histogram
from app.bulk.html_page import render_page
from app.bulk.run_manifest import About
from app.bulk.summary import Distribution, Example, Summary, share
from app.printable import shown
from app.schemas.columns import BETWEEN_TEXTS, columns
from app.settings import answering
from models.files import appearing
from models.vocabulary import DIMENSIONS

_MOST_LINES: Final = 12
_SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_WEAK: Final = 0.5
"""Below it, a dimension's bad words fit better than its good ones."""

_OUTCOMES: Final = ("pass", "review", "fail")


@dataclass(frozen=True)
class Card:
    """An image as the page shows it.

    Attributes:
        name: of its file, as it can be printed.
        score: of the image.
        size: in pixels, and the format.
        picture: address of the thumbnail; None where there is none.
        weak: the dimensions in which it is rather bad than good, the worst first.
        reading: of the score.
        faults: that it has; empty where none is found, or none can be named.
        verdict: on it; None where there is none.
        reasons: of the verdict.
        copies: further files that hold the same.
        fields: of the table, in its order: name and value, but for those that are empty.
    """

    name: str
    score: float
    size: str
    picture: str | None
    weak: str
    reading: str
    faults: str
    verdict: str | None
    reasons: tuple[str, ...]
    copies: int
    fields: tuple[tuple[str, str], ...]


def write_report(path: Path, about: About, summary: Summary) -> None:
    """Writes the page.

    Args:
        path: of the page; one that is there is replaced.
        about: where the scores come from.
        summary: of the rows.

    Raises:
        OSError: it cannot be written.
    """
    text = page(about, summary)
    with appearing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def page(about: About, summary: Summary) -> str:
    """The page; the files of the images that it shows are read once more."""
    best, worst = summary.best_and_worst()
    names = about.basis.names
    model = answering(names)
    scores = summary.scores.get(model, Distribution())
    return render_page(
        "report.html",
        about=about,
        began=_moment(about.began),
        ended=_moment(about.ended or datetime.now(UTC)),
        best=_cards(best, names),
        calibration=about.basis.calibrations.get(model),
        boxes=Boxes.of(summary.dimensions),
        dimensions=_table(summary.dimensions),
        histograms={name: Histogram.of(values) for name, values in _answering_first(summary, model)},
        in_short=list(_in_short(summary, scores)),
        model=model,
        named=[shown(name) for name in about.named[:_MOST_LINES]],
        named_more=max(0, len(about.named) - _MOST_LINES),
        problems=summary.problems.most_common(_MOST_LINES),
        reasons=summary.reasons.most_common(_MOST_LINES),
        scores=_table(dict(_answering_first(summary, model))),
        share=share,
        size=_amount(summary.bytes),
        summary=summary,
        title=f"Quality of {summary.images:,} image{'' if summary.images == 1 else 's'}",
        verdicts={outcome: summary.verdicts[outcome] for outcome in _OUTCOMES},
        warnings=[
            (code, sentence.strip(), count)
            for warning, count in summary.warnings.most_common(_MOST_LINES)
            for code, _, sentence in (warning.partition(":"),)
        ],
        worst=_cards(worst, names),
    )


def _in_short(summary: Summary, scores: Distribution) -> Iterator[str]:
    """The most important, in sentences."""
    if not summary.images:
        yield "No image could be scored."
        return
    if summary.images > 1:
        yield (
            f"Half of the images score between {scores.quantile(0.25):.2f} and {scores.quantile(0.75):.2f}, "
            f"on a scale from 0 to 1 where higher is better; the median is {scores.quantile(0.5):.2f}."
        )
    if summary.images > 1 and any(each.count for each in summary.dimensions.values()):
        weakest = min(summary.dimensions, key=lambda name: summary.dimensions[name].quantile(0.5))
        strongest = max(summary.dimensions, key=lambda name: summary.dimensions[name].quantile(0.5))
        yield (
            f"As a whole they are weakest in {weakest} (median "
            f"{summary.dimensions[weakest].quantile(0.5):.2f}) and strongest in {strongest} "
            f"({summary.dimensions[strongest].quantile(0.5):.2f})."
        )
    judged = summary.verdicts.total()
    if judged:
        yield (
            f"By the policy, {share(summary.verdicts['pass'], judged)} pass, "
            f"{share(summary.verdicts['review'], judged)} should be looked at by a person, and "
            f"{share(summary.verdicts['fail'], judged)} fail."
        )
    if summary.failed:
        one = summary.failed == 1
        yield f"{summary.failed:,} file{'' if one else 's'} could not be scored; the reasons are below."


def _answering_first(summary: Summary, model: str) -> list[tuple[str, Distribution]]:
    return sorted(summary.scores.items(), key=lambda item: item[0] != model)


def _table(distributions: Mapping[str, Distribution]) -> list[tuple[str, list[str]]]:
    """The mean and the quantiles of each."""
    return [
        (name, [f"{values.mean:.2f}", *(f"{values.quantile(part):.2f}" for part in _SHARES)])
        for name, values in distributions.items()
    ]


def _cards(examples: list[Example], models: tuple[str, ...]) -> list[Card]:
    from app.bulk.thumbnails import DECODED_BEFORE, thumbnail

    return [
        _card(example, thumbnail(example.path, example.row["sha256"], DECODED_BEFORE), models)
        for example in examples
    ]


def _card(example: Example, picture: str | None, models: tuple[str, ...]) -> Card:
    row: Mapping[str, Any] = example.row
    dimensions = sorted((row[name], name) for name in DIMENSIONS if row[name] is not None)
    return Card(
        name=shown(example.path),
        score=example.score,
        size=f"{row['width']} x {row['height']}, {row['format']}",
        picture=picture,
        weak=", ".join(f"{name} {value:.2f}" for value, name in dimensions[:3] if value < _WEAK),
        reading=(row["reading"] or "").capitalize(),
        faults=", ".join(row.get("faults") or ()),  # rows of an earlier version have no such column
        verdict=row["verdict"],
        reasons=tuple(row["reasons"]),
        copies=example.copies,
        fields=tuple(_fields(row, models)),
    )


def _fields(row: Mapping[str, Any], models: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for column in columns(models, detail="detail_score" in row):
        value = row.get(column.name)
        text = BETWEEN_TEXTS.join(value) if column.kind == "texts" and value else value
        if text not in (None, "", []):
            yield column.name, shown(str(text))


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")


def _amount(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} KB"
