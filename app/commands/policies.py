"""``iqa policies``: which policies a file holds and what they ask for, or what is wrong with it."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from app.commands.flags import with_settings
from app.commands.terminal import cell, console, reported
from app.settings import Settings

if TYPE_CHECKING:
    from app.schemas.policies import LeastSize, LoadedPolicy, PairPolicyLimit, PolicyLimit


@reported
@with_settings("policies_file", "models")
def show_policies(
    settings: Settings, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the policies that verdicts can be asked of, or say what is wrong with their file.

    A service reads the file at its start only; this shows before a restart what it would find.

    Exit status: 0; 2 if the policies cannot be used.
    """
    from app.policies import described, load, usable

    usable_ones = usable(load(settings.policies_file), settings.models)
    # Which weights would be loaded is not looked at, so no warnings can be given about them.
    found = [described(policy, settings.models, {}) for policy in usable_ones.values()]
    if as_json:
        print(json.dumps({"policies": [each.model_dump(exclude={"warnings"}) for each in found]}))
        return
    for policy in found:
        _show(policy)


def _show(policy: "LoadedPolicy") -> None:
    out = console()
    about = f": {cell(policy.description)}" if policy.description else ""
    out.print(f"[bold]{policy.name}[/bold]{' (built in)' if policy.built_in else ''}{about}", soft_wrap=True)
    if policy.origin:
        out.print(f"Where its limits come from: {cell(policy.origin)}", soft_wrap=True)
    for model, weights in policy.weights.items():
        out.print(f"For the weights {cell(weights)} of {model}.", soft_wrap=True)
    from app.policies.pair_limits import MISALIGNED

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("what", "of", "fails", "goes to review", "message"):
        table.add_column(name, overflow="fold")
    for what, size in (("shorter side, px", policy.side), ("pixels", policy.pixels)):
        if size is not None:
            table.add_row(what, "the image", *_bounds(size, "below"), cell(size.message))
    if policy.grade is not None:
        grades = (policy.grade.fail, policy.grade.review)
        shown = ("-" if grade is None else f"from {grade}" for grade in grades)
        table.add_row("grade", "the pair", *shown, cell(policy.grade.message))
    if policy.misaligned is not None:
        outcomes = ("above 0 px" if policy.misaligned == outcome else "-" for outcome in ("fail", "review"))
        table.add_row("displacement", "the pair", *outcomes, cell(MISALIGNED))
    for comparison in policy.comparisons:
        bounds = _bounds(comparison, comparison.bad)
        table.add_row(comparison.measure, "the pair", *bounds, cell(comparison.message))
    for limit in policy.limits:
        what = limit.dimension or limit.adjective or limit.exposure or "score"
        of = "the image" if limit.exposure is not None else limit.model or "the answer"
        table.add_row(what, of, *_bounds(limit, limit.bad), cell(limit.message))
    out.print(table)


def _bounds(limit: "LeastSize | PolicyLimit | PairPolicyLimit", side: str) -> tuple[str, str]:
    fail, review = ("-" if bound is None else f"{side} {bound:.12g}" for bound in (limit.fail, limit.review))
    return fail, review
