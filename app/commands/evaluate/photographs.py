"""Photographs shown to a panel of models one by one, with a progress meter."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.commands.terminal import Meter
from app.scoring.offline import FileFailure
from app.scoring.outcomes import ScoredFile
from app.scoring.panel import Panel, Photograph
from models.training.robustness import Judge

_Seen = TypeVar("_Seen")


def look_at_each(
    panel: Panel, paths: Sequence[Path], effort: int, look: Callable[[Photograph, str, Judge], _Seen]
) -> tuple[list[_Seen], list[ScoredFile]]:
    """Examine photographs one by one, with a progress meter.

    Args:
        panel: the models.
        paths: of the photographs.
        effort: number of pictures that `look` has judged for one photograph.
        look: examines a photograph, given its name and the judge of the pictures made from it.

    Returns:
        What `look` gave of the photographs that could be judged, and the rest with the reason.
    """
    seen, failures = [], []
    with Meter("judging", effort * len(paths)) as meter:
        judge = partial(panel.judge, advance=meter.advance)
        for number, path in enumerate(paths, start=1):
            try:
                seen.append(look(panel.read(path), path.stem, judge))
            except FileFailure as failure:
                failures.append(ScoredFile(path, None, str(failure)))
            meter.reach(effort * number, effort * len(paths))  # also where it could not be judged
    return seen, failures
