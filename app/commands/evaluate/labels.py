"""``iqa evaluate``: how well the models agree with people, on a folder of photographs with scores."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich import box
from rich.table import Table

from app.commands.flags import IN_PROCESS, PAIR_WEIGHTS, with_options, with_settings
from app.commands.official import fetch_where_asked
from app.commands.score import report_failures
from app.commands.terminal import SOME_FAILED, Meter, cell, complain, console, fail, reported
from app.printable import shown
from app.scoring.outcomes import ScoredFile
from app.settings import Settings

if TYPE_CHECKING:
    from app.scoring.offline import Scorer
    from models.training.photos import ScoredPhoto

_OVERALL: Final = "all"


class SplitOption(StrEnum):
    """Which of the photographs."""

    all = "all"
    holdout = "holdout"
    train = "train"


@dataclass(frozen=True)
class MeasuredPhoto:
    """A photograph with people's scores and the models' scores."""

    photo: "ScoredPhoto"
    predicted: dict[str, float]


@dataclass(frozen=True)
class EvaluateOptions:
    """Arguments and options of ``iqa evaluate``, beside the settings."""

    folder: Annotated[Path, typer.Argument(help="Folder of photographs.", show_default=False)]
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Table with the columns image, mos (in [0, 1]) and, if any, subset.",
            show_default="FOLDER/scores.csv",
        ),
    ] = None
    split: Annotated[
        SplitOption, typer.Option(help="All, those that `iqa train` learns from, or those that it holds out.")
    ] = SplitOption.all
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write, a row per photograph.", show_default=False)
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            help="How much each subset counts for the overall row, as ss01=1,ss02=1,ss03=4; without it every "
            "photograph counts alike.",
            show_default=False,
        ),
    ] = None
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="Spoil the photographs on purpose instead: do scores fall with the level, do words name the "
            "fault, do scores stay where nothing happened. Needs no table of scores.",
        ),
    ] = False
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Try this policy on the photographs instead, as they are and spoilt on purpose: how many "
            "fail, how many go to review. Needs no table of scores.",
            show_default=False,
        ),
    ] = None
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="Hold the models to the bounds of a release instead: do distorted variants of good "
            "photographs score lower, do harmless variants score the same. Needs no table of scores.",
        ),
    ] = False
    plot: Annotated[
        Path | None,
        typer.Option(
            help="With --robustness: SVG, PNG or PDF file to draw the scores into.", show_default=False
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --robustness, --policy or --gate: no more than so many photographs by name.",
            show_default=False,
        ),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False


@reported
@with_settings(*IN_PROCESS, PAIR_WEIGHTS, "policies_file")
@with_options
def evaluate(options: EvaluateOptions, settings: Settings) -> None:
    """Measure how well the no-reference models agree with people.

    SRCC with its 95 % bootstrap interval, KRCC, and PLCC and RMSE after a logistic fit; of all photographs
    and of each subset. With --robustness, how all models answer to faults made on purpose: the folder holds
    good photographs, best ones that the models have not learned from. With --policy, how many of such
    photographs a policy turns away, untouched and at each level of each fault. With --gate, whether the
    no-reference models keep the bounds of a release on variants of such photographs.

    Exit status: 0; 1 if some photographs could not be scored, which are left out and named at the end, or if
    a bound of --gate is broken; 2 for wrong usage, data, settings or weights.
    """
    _check_combinations(options)
    folder, limit, as_json = options.folder, options.limit, options.as_json
    if options.robustness:
        from app.commands.evaluate.robustness import run_robustness

        run_robustness(
            folder, settings, split=options.split.value, limit=limit, plot=options.plot, as_json=as_json
        )
    elif options.policy is not None:
        from app.commands.evaluate.policy import run_policy

        run_policy(folder, settings, options.policy, split=options.split.value, limit=limit, as_json=as_json)
    elif options.gate:
        from app.commands.evaluate.gate import run_gate

        run_gate(folder, settings, split=options.split.value, limit=limit, as_json=as_json)
    else:
        _evaluate_agreement(options, settings)


def _check_combinations(options: EvaluateOptions) -> None:
    asked = {
        "--robustness": options.robustness,
        "--policy": options.policy is not None,
        "--gate": options.gate,
    }
    questions = [option for option, given in asked.items() if given]
    if len(questions) > 1:
        fail(f"{questions[0]} and {questions[1]} are two questions; ask one at a time.")
    if options.plot is not None and not options.robustness:
        fail("--plot goes with --robustness.")
    if options.limit is not None and not questions:
        fail("--limit goes with --robustness, --policy and --gate.")
    of_people = (options.scores, options.weights, options.out)
    if questions and any(option is not None for option in of_people):
        fail(f"With {questions[0]} there are no people's scores: --scores, --weights and --out do not apply.")


def _evaluate_agreement(options: EvaluateOptions, settings: Settings) -> None:
    from app.scoring.offline import Scorer
    from models.training.photos import list_scored

    weights = None if options.weights is None else _read_weights(options.weights)
    photos = list_scored(options.folder, options.split.value, options.scores)
    if weights is not None:
        _check_weights(weights, (photo.subset for photo in photos))
    fetch_where_asked(settings)
    scorer = Scorer(settings)
    measured, failures = _measure(photos, scorer)
    if options.out is not None:
        _write_csv(options.out, measured, scorer.models)
    rows = _rows(measured, scorer.models, weights)
    if options.as_json:
        print(
            json.dumps(
                {
                    "folder": str(options.folder),
                    "split": options.split.value,
                    "weights": weights,
                    "failed": len(failures),
                    "results": rows,
                }
            )
        )
    else:
        _show(rows, options.weights)
    report_failures(failures, len(measured))
    if failures:
        raise typer.Exit(SOME_FAILED)


def _measure(
    photos: Sequence["ScoredPhoto"], scorer: "Scorer"
) -> tuple[list[MeasuredPhoto], list[ScoredFile]]:
    """Return the photographs with what the models say, and those that could not be scored."""
    measured, failures = [], []
    with Meter("scoring", len(photos)) as meter:
        for photo, scored in zip(photos, scorer.score(photo.path for photo in photos), strict=True):
            meter.advance()
            if scored.answer is None:
                failures.append(scored)
            else:
                predicted = {name: model.score for name, model in scored.answer.models.items()}
                measured.append(MeasuredPhoto(photo, predicted))
    return measured, failures


def _read_weights(text: str) -> dict[str, float]:
    """The weights of subsets, as ``ss01=1,ss02=4``."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        # A name may hold the sign itself, a number cannot.
        subset, _, number = part.strip().rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not subset or not math.isfinite(weight) or weight <= 0:
            fail(f"--weights takes positive numbers by subset, as ss01=1,ss02=1,ss03=4, not {shown(text)}.")
        if subset in weights:
            fail(f"--weights names the subset {shown(subset)} twice.")
        weights[subset] = weight
    return weights


def _check_weights(weights: Mapping[str, float], subsets: Iterable[str]) -> None:
    present = set(subsets)
    if "" in present:
        fail("--weights needs a subset for every photograph, and some in the table have none.")
    for subset in sorted(set(weights) - present):
        fail(f"--weights names the subset {shown(subset)}, of which there is no photograph.")
    for subset in sorted(present - set(weights)):
        fail(f"--weights has to name every subset, and {shown(subset)} is missing.")


def _rows(
    measured: Sequence[MeasuredPhoto], models: Sequence[str], weights: Mapping[str, float] | None
) -> list[dict[str, Any]]:
    """Each model's agreement overall and by subset; with a reason instead where there is none."""
    from models.correlation import agreement

    sizes = Counter(each.photo.subset for each in measured)
    subsets = sorted(set(sizes) - {""})
    rows: list[dict[str, Any]] = []
    for model in models:
        for subset in [_OVERALL, *subsets]:
            chosen = [each for each in measured if subset == _OVERALL or each.photo.subset == subset]
            row = {"model": model, "subset": subset, "n": len(chosen)}
            shares = None
            if weights is not None and subset == _OVERALL:
                # A subset's weight is shared by its photographs, however many of them there are.
                shares = [weights[each.photo.subset] / sizes[each.photo.subset] for each in chosen]
            try:
                found = agreement(
                    [each.predicted[model] for each in chosen], [each.photo.mos for each in chosen], shares
                )
            except ValueError as error:
                rows.append({**row, "problem": str(error)})
            else:
                rows.append({**row, **asdict(found)})
    return rows


def _show(rows: Sequence[dict[str, Any]], weights: str | None) -> None:
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "SRCC": lambda row: f"{row['srcc']:.3f}",
        "95 %": lambda row: "{:.3f} to {:.3f}".format(*row["srcc_interval"]),
        "PLCC": lambda row: f"{row['plcc']:.3f}",
        "KRCC": lambda row: f"{row['krcc']:.3f}",
        "RMSE": lambda row: f"{row['rmse']:.4f}",
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model")
    table.add_column("subset", overflow="fold")
    for name in ("n", *columns):
        table.add_column(name, justify="right")
    for row in rows:
        values = ["-"] * len(columns) if "problem" in row else [show(row) for show in columns.values()]
        table.add_row(row["model"], cell(row["subset"]), str(row["n"]), *values)
    out = console()
    out.print(table)
    if weights is not None:
        out.print(f"In the rows of {_OVERALL}, subsets weigh {cell(weights)}.", soft_wrap=True)
    for row in rows:
        if "problem" in row:
            complain(f"{row['model']}, subset {shown(row['subset'])}: {row['problem']}")


def _write_csv(path: Path, measured: Sequence[MeasuredPhoto], models: Sequence[str]) -> None:
    from models.files import write_atomically

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "mos", "subset", *models])
    for each in measured:
        photo = each.photo
        predicted = (f"{each.predicted[model]:.6f}" for model in models)
        writer.writerow([photo.path.name, photo.mos, photo.subset, *predicted])
    write_atomically(path, text.getvalue().encode())
