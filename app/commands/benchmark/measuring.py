"""Scores of the pictures of a data set: of single images by the no-reference models, of pairs by all."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from app.commands.benchmark.journal import ImageScores, Journal
from app.commands.terminal import Meter, stoppable
from app.schemas.measured.pair_measures import PAIR_MEASURES, MeasureOfFiles
from app.scoring.outcomes import FilePair, ScoredFile
from models.registry import FULL_REFERENCE

if TYPE_CHECKING:
    from app.schemas.compare import UntimedCompare
    from app.scoring.offline import Scorer
    from models.datasets.pictures import BenchmarkPicture

_PSNR: Final = "psnr"


def measures_of(measures: Sequence[MeasureOfFiles]) -> dict[str, bool]:
    """The measures of pairs that are taken, by the name in the table, and whether higher is better."""
    falling = {name for name, kind in PAIR_MEASURES.items() if not kind.higher_is_better}
    return {_PSNR: True, "ssim": True} | {name: name not in falling for name in measures}


def measure_pictures(
    scorer: "Scorer",
    pictures: Sequence["BenchmarkPicture"],
    journal: Journal,
    measures: Sequence[MeasureOfFiles],
) -> tuple[list[ScoredFile], bool]:
    """Scores what the journal has not, and writes it there.

    Returns:
        The files that could not be scored, and whether Ctrl-C ended it.

    Raises:
        OSError: the journal cannot be written.
    """
    left = [picture for picture in pictures if picture.name not in journal.scores]
    failures: list[ScoredFile] = []
    results = _scores(scorer, left, measures)
    with Meter("measuring", len(left)) as meter, stoppable() as stopped, contextlib.closing(results):
        for picture, outcome in zip(left, results, strict=True):
            meter.advance()
            if isinstance(outcome, str):
                failures.append(ScoredFile(picture.path, None, outcome))
            else:
                journal.append(picture.name, outcome)
            if stopped() and meter.done < len(left):
                return failures, True
    return failures, False


def _scores(
    scorer: "Scorer", pictures: Sequence["BenchmarkPicture"], measures: Sequence[MeasureOfFiles]
) -> Generator[ImageScores | str]:
    """The scores of each picture, or why it has none."""
    pairs = [FilePair(each.reference, each.path) for each in pictures if each.reference is not None]
    if not pairs:
        with contextlib.closing(scorer.score(picture.path for picture in pictures)) as single:
            for scored in single:
                if scored.answer is None:
                    yield scored.problem
                else:
                    yield {name: model.score for name, model in scored.answer.models.items()}
        return
    with contextlib.closing(scorer.compare_each(pairs)) as compared:
        for each in compared:
            yield each.problem if each.answer is None else dict(_of_pair(each.answer, measures))


def _of_pair(answer: "UntimedCompare", measures: Sequence[MeasureOfFiles]) -> Iterator[tuple[str, float]]:
    for name, model in answer.distorted.models.items():
        yield name, model.score
    yield FULL_REFERENCE, answer.score
    found = {_PSNR: answer.signal.psnr_db, "ssim": answer.signal.ssim}
    found |= {name: getattr(answer.signal, name) for name in measures}
    for name, value in found.items():
        if value is not None:  # of identical pixels, or too small an image
            yield name, value
