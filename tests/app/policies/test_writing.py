"""A policy written as TOML reads as the policy that it was."""

from app.policies import Limit, PolicyTable, SizeLimit, parse, to_toml
from app.policies.pair_limits import GradeLimit, PairLimit


def test_what_was_written_is_read_again() -> None:
    table = PolicyTable(
        description='Of a "shop": ä, \\ and more.',
        origin="Found on 50 photographs.",
        weights={"bpclip": "a" * 64},
        side=SizeLimit(fail=200, review=400, message="Too small."),
        not_a_photograph="review",
        grade=GradeLimit(review="slightly annoying", fail="annoying"),
        misaligned="fail",
        comparisons=(PairLimit(measure="psnr_db", fail=28.5, review=35.0),),
        limits=(
            Limit(score=True, model="bpclip", fail=0.2, review=0.301),
            Limit(dimension="sharpness", review=0.5, message="Soft."),
            Limit(exposure="clipped_highlights", bad="above", fail=0.6),
        ),
    )
    (policy,) = parse(to_toml("my-shop", table), "The text").values()
    assert policy.name == "my-shop"
    assert PolicyTable.model_validate(policy.model_dump(exclude={"name", "built_in"})) == table
