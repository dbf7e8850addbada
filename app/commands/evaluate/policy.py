"""``iqa evaluate --policy``: a policy tried on good photographs, as they are and distorted."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import typer
from rich import box
from rich.table import Table

from app.commands.evaluate.photographs import look_at_each
from app.commands.official import fetch_where_asked
from app.commands.score import report_failures
from app.commands.terminal import SOME_FAILED, complain, console
from app.policies import Policy, choose, judge_measured, load, uncalibrated
from app.schemas.policies import Reason, Verdict
from app.scoring.offline import Scorer
from app.scoring.panel import Looks, Panel, Photograph
from app.settings import Settings
from models.preprocessing import Pixels
from models.training.photos import Split, list_photos
from models.training.robustness import HARMLESS, ORDERED, Judge, Opinions, examine, images_of_each, levels_of


@dataclass(frozen=True)
class Share:
    """What became of some images, as shares of them.

    Attributes:
        fail: of those that fail.
        review: of those that a person should look at.
        reasons: of those that have a reason, by outcome and by what was measured, as "bpclip sharpness".
    """

    fail: float
    review: float
    reasons: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Trial:
    """The shares of all photographs: untouched, changed harmlessly, and by distortion and level."""

    untouched: Share
    harmless: Mapping[str, Share]
    distortions: Mapping[str, Mapping[int, Share]]

    @property
    def worst(self) -> dict[str, float]:
        """Shares that fail at the worst level, by distortion."""
        return {name: shares[max(shares)].fail for name, shares in self.distortions.items()}


@dataclass(frozen=True)
class _Judged:
    """The verdicts on one photograph, as :class:`Trial` has them."""

    untouched: Verdict
    harmless: Mapping[str, Verdict]
    distortions: Mapping[str, Sequence[Verdict]]


def run_policy(
    folder: Path,
    settings: Settings,
    name: str,
    *,
    split: Split = "all",
    limit: int | None = None,
    as_json: bool = False,
) -> None:
    """Tries a policy on a folder of good photographs and prints the verdicts.

    As for ``--robustness``, photographs are first brought to the size that the models score them at. Limits
    of size are compared with the size that they had before.

    Args:
        folder: of the photographs.
        settings: what models and policies there are.
        name: of the policy.
        split: which of the photographs.
        limit: how many of them, the first by name; None for all.
        as_json: whether to print JSON and no table.

    Raises:
        PoliciesError: there is no such policy that can be used.
        DataError: there are no such photographs.
        typer.Exit: with status 1 where photographs had to be left out.
        Exception: as of :class:`app.scoring.offline.Scorer`.
    """
    policy = choose(name, load(settings.policies_file), settings.models, settings.models)
    paths = list_photos(folder, split)[:limit]
    # Models that it does not need would only take time.
    needed = policy.needs(settings.models) or settings.models
    fetch_where_asked(settings)
    panel = Panel(Scorer(settings.model_copy(update={"models": needed})), settings)
    warnings = uncalibrated(policy, {model: panel.weights(model) for model in panel.names})
    judged, failures = look_at_each(panel, paths, images_of_each(ORDERED), partial(_judge, policy, panel))
    found = _trial(judged) if judged else None
    if as_json:
        about = {"folder": str(folder), "split": split, "photographs": len(judged), "failed": len(failures)}
        models = {model: panel.about(model) for model in panel.names}
        results = {} if found is None else {**asdict(found), "worst": found.worst}
        print(json.dumps({**about, "policy": name, "models": models, "warnings": warnings, **results}))
    elif found is not None:
        _show(found)
    for warning in warnings:
        complain(warning)
    report_failures(failures, len(judged))
    if failures:
        raise typer.Exit(SOME_FAILED)


def _judge(policy: Policy, panel: Panel, photo: Photograph, name: str, judge: Judge) -> _Judged:
    # The examination hands opinions back and no pixels, so looks are kept beside the opinions, by the
    # identity of these: they live as long as `examined`.
    looks: dict[int, Looks] = {}

    def ask(pictures: Sequence[Pixels], reference: Pixels | None) -> Sequence[Opinions]:
        found = judge(pictures, reference)
        for opinions, picture in zip(found, pictures, strict=True):
            looks[id(opinions)] = Looks.of(picture)
        return found

    def verdict(opinions: Opinions) -> Verdict:
        measured = panel.measured(opinions, looks[id(opinions)], photo.width, photo.height)
        return judge_measured(policy, measured)

    examined = examine(photo.pixels, name, ask, types=ORDERED)
    return _Judged(
        verdict(examined.untouched),
        {change: verdict(opinions) for change, opinions in examined.harmless.items()},
        {name: [verdict(opinions) for opinions in levels] for name, levels in examined.spoilt.items()},
    )


def _trial(judged: Sequence[_Judged]) -> Trial:
    return Trial(
        _share(each.untouched for each in judged),
        {change: _share(each.harmless[change] for each in judged) for change in HARMLESS},
        {
            name: {
                level: _share(each.distortions[name][place] for each in judged)
                for place, level in enumerate(levels_of(name))
            }
            for name in ORDERED
        },
    )


def _share(verdicts: Iterable[Verdict]) -> Share:
    every = list(verdicts)
    outcomes = Counter(verdict.outcome for verdict in every)
    reasons: dict[str, Counter[str]] = {"fail": Counter(), "review": Counter()}
    for verdict in every:
        for reason in verdict.reasons:
            reasons[reason.outcome][_about(reason)] += 1
    return Share(
        outcomes["fail"] / len(every),
        outcomes["review"] / len(every),
        {
            outcome: {about: count / len(every) for about, count in counts.most_common()}
            for outcome, counts in reasons.items()
        },
    )


def _about(reason: Reason) -> str:
    return reason.about if reason.model is None else f"{reason.model} {reason.about}"


def _show(found: Trial) -> None:
    levels = sorted({level for shares in found.distortions.values() for level in shares})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("fail / go to review, in %")
    for level in levels:
        table.add_column(f"level {level}", justify="right")
    for name, shares in found.distortions.items():
        table.add_row(name, *(_percent(shares[level]) if level in shares else "-" for level in levels))
    table.add_section()
    table.add_row("untouched", _percent(found.untouched))
    for change, share in found.harmless.items():
        table.add_row(change, _percent(share))
    out = console()
    out.print(table)
    worst = found.worst
    least = min(worst, key=worst.__getitem__)
    out.print(
        f"Of the worst level {100 * sum(worst.values()) / len(worst):.1f} % fail on average over the "
        f"distortions, of {least} the least: {100 * worst[least]:.1f} %.",
        soft_wrap=True,
    )
    for outcome, verb in (("fail", "fail"), ("review", "go to review")):
        if reasons := found.untouched.reasons[outcome]:
            listed = ", ".join(f"{about} {100 * share:.1f} %" for about, share in reasons.items())
            out.print(f"Untouched ones {verb} for {listed}.", soft_wrap=True)


def _percent(share: Share) -> str:
    return f"{100 * share.fail:.1f} / {100 * share.review:.1f}"
