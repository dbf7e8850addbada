"""Policies as they are written: what is read, and what is said of what cannot be."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policies import OUTCOMES, Limit, PoliciesError, Policy, judge_measured, load, parse
from app.policies.reading import MOST_POLICIES
from app.schemas.measured.exposure import EXPOSURE_MEASURES
from models.checkpoints.sources import bundled_path
from models.vocabulary import DIMENSIONS, WORDS
from tests.app.policies.case import BOTH, measured, policy

_ROOT = Path(__file__).parents[3]


def complaint(text: str) -> str:
    with pytest.raises(PoliciesError) as raised:
        parse(text, "The text")
    return str(raised.value)


@pytest.mark.parametrize("name", ["upload", "catalog", "portrait", "training-set"])
def test_a_built_in_policy_says_what_it_is_for_and_where_its_limits_come_from(name: str) -> None:
    found = load(None)[name]
    assert found.built_in
    assert found.description
    assert found.origin
    assert found.limits
    assert found.side is not None
    assert all(limit.model is not None for limit in found.limits if limit.exposure is None)


def test_the_built_in_policies_differ_as_they_say() -> None:
    def bounds(name: str) -> dict[str, tuple[float | None, float | None]]:
        return {limit.about: (limit.fail, limit.review) for limit in load(None)[name].limits}

    upload, catalog, portrait, training = map(bounds, ("upload", "catalog", "portrait", "training-set"))
    assert upload.keys() - catalog.keys() == {"well-exposed", "clipped_highlights"}  # white is no fault
    assert portrait.keys() == training.keys() == upload.keys()
    for strict in (catalog, portrait):
        assert all(strict[about][0] >= upload[about][0] for about in strict)  # type: ignore[operator]
    assert training == {about: (fail, None) for about, (fail, _) in upload.items()}


def test_the_built_in_limits_are_of_the_bundled_weights() -> None:
    """With other weights they have to be measured again."""
    for built_in in load(None).values():
        assert set(built_in.needs(BOTH)) <= set(built_in.weights)
        for model, digest in built_in.weights.items():
            assert model in BOTH
            assert hashlib.sha256(bundled_path(model).read_bytes()).hexdigest() == digest  # type: ignore[arg-type]


def test_the_definitions_of_a_file_win(tmp_path: Path) -> None:
    path = tmp_path / "policies.toml"
    path.write_text('\ufeff[upload]\nside = { fail = 7 }\n["2nd-one"]\npixels = { review = 9 }\n', "utf-8")
    found = load(path)
    assert list(found) == ["upload", "transcode", "catalog", "portrait", "training-set", "2nd-one"]
    assert (found["upload"].built_in, found["upload"].limits) == (False, ())
    assert found["upload"].side is not None
    assert found["upload"].side.fail == 7


def test_everything_that_can_be_written_is_read() -> None:
    found = policy(
        """
        description = \"\"\"
        For two
        lines.\"\"\"
        origin = "Tried on 300 photographs."
        weights = { bpclip = "bpclip-compact" }
        side = { fail = 200, review = 400, message = "Too small." }
        pixels = { review = 1_000_000 }
        [[mine.limits]]
        dimension = "sharpness"
        model = "bpclip"
        fail = 0
        review = 0.4
        message = "Nicht scharf genug."
        [[mine.limits]]
        adjective = "blurry"
        fail = 0.9
        review = 0.6
        [[mine.limits]]
        score = true
        review = 1
        """
    )
    assert found.description == "For two lines."
    assert found.weights == {"bpclip": "bpclip-compact"}
    sharpness, blurry, score = found.limits
    assert (sharpness.measure, sharpness.fail, sharpness.sentence) == (
        "dimension",
        0.0,
        "Nicht scharf genug.",
    )
    assert (blurry.measure, blurry.is_upper, blurry.sentence) == (
        "adjective",
        True,
        "The photograph is too blurry.",
    )
    assert (score.measure, score.is_upper, score.fail) == ("score", False, None)
    # As it reaches an HTTP process.
    assert Policy.model_validate(json.loads(json.dumps(found.model_dump(mode="json")))) == found


@pytest.mark.parametrize("about", [*DIMENSIONS, *WORDS, "score"])
def test_every_limit_has_a_sentence_of_its_own(about: str) -> None:
    keys = {"dimension": about} if about in DIMENSIONS else {"adjective": about}
    sentence = Limit.model_validate({**({"score": True} if about == "score" else keys), "fail": 0.5}).sentence
    assert sentence.startswith("The ")
    assert sentence.endswith(".")
    if about in WORDS:
        assert f" {about}" in sentence


@pytest.mark.parametrize("about", EXPOSURE_MEASURES)
@pytest.mark.parametrize("bad", ["below", "above"])
def test_limits_of_exposure_have_sentences_that_say_what_to_do(about: str, bad: str) -> None:
    written = {"exposure": about, "bad": bad, "fail": 0.5}
    sentence = Limit.model_validate(written).sentence
    assert sentence.startswith("The photograph ")
    assert ": " in sentence
    assert sentence.endswith(".")
    assert Limit.model_validate({**written, "message": "Mine."}).sentence == "Mine."


def _is_a_sentence(text: str) -> bool:
    return text.endswith(".") and text.isprintable() and len(text) < 400


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mine", "The text is not TOML: "),
        ("a = 1\na = 2", "The text is not TOML: "),
        ("[mine]\nside = " + "[" * 5000, "The text is nested too deeply."),
        ("[mine]\nside = { fail = " + "9" * 5000 + " }", "The text has a number that cannot be read."),
        (
            "\n".join(f"[p{number}]" for number in range(MOST_POLICIES + 1)),
            "The text has 101 policies; at most",
        ),
        ("fail = 0.2", "The text has `fail` outside of a policy; a policy begins with [fail]."),
        ("[[mine]]\n", "The text has `mine` outside of a policy"),
        ("[Mine]", 'The text has a policy "Mine"; a name has 1 to 64 small letters, digits and hyphens'),
        ("[-mine]", 'The text has a policy "-mine"; a name'),
        ('["m\\nine"]', 'The text has a policy "m\\nine"; a name'),
        (f"[{'m' * 65}]", f'The text has a policy "{"m" * 36}...; a name'),
    ],
)
def test_a_text_without_policies_is_refused_in_a_sentence(text: str, said: str) -> None:
    sentence = complaint(text)
    assert sentence.startswith(said)
    assert _is_a_sentence(sentence)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "",
            ", limits nothing: it needs `side`, `pixels`, `not_a_photograph`, `strong_fault`, a table "
            "[[NAME.limits]], or for comparisons `grade`, `misaligned` or a table [[NAME.comparisons]].",
        ),
        ("limits = []", ", limits nothing: it needs"),
        ("min_side = 200", ', has a key "min_side"; there are `description`, '),
        ("name = 'mine'\nside = { fail = 1 }", ', has a key "name"; there are'),
        ("built_in = true\nside = { fail = 1 }", ', has a key "built_in"; there are'),
        (
            "limits = { fail = 0.2 }",
            ": `limits` has to be at most 100 tables, each under [[NAME.limits]]; it is",
        ),
        ("limits = [1]", ", limit 1, has to be a table."),
        ("limits = [{ fail = 0.1 }]", ", limit 1, has to be about one thing: `score = true`, "),
        ("limits = [{ score = false, fail = 0.1 }]", ", limit 1: `score` has to be true, or left out;"),
        ("limits = [{ score = 1, fail = 0.1 }]", ", limit 1: `score` has to be true, or left out; it is 1."),
        (
            "limits = [{ dimension = 'sharp', fail = 0.1 }]",
            ", limit 1: `dimension` has to be one of sharpness, ",
        ),
        ("limits = [{ adjective = 'moody', fail = 0.1 }]", ", limit 1: `adjective` has to be one of the 40 "),
        (
            "limits = [{ score = true, fail = 0.1 }, { adjective = 'dark', fail = 0.6, review = 0.7 }]",
            ", limit 2, has to have `review` below `fail`: ",
        ),
        (
            "limits = [{ score = true, fail = 0 }, { score = true, review = 1 }]",
            ", limits score of no named ",
        ),
        (f"limits = [{'{ score = true, fail = 0 }, ' * 101}]", ": `limits` has to be at most 100 tables"),
        (
            "limits = [{ exposure = 'luma', bad = 'below', fail = 0.1 }]",
            ", limit 1: `exposure` has to be one of mean_luminance, p99_luminance, clipped_shadows, ",
        ),
        ("limits = [{ exposure = 'mean_luminance', fail = 0.1 }]", ", limit 1, needs `bad`, which says"),
        (
            "limits = [{ exposure = 'mean_luminance', bad = 'low', fail = 0.1 }]",
            ', limit 1: `bad` has to be "below" or "above"; it is "low".',
        ),
        ("limits = [{ score = true, bad = 'below', fail = 0.1 }]", ", limit 1, takes no `bad`, which only"),
        (
            "limits = [{ exposure = 'mean_luminance', bad = 'below', model = 'bpclip', fail = 0.1 }]",
            ", limit 1, is about the picture and not about what a model says, so it takes no `model`.",
        ),
        (
            "limits = [{ exposure = 'mean_luminance', bad = 'below', score = true, fail = 0.1 }]",
            ", limit 1, has to be about one thing: `score = true`, a `dimension`, an `adjective` or an ",
        ),
        (
            "limits = [{ exposure = 'mean_luminance', bad = 'above', fail = 0.1, review = 0.2 }]",
            ", limit 1, has to have `review` below `fail`: ",
        ),
        (
            "limits = [{ exposure = 'p99_luminance', bad = 'above', fail = 0.1 }, "
            "{ exposure = 'p99_luminance', bad = 'above', review = 0.1 }]",
            ", limits p99_luminance twice on the same side.",
        ),
        ("side = 200", ": `side` has to be a table of pixels, as { fail = 200 }; it is 200."),
        ("side = {}", ", side, needs `fail`, `review`, or both."),
        (
            "side = { fail = 0 }",
            ", side: `fail` has to be a whole number of pixels from 1 to 10000000000; it is 0.",
        ),
        ("side = { fail = 0.5 }", ", side: `fail` has to be a whole number of pixels"),
        ("side = { fail = 9, review = 8 }", ", side, has to have `review` above `fail`"),
        ("pixels = { least = 9 }", ', pixels, has a key "least"; there are `fail`, `review`, `message`.'),
        (
            "weights = { clip = 'a' }\nside = { fail = 1 }",
            ": `weights` has to be a table with the name or the",
        ),
        ("weights = 'a'\nside = { fail = 1 }", ": `weights` has to be a table"),
        ("weights = { bpclip = 1 }\nside = { fail = 1 }", ": `weights` has to be a table"),
        ("description = 3\nside = { fail = 1 }", ": `description` has to be a text of 1 to 300 printable"),
    ],
)
def test_what_is_wrong_in_a_policy_is_said_with_its_place(lines: str, said: str) -> None:
    sentence = complaint(f"[mine]\n{lines}")
    assert sentence.startswith(f"The text, policy mine{said}")
    assert _is_a_sentence(sentence)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", ", needs `fail`, `review`, or both."),
        ("fails = 0.1", ', has a key "fails"; there are `score`, `dimension`, '),
        ("fail = 'low'", ': `fail` has to be a number from 0 to 1; it is "low".'),
        ("fail = true", ": `fail` has to be a number from 0 to 1; it is true."),
        ("fail = nan", ": `fail` has to be a number from 0 to 1; it is NaN."),
        ("fail = inf", ": `fail` has to be a number from 0 to 1; it is Infinity."),
        ("fail = 1.5", ": `fail` has to be a number from 0 to 1; it is 1.5."),
        ("review = -0.1", ": `review` has to be a number from 0 to 1; it is -0.1."),
        ("fail = 2020-01-01", ': `fail` has to be a number from 0 to 1; it is "2020-01-01".'),
        ("fail = 0.4\nreview = 0.2", ", has to have `review` above `fail`"),
        ("fail = 0.4\nreview = 0.4", ", has to have `review` above `fail`"),
        ("fail = 0.1\nscore = true", ", has to be about one thing: "),
        (
            "fail = 0.1\nmodel = 'clip'",
            ': `model` has to be one of qualiclip, bpclip, clip-iqa; it is "clip".',
        ),
        ("fail = 0.1\nmessage = ''", ": `message` has to be a text of 1 to 300 printable characters; it is "),
        (
            f"fail = 0.1\nmessage = '{'x' * 301}'",
            ": `message` has to be a text of 1 to 300 printable characters;",
        ),
        (
            'fail = 0.1\nmessage = "\\u0007"',
            ": `message` has to be a text of 1 to 300 printable characters; it",
        ),
    ],
)
def test_what_is_wrong_in_a_limit_is_said_with_its_place(lines: str, said: str) -> None:
    sentence = complaint(f'[mine]\n[[mine.limits]]\ndimension = "sharpness"\n{lines}')
    assert sentence.startswith(f"The text, policy mine, limit 1{said}")
    assert _is_a_sentence(sentence)


_KEYS = st.sampled_from(
    [
        *(
            "limits",
            "side",
            "pixels",
            "weights",
            "fail",
            "review",
            "score",
            "dimension",
            "adjective",
            "model",
        ),
        *("exposure", "bad", "x"),
    ]
)
_VALUES = st.recursive(
    st.booleans()
    | st.integers(-3, 300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["sharpness", "blurry", "sharp", "bpclip", "bpclip-compact", "p99_luminance", "above", "", "\0", "é"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_whatever_is_written_is_a_policy_or_a_sentence(table: dict[str, Any]) -> None:
    text = f"mine = {_toml(table)}"
    said = None
    try:
        found = parse(text, "The text")["mine"]
    except PoliciesError as error:
        said = str(error)
    if said is None:
        assert judge_measured(found, measured()).outcome in OUTCOMES
    else:
        assert said.startswith("The text, policy mine")
        assert _is_a_sentence(said)


@given(st.text(max_size=60))
def test_whatever_a_file_holds_it_ends_in_policies_or_a_sentence(text: str) -> None:
    with contextlib.suppress(PoliciesError):
        parse(text, "The text")


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(PoliciesError) as raised:
            load(path)
        return str(raised.value)

    path = tmp_path / "policies.toml"
    assert said(path) == f"The file of policies {path} cannot be read: No such file or directory."
    assert said(tmp_path) == f"The file of policies {tmp_path} is not a regular file."
    os.mkfifo(tmp_path / "pipe")
    assert said(tmp_path / "pipe").endswith("pipe is not a regular file.")
    path.write_bytes(b"[mine]\nside = { fail = 1 } # \xff")
    assert said(path) == f"The file of policies {path} is not UTF-8 text."
    path.write_text("# nothing\n")
    assert said(path) == f"The file of policies {path} holds none."
    path.write_bytes(b"#" * (2**20 + 1))
    assert said(path) == f"The file of policies {path} has more than 1048576 bytes."
    path.write_bytes(b"[mine]\nside = { fail = 1 }\n#" + b"#" * (2**20 - 40))
    assert "mine" in load(path)


@pytest.mark.process
def test_policies_need_neither_torch_nor_the_server() -> None:
    heavy = {"torch", "numpy", "fastapi", "starlette", "zmq", "PIL"}
    command = "import sys, app.policies; app.policies.load(None); print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=_ROOT, timeout=60
    )
    assert heavy & set(found.stdout.split()) == set()


def test_the_name_that_a_dimension_had_is_read_with_a_hint(caplog: pytest.LogCaptureFixture) -> None:
    found = parse('[mine]\nlimits = [{ dimension = "noisiness", fail = 0.5 }]', "The file")["mine"]
    assert [limit.dimension for limit in found.limits] == ["cleanness"]
    assert [record.getMessage() for record in caplog.records] == [
        "The file, policy mine: the dimension noisiness is called cleanness now; please write that"
    ]


@pytest.mark.parametrize(
    ("text", "complaint_of"),
    [
        ('grade = { fail = "bad" }', "policy mine, grade: `fail` has to be one of the grades"),
        ('grade = { fail = "imperceptible" }', 'policy mine, grade, has to begin below "imperceptible"'),
        (
            'grade = { fail = "annoying", review = "very annoying" }',
            "policy mine, grade, has to have `review` below `fail`",
        ),
        ("grade = {}", "policy mine, grade, needs `fail`, `review`, or both"),
        ("grade = 3", "policy mine: `grade` has to be a table of grades"),
        ('misaligned = "pass"', 'policy mine: `misaligned` has to be "review", "fail", or left out'),
        (
            'comparisons = [{ measure = "vmaf", fail = 1 }]',
            "policy mine, comparison 1: `measure` has to be one of score, psnr_db",
        ),
        (
            'comparisons = [{ measure = "ssim", fail = 30 }]',
            "policy mine, comparison 1, limits ssim, whose values go from 0 to 1",
        ),
        (
            'comparisons = [{ measure = "psnr_db", fail = "30" }]',
            "policy mine, comparison 1: `fail` has to be a number from 0 to 1, or of psnr_db from 0 to 100",
        ),
        ('comparisons = [{ measure = "ssim" }]', "policy mine, comparison 1, needs `fail`, `review`"),
        (
            'comparisons = [{ measure = "ssim", fail = 0.5, model = "bpclip" }]',
            "policy mine, comparison 1, has a key",
        ),
        (
            'comparisons = [{ measure = "ssim", fail = 0.5 }, { measure = "ssim", review = 0.9 }]',
            "policy mine, limits ssim of comparisons twice",
        ),
    ],
)
def test_what_is_wrong_with_limits_of_comparisons_is_said(text: str, complaint_of: str) -> None:
    assert complaint_of in complaint(f"[mine]\n{text}")
