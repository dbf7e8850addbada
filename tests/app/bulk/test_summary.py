"""What is kept of rows: counts and quantiles that are right, and never more than a little."""

import random

import numpy as np
import pytest

from app.bulk.summary import EXTREMES, Distribution, Extremes, Kinds, Summary, share
from tests.app.bulk.rows import row, summary_of, verdict


def test_quantiles_are_those_of_the_values() -> None:
    values = np.random.default_rng(0).beta(2, 5, 5000)
    held = Distribution()
    for value in values:
        held.add(float(value))
    for part in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert held.quantile(part) == pytest.approx(np.quantile(values, part), abs=2e-3)
    assert held.mean == pytest.approx(values.mean())
    bars = held.bars(40)
    assert sum(bars) == 5000
    assert bars == np.histogram(values, 40, (0, 1))[0].tolist()


def test_the_ends_of_the_scale_count() -> None:
    held = Distribution()
    for value in (0.0, 1.0, 1.0):
        held.add(value)
    assert held.bars(40)[0] == 1
    assert held.bars(40)[-1] == 2
    assert Distribution().quantile(0.5) == Distribution().mean == 0.0


def test_the_best_and_the_worst_are_kept() -> None:
    scores = [number / 1000 for number in range(1000)]
    random.Random(0).shuffle(scores)
    best, worst = Extremes(1), Extremes(-1)
    for number, score in enumerate(scores):
        for held in (best, worst):
            held.add(row(f"{number}.jpg", score))
    assert [each.score for each in best] == sorted(scores, reverse=True)[:EXTREMES]
    assert [each.score for each in worst] == sorted(scores)[:EXTREMES]


def test_copies_of_a_file_are_shown_once() -> None:
    held = Extremes(1)
    for number in range(30):
        held.add({**row(f"{number}.jpg", 0.9), "sha256": "same"})
    held.add(row("other.jpg", 0.1))
    first, second = held
    assert (str(first.path), first.copies) == ("0.jpg", 29)
    assert str(second.path) == "other.jpg"


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12, 23, 24, 25, 100])
def test_no_image_is_shown_as_both(count: int) -> None:
    best, worst = summary_of(row(f"{number}.jpg", number / 200) for number in range(count)).best_and_worst()
    shown = [str(each.path) for each in [*best, *worst]]
    assert len(shown) == len(set(shown)) == min(count, 2 * EXTREMES)
    assert [each.score for each in best] == sorted((each.score for each in best), reverse=True)
    assert [each.score for each in worst] == sorted(each.score for each in worst)
    if best and worst:
        assert best[-1].score > worst[-1].score


def test_sentences_that_differ_in_numbers_are_one_kind() -> None:
    kinds = Kinds()
    for number in range(5):
        kinds.add(f"It has {number} x {number + 0.5} pixels.")
    kinds.add("It is empty.")
    assert kinds.most_common(5) == [("It has 0 x 0.5 pixels.", 5), ("It is empty.", 1)]


def test_of_very_many_kinds_few_are_kept() -> None:
    kinds = Kinds()
    for number in range(5000):
        kinds.add("a" * number)
    assert len(kinds) <= 501
    assert kinds.most_common(1)[0] == (Kinds.OTHERS, 4500)


def test_rows_are_counted() -> None:
    rows = [
        row(
            "a.jpg",
            0.2,
            verdict=verdict("fail", "Too dark.", "Not sharp."),
            warnings=["x: 1.", "x: 2.", "y: 1."],
        ),
        row("b.jpg", 0.8, verdict=verdict("pass")),
        {"file": "c.jpg", "problem": "The image is empty."},
    ]
    summary = summary_of(rows)
    assert (summary.images, summary.failed, summary.bytes) == (2, 1, 2000)
    assert summary.verdicts == {"fail": 1, "pass": 1}
    assert dict(summary.reasons.most_common(9)) == {"Too dark.": 1, "Not sharp.": 1}
    assert [count for _, count in summary.warnings.most_common(9)] == [1, 1]
    assert set(summary.scores) == {"qualiclip", "bpclip"}
    assert summary.dimensions["sharpness"].count == 2
    summary.forget_failures()
    assert (summary.failed, len(summary.problems)) == (0, 0)


def test_it_does_not_grow() -> None:
    summary = Summary()
    for number in range(2000):
        summary.add(row(f"{number}.jpg", (number * 7919 % 2000) / 2000))
    assert len(summary._best._rows) == len(summary._worst._rows) == EXTREMES


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 10**6, "under 0.1 %"),
        (999_999, 10**6, "99.9 %"),
        (1, 3, "33 %"),
        (0, 0, "0 %"),
        (1, 20, "5.0 %"),
    ],
)
def test_shares_are_readable(count: int, total: int, text: str) -> None:
    assert share(count, total) == text
