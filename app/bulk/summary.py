"""What is kept of very many rows for a report: counts, distributions, the best and the worst; never the rows.

Its size does not grow with the number of images.
"""

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.bulk.rows import Row, path_of
from app.scoring.outcomes import FileName
from models.vocabulary import DIMENSIONS

EXTREMES: Final = 12
"""How many of the best are kept, and of the worst."""
_BINS: Final = 1000
_MOST_KINDS: Final = 500
_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?")


class Distribution:
    """Values in [0, 1]: how many there are of each thousandth."""

    def __init__(self) -> None:
        self.count = 0
        self._bins = [0] * _BINS
        self._sum = 0.0

    @property
    def mean(self) -> float:
        """0 where there are none."""
        return self._sum / self.count if self.count else 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self._sum += value
        self._bins[min(_BINS - 1, max(0, int(value * _BINS)))] += 1

    def quantile(self, share: float) -> float:
        """The value below which that share of all lies, to a thousandth; 0 where there are none."""
        wanted, below = share * self.count, 0
        for place, number in enumerate(self._bins):
            if number and below + number >= wanted:
                return (place + (wanted - below) / number) / _BINS
            below += number
        return 0.0

    def bars(self, number: int) -> list[int]:
        """How many values there are in each of so many equal parts of [0, 1]."""
        width = _BINS // number
        return [sum(self._bins[place : place + width]) for place in range(0, width * number, width)]


class Kinds:
    """Sentences counted by kind: those that differ only in their numbers are one. Each has an example.

    Of very many kinds, the late ones are not told apart.
    """

    OTHERS: Final = "Others"

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, sentence: str) -> None:
        kind = _NUMBERS.sub("0", sentence)
        if kind not in self._examples:
            if len(self._examples) >= _MOST_KINDS:
                kind = sentence = self.OTHERS
            self._examples.setdefault(kind, sentence)
        self._counts[kind] += 1

    def most_common(self, number: int) -> list[tuple[str, int]]:
        """An example of each of the most frequent kinds, and how many there are of the kind."""
        return [(self._examples[kind], count) for kind, count in self._counts.most_common(number)]


@dataclass(frozen=True)
class Example:
    """An image to show.

    Attributes:
        path: of its file.
        score: of the image.
        row: all that is known of the image.
        copies: how many further files hold exactly the same, as far as was noticed.
    """

    path: FileName
    score: float
    row: Mapping[str, Any]
    copies: int = 0


class Extremes:
    """The images with the highest scores, or the lowest; files that hold the same are one."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._heap: list[tuple[float, int, str]] = []  # the least extreme first; of equals, the latest
        self._rows: dict[str, tuple[Row, int]] = {}
        self._seen = 0

    def add(self, row: Row) -> None:
        self._seen += 1
        digest = row["sha256"]
        if digest in self._rows:
            kept, copies = self._rows[digest]
            self._rows[digest] = kept, copies + 1
            return
        entry = self._sign * row["score"], -self._seen, digest
        if len(self._heap) < EXTREMES:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            _, _, dropped = heapq.heapreplace(self._heap, entry)
            del self._rows[dropped]
        else:
            return
        self._rows[digest] = row, 0

    def __iter__(self) -> Iterator[Example]:
        """The most extreme first."""
        for _, _, digest in sorted(self._heap, reverse=True):
            row, copies = self._rows[digest]
            yield Example(path_of(row), row["score"], row, copies)


@dataclass
class Summary:
    """What all rows come to.

    Attributes:
        images: that have a score.
        failed: that could not be scored.
        bytes: of the files that have a score.
        problems: why the others have none.
        warnings: of the answers, each once per image and code.
        verdicts: how often each outcome.
        reasons: of the verdicts.
        scores: by model.
        dimensions: of the model whose score is the answer's.
        formats: of the files.
    """

    images: int = 0
    failed: int = 0
    bytes: int = 0
    problems: Kinds = field(default_factory=Kinds)
    warnings: Kinds = field(default_factory=Kinds)
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Kinds = field(default_factory=Kinds)
    scores: dict[str, Distribution] = field(default_factory=dict)
    dimensions: dict[str, Distribution] = field(
        default_factory=lambda: {name: Distribution() for name in DIMENSIONS}
    )
    formats: Counter[str] = field(default_factory=Counter)
    _best: Extremes = field(default_factory=lambda: Extremes(1))
    _worst: Extremes = field(default_factory=lambda: Extremes(-1))

    def add(self, row: Row) -> None:
        """Counts a row."""
        if row.get("problem") is not None:
            self.failed += 1
            self.problems.add(row["problem"])
            return
        self.images += 1
        self.bytes += row["bytes"]
        self.formats[row["format"]] += 1
        for name, value in row.items():
            model = name.removesuffix("_score")
            if model != name and value is not None:
                self.scores.setdefault(model, Distribution()).add(value)
        for name, distribution in self.dimensions.items():
            if row[name] is not None:
                distribution.add(row[name])
        codes = {warning.partition(":")[0]: warning for warning in row["warnings"]}
        for warning in codes.values():
            self.warnings.add(warning)
        if row["verdict"] is not None:
            self.verdicts[row["verdict"]] += 1
        for reason in row["reasons"]:
            self.reasons.add(reason)
        self._best.add(row)
        self._worst.add(row)

    def forget_failures(self) -> None:
        """Forgets the failed files, which are retried."""
        self.failed, self.problems = 0, Kinds()

    def best_and_worst(self) -> tuple[list[Example], list[Example]]:
        """The images to show, none of them as both; the best first, the worst first."""
        best, worst = list(self._best), list(self._worst)
        distinct = {example.row["sha256"]: example for example in [*best, *worst]}
        if len(distinct) < len(best) + len(worst):  # there are no more than these
            ordered = sorted(distinct.values(), key=lambda example: example.score, reverse=True)
            half = (len(ordered) + 1) // 2
            return ordered[:half], ordered[half:][::-1]
        return best, worst


def share(count: int, total: int) -> str:
    """A part of a whole in percent, for people: none and all only where that is so."""
    if total == 0 or count == 0:
        return "0 %"
    if count == total:
        return "100 %"
    percent = 100 * count / total
    if percent < 0.1:
        return "under 0.1 %"
    return f"{min(percent, 99.9):.1f} %" if percent < 10 or percent > 99 else f"{percent:.0f} %"
