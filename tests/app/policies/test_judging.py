"""Verdicts, and the policies that can be had."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import policies
from app.policies import (
    BUILT_IN_POLICIES,
    Limit,
    PoliciesError,
    Policy,
    PolicyRefused,
    choose,
    described,
    judge,
    judge_measured,
    load,
    parse,
    uncalibrated,
    usable,
    with_verdict,
)
from app.schemas import score as score_schemas
from app.schemas.measured.exposure import EXPOSURE_MEASURES, MeasuredExposure
from models.vocabulary import ADJECTIVES, DIMENSIONS
from tests.app.policies.case import BOTH, answer, measured, opinion, policy

_RANK = {"pass": 0, "review": 1, "fail": 2}
UNITS = st.floats(0, 1)


@given(value=UNITS, fail=UNITS | st.none(), review=UNITS | st.none(), about=st.sampled_from(ADJECTIVES))
def test_an_adjective_is_bad_beyond_its_limits_on_its_own_side(
    value: float, fail: float | None, review: float | None, about: Any
) -> None:
    upper = about.polarity == "negative"
    table = {"adjective": about.word, "fail": fail, "review": review}
    ordered = fail is None or review is None or (review < fail if upper else review > fail)
    if not ordered or fail is review is None:
        with pytest.raises(ValueError, match="fail"):
            Limit.model_validate(table)
        return
    mine = Policy(name="mine", built_in=False, limits=(Limit.model_validate(table),))

    def beyond(bound: float | None) -> bool:
        return bound is not None and (value > bound if upper else value < bound)

    expected = "fail" if beyond(fail) else "review" if beyond(review) else "pass"
    verdict = judge_measured(mine, replace(measured(value), exposure=None))  # which rules some words out
    assert verdict.outcome == expected
    assert [reason.outcome for reason in verdict.reasons] == ([] if expected == "pass" else [expected])
    for reason in verdict.reasons:
        assert (reason.value, reason.limit) == (value, fail if expected == "fail" else review)


@given(
    st.lists(st.tuples(st.sampled_from(DIMENSIONS), UNITS, UNITS), max_size=6, unique_by=lambda each: each[0])
)
def test_the_verdict_is_that_of_the_worst_reason_and_failures_come_first(
    limits: list[tuple[str, float, float]],
) -> None:
    written = [
        Limit.model_validate({"dimension": dimension, "fail": min(pair), "review": max(pair)})
        for dimension, *pair in limits
        if pair[0] != pair[1]
    ]
    mine = Policy(name="mine", built_in=False, limits=tuple(written), side=policies.SizeLimit(review=481))
    verdict = judge_measured(mine, measured(0.5))
    assert verdict.outcome == max((each.outcome for each in verdict.reasons), key=lambda each: _RANK[each])
    assert [_RANK[each.outcome] for each in verdict.reasons] == sorted(
        (_RANK[each.outcome] for each in verdict.reasons), reverse=True
    )
    places = ["size", *(limit.dimension for limit in written)]
    for outcome in ("fail", "review"):
        order = [
            places.index(each.dimension or "size") for each in verdict.reasons if each.outcome == outcome
        ]
        assert order == sorted(order)


def test_a_value_exactly_at_the_limit_keeps_to_it() -> None:
    mine = policy(
        """
        side = { fail = 480 }
        pixels = { fail = 307200 }
        limits = [{ score = true, fail = 0.5 }, { adjective = "dark", fail = 0.5 }]
        """
    )
    assert judge_measured(mine, measured(0.5)).outcome == "pass"
    assert judge_measured(mine, measured(0.5, 640, 479)).outcome == "fail"
    assert judge_measured(mine, measured(0.4999)).reasons[0].measure == "score"
    assert judge_measured(mine, measured(0.5001)).reasons[0].adjective == "dark"


def test_sizes_are_of_the_shorter_side_and_of_the_whole_image() -> None:
    mine = policy('side = { fail = 200, review = 400 }\npixels = { fail = 90000, message = "Larger!" }')
    assert judge_measured(mine, measured(width=400, height=400)).outcome == "pass"
    tall = judge_measured(mine, measured(width=399, height=9000))
    assert [(each.outcome, each.value, each.limit) for each in tall.reasons] == [("review", 399, 400)]
    assert tall.reasons[0].message == "The photograph's shorter side has too few pixels."
    small = judge_measured(mine, measured(width=250, height=300))
    assert [(each.outcome, each.value, each.message) for each in small.reasons] == [
        ("fail", 75000, "Larger!"),
        ("review", 250, "The photograph's shorter side has too few pixels."),
    ]
    assert all((each.measure, each.model) == ("size", None) for each in small.reasons)


@given(
    value=UNITS,
    fail=UNITS | st.none(),
    review=UNITS | st.none(),
    about=st.sampled_from(EXPOSURE_MEASURES),
    bad=st.sampled_from(["below", "above"]),
)
def test_exposure_has_a_minimum_or_a_maximum(
    value: float, fail: float | None, review: float | None, about: Any, bad: str
) -> None:
    table = {"exposure": about, "bad": bad, "fail": fail, "review": review}
    ordered = fail is None or review is None or (review < fail if bad == "above" else review > fail)
    if not ordered or fail is review is None:
        with pytest.raises(ValueError, match="fail"):
            Limit.model_validate(table)
        return
    limit = Limit.model_validate(table)
    mine = Policy(name="mine", built_in=False, limits=(limit,))
    # Nothing else has that number.
    others = dict.fromkeys(EXPOSURE_MEASURES, 1 - value) | {about: value}
    verdict = judge_measured(mine, replace(measured(1 - value), exposure=MeasuredExposure(**others)))

    def beyond(bound: float | None) -> bool:
        return bound is not None and (value > bound if bad == "above" else value < bound)

    expected = "fail" if beyond(fail) else "review" if beyond(review) else "pass"
    assert verdict.outcome == expected
    assert len(verdict.reasons) == (expected != "pass")
    for reason in verdict.reasons:
        assert (reason.measure, reason.exposure, reason.about) == ("exposure", about, about)
        assert (reason.model, reason.dimension, reason.adjective) == (None, None, None)
        assert (reason.value, reason.limit) == (value, fail if expected == "fail" else review)
        assert reason.message == limit.sentence


def test_exposure_needs_no_model_and_may_have_both_limits() -> None:
    mine = policy(
        """
        limits = [
            { exposure = "mean_luminance", bad = "below", fail = 0.1, message = "Too dark." },
            { exposure = "mean_luminance", bad = "above", fail = 0.9 },
        ]
        """
    )
    assert mine.needs(BOTH) == ()
    assert usable({"mine": mine}, ("qualiclip",)) == {"mine": mine}
    assert [judge_measured(mine, measured(value)).outcome for value in (0.0999, 0.1, 0.9, 0.9001)] == [
        "fail", "pass", "pass", "fail"
    ]  # fmt: skip
    assert judge_measured(mine, measured(0)).reasons[0].message == "Too dark."
    assert judge_measured(mine, measured(1)).reasons[0].message.startswith("The photograph is too bright: ")


def test_what_was_not_measured_is_not_judged() -> None:
    mine = policy('limits = [{ exposure = "clipped_shadows", bad = "above", fail = 0.5 }]')
    with pytest.raises(ValueError, match="limits clipped_shadows, which was not measured"):
        judge(mine, answer().model_copy(update={"facts": None}))
    other = policy("limits = [{ score = true, fail = 0.1 }]")
    assert judge(other, answer().model_copy(update={"facts": None})).outcome == "pass"


def test_each_limit_is_about_its_own_model() -> None:
    mine = policy(
        'limits = [{ score = true, model = "qualiclip", fail = 0.5 }, { score = true, fail = 0.5 }]'
    )
    seen = replace(measured(), opinions={"qualiclip": opinion(0.3), "bpclip": opinion(0.7)})
    (reason,) = judge_measured(mine, seen).reasons
    assert (reason.model, reason.value) == ("qualiclip", 0.3)
    (reason,) = judge_measured(mine, replace(seen, model="qualiclip")).reasons[1:]
    assert (reason.model, reason.value) == ("qualiclip", 0.3)


@given(UNITS)
def test_an_answer_of_the_service_is_judged_by_what_it_holds(value: float) -> None:
    mine = policy(
        """
        side = { review = 500 }
        limits = [
            { score = true, fail = 0.3 },
            { dimension = "contrast", model = "qualiclip", fail = 0.4 },
            { adjective = "grainy", model = "bpclip", review = 0.8 },
            { exposure = "clipped_highlights", bad = "above", review = 0.6 },
        ]
        """
    )
    assert judge(mine, answer(value)) == judge_measured(mine, measured(value))


def test_a_verdict_is_added_to_an_answer_and_nothing_else_changes() -> None:
    before = answer(0.5)
    after = with_verdict(policy("side = { review = 500 }"), before)
    assert after.verdict is not None
    assert after.verdict.outcome == "review"
    assert before.verdict is None
    assert after.model_copy(update={"verdict": None}) == before
    assert score_schemas.UntimedScore.model_validate_json(after.model_dump_json()) == after


@pytest.mark.parametrize(
    ("side", "before", "after"),
    [(500, "excellent", "fair"), (500, "poor", "poor"), (1, "excellent", "excellent"), (500, None, None)],
)
def test_what_fails_reads_fair_at_best(side: int, before: str | None, after: str | None) -> None:
    given = answer(0.5).model_copy(update={"reading": before})
    assert with_verdict(policy(f"side = {{ fail = {side} }}"), given).reading == after


@pytest.mark.parametrize(
    ("weights", "warned"),
    [
        ("{}", []),
        ('{ bpclip = "small" }', []),
        (f'{{ bpclip = "{"a" * 64}" }}', []),
        ('{ bpclip = "large" }', ["bpclip"]),
        ('{ bpclip = "large", qualiclip = "small" }', ["bpclip"]),
        (f'{{ bpclip = "{"b" * 64}", qualiclip = "large" }}', ["bpclip", "qualiclip"]),
    ],
)
def test_limits_of_other_weights_are_warned_about(weights: str, warned: list[str]) -> None:
    mine = policy(f"weights = {weights}\nside = {{ fail = 1 }}")
    first, *added = with_verdict(mine, answer()).warnings
    assert first == "scaled-down: a warning of before."
    assert [each.startswith("policy-uncalibrated: the limits of the policy mine") for each in added] == [
        True for _ in warned
    ]
    assert all(
        f"other weights of {model} than small" in each for model, each in zip(warned, added, strict=True)
    )


def test_weights_of_models_that_do_not_answer_are_nobodys_concern() -> None:
    mine = policy('weights = { qualiclip = "large" }\nside = { fail = 1 }')
    assert uncalibrated(mine, {"bpclip": answer().models["bpclip"].weights}) == []


def test_a_policy_needs_the_models_of_its_limits() -> None:
    assert policy("side = { fail = 1 }").needs(BOTH) == ()
    mine = policy(
        'limits = [{ score = true, fail = 0.1 }, { score = true, model = "qualiclip", fail = 0.1 }]'
    )
    assert mine.needs(BOTH) == ("bpclip", "qualiclip")
    assert mine.needs(("qualiclip",)) == ("qualiclip",)


def test_what_cannot_be_applied_is_left_out_if_built_in_and_refused_if_written() -> None:
    built_in = parse(BUILT_IN_POLICIES.read_text("utf-8"), "", built_in=True)
    assert list(usable(built_in, BOTH)) == list(built_in)
    assert list(usable(built_in, ("qualiclip",))) == ["transcode"]  # it asks no no-reference model
    written = parse('[mine]\nlimits = [{ score = true, model = "bpclip", fail = 0.1 }]', "")
    with pytest.raises(PoliciesError) as raised:
        usable(built_in | written, ("qualiclip",))
    assert str(raised.value) == (
        "The policy mine needs the model bpclip, which is not among the models to load (qualiclip)."
    )


@pytest.mark.parametrize(
    ("name", "loaded", "asked", "said"),
    [
        (
            "none",
            BOTH,
            BOTH,
            "There is no policy 'none'; there are: upload, catalog, portrait, training-set, mine.",
        ),
        (
            "n" * 99,
            BOTH,
            BOTH,
            f"There is no policy '{'n' * 40}'; there are: upload, catalog, portrait, training-set, mine.",
        ),
        ("", ("qualiclip",), ("qualiclip",), "There is no policy ''; there are: mine."),
        (
            "upload",
            ("qualiclip",),
            ("qualiclip",),
            "The policy upload needs the model bpclip, which is not loaded.",
        ),
        ("upload", BOTH, ("qualiclip",), "The policy upload needs the model bpclip too, which is not asked."),
        ("mine", BOTH, ("qualiclip",), "The policy mine needs the model bpclip too, which is not asked."),
    ],
)
def test_a_policy_that_cannot_be_had_is_refused(
    name: str, loaded: tuple[str, ...], asked: tuple[str, ...], said: str
) -> None:
    known = load(None) | {"mine": policy("limits = [{ score = true, fail = 0.1 }]")}
    with pytest.raises(PolicyRefused) as raised:
        choose(name, known, loaded, asked)
    assert str(raised.value) == said
    built_in = ["upload", "catalog", "portrait", "training-set"] if loaded == BOTH else []
    assert raised.value.known == [*built_in, "mine"]
    assert choose("mine", known, loaded, loaded) is known["mine"]


def test_where_there_is_none_that_is_said() -> None:
    with pytest.raises(PolicyRefused, match=r"^There is no policy 'x'; there are none\.$"):
        choose("x", {}, BOTH, BOTH)


def test_what_is_described_is_what_is_judged_by() -> None:
    mine = policy('pixels = { fail = 5 }\nlimits = [{ adjective = "dark", review = 0.5 }]')
    found = described(mine, BOTH, {})
    assert found.pixels is not None
    assert found.pixels.fail == 5
    assert (found.side, found.models, found.built_in, found.origin) == (None, ["bpclip"], False, None)
    (limit,) = found.limits
    assert (limit.adjective, limit.bad, limit.review, limit.fail) == ("dark", "above", 0.5, None)
    assert limit.exposure is None


def test_limits_of_exposure_are_described_with_their_side() -> None:
    mine = policy(
        """
        limits = [
            { exposure = "p99_luminance", bad = "below", fail = 0.1 },
            { exposure = "p99_luminance", bad = "above", review = 0.9 },
        ]
        """
    )
    found = described(mine, BOTH, {})
    assert found.models == []
    assert [(each.measure, each.model, each.exposure, each.bad) for each in found.limits] == [
        ("exposure", None, "p99_luminance", "below"),
        ("exposure", None, "p99_luminance", "above"),
    ]


@pytest.mark.parametrize(
    "limit", ['dimension = "colorfulness"', 'adjective = "dull"', 'adjective = "natural"'], ids=str
)
def test_limits_of_color_do_not_apply_to_a_monochrome_image(limit: str) -> None:
    bad = "fail = 0.1" if "dull" in limit else "fail = 0.9"
    mine = policy(f"limits = [{{ {limit}, {bad} }}, {{ score = true, review = 0.9 }}]")
    assert judge_measured(mine, measured()).outcome == "fail"
    (reason,) = judge_measured(mine, replace(measured(), monochrome=True)).reasons
    assert reason.measure == "score"


def test_the_summary_of_what_fails_without_a_fault_is_why() -> None:
    small = policy('side = { fail = 500, message = "Come nearer." }')
    assert with_verdict(small, answer().model_copy(update={"summary": "Sharp."})).summary == "Come nearer."
    blurry = {"fault": "blur", "severity": "slight", "confidence": 0.5, "message": "slightly soft"}
    faults = [score_schemas.NamedFault.model_validate(blurry)]
    soft = answer().model_copy(update={"summary": "Slightly soft.", "faults": faults})
    assert with_verdict(small, soft).summary == "Slightly soft."


@pytest.mark.parametrize("outcome", ["review", "fail"])
def test_a_strong_fault_has_an_outcome(outcome: str) -> None:
    mine = policy(f'strong_fault = "{outcome}"')
    slight = {"fault": "noise", "severity": "slight", "confidence": 0.5, "message": "slightly noisy"}
    strong = {"fault": "blur", "severity": "strong", "confidence": 0.75, "message": "blurry"}
    faults = [score_schemas.NamedFault.model_validate(each) for each in (strong, slight)]
    assert judge(mine, answer().model_copy(update={"faults": faults[1:]})).outcome == "pass"
    verdict = judge(mine, answer().model_copy(update={"faults": faults}))
    assert verdict.outcome == outcome
    (reason,) = verdict.reasons
    assert (reason.measure, reason.model, reason.value) == ("fault", "bpclip", 0.75)
    assert reason.message == "The photograph has a strong fault: blurry."
    assert described(mine, BOTH, {}).strong_fault == outcome
    small = policy(f'strong_fault = "{outcome}"\nside = {{ review = 500 }}')
    measures = [
        reason.measure for reason in judge(small, answer().model_copy(update={"faults": faults})).reasons
    ]
    assert measures == (["size"] if outcome == "review" else ["fault", "size"])


def test_what_the_exposure_rules_out_is_no_reason() -> None:
    mine = policy(
        'limits = [{ adjective = "well-exposed", fail = 0.9 }, { adjective = "blurry", fail = 0.1 }]'
    )
    dark = MeasuredExposure(0.1, 0.5, 0.1, 0.0)

    def blamed(exposure: MeasuredExposure) -> list[str | None]:
        return [
            each.adjective for each in judge_measured(mine, replace(measured(), exposure=exposure)).reasons
        ]

    assert blamed(replace(dark, mean_luminance=0.2)) == ["well-exposed", "blurry"]
    assert blamed(dark) == ["blurry"]


def test_the_opposite_of_a_fault_is_no_reason() -> None:
    mine = policy(
        'limits = [{ adjective = "overexposed", fail = 0.1 }, { adjective = "blurry", fail = 0.1 }]'
    )
    dark = {"fault": "underexposed", "severity": "slight", "confidence": 0.5, "message": ""}
    bright = dark | {"fault": "overexposed"}

    def blamed(*faults: dict[str, object]) -> list[str | None]:
        named = [score_schemas.NamedFault.model_validate(fault) for fault in faults]
        verdict = judge(mine, answer(0.5).model_copy(update={"faults": named}))
        return [reason.adjective for reason in verdict.reasons]

    assert blamed() == ["overexposed", "blurry"]
    assert blamed(dark) == ["blurry"]
    assert blamed(dark | {"region": "left"}) == ["overexposed", "blurry"]
    assert blamed(dark, bright | {"region": "left"}) == ["overexposed", "blurry"]


@pytest.mark.parametrize("outcome", ["review", "fail"])
def test_what_is_no_photograph(outcome: str) -> None:
    mine = policy(f'not_a_photograph = "{outcome}"')
    assert judge_measured(mine, measured()).outcome == "pass"
    verdict = judge_measured(mine, replace(measured(), photograph=False))
    assert verdict.outcome == outcome
    (reason,) = verdict.reasons
    assert (reason.measure, reason.about, reason.value, reason.limit) == ("photograph", "photograph", 0, 1)
    assert (
        judge_measured(policy("side = { fail = 1 }"), replace(measured(), photograph=False)).outcome == "pass"
    )


def test_a_verdict_depends_on_what_the_answer_says_of_the_image() -> None:
    mine = policy('not_a_photograph = "review"\nlimits = [{ dimension = "colorfulness", fail = 0.9 }]')
    said = answer()
    image = said.image.model_copy(update={"monochrome": True, "photograph": False})
    verdict = judge(mine, said.model_copy(update={"image": image}))
    assert [reason.measure for reason in verdict.reasons] == ["photograph"]
    assert described(mine, BOTH, {}).not_a_photograph == "review"


def test_the_outcome_of_what_is_no_photograph_is_one_of_two() -> None:
    with pytest.raises(PoliciesError, match="not_a_photograph"):
        policy('not_a_photograph = "pass"')
