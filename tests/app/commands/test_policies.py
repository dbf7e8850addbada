"""``iqa policies`` and ``iqa evaluate --policy``, with random weights where any are needed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.commands.terminal import SOME_FAILED, UNUSABLE
from app.imaging.metering import measure_exposure
from app.policies import MeasuredImage
from app.scoring.offline import Scorer
from app.scoring.panel import Looks, Panel
from app.settings import read_settings
from models.loading import load_model
from models.training.robustness import HARMLESS, ORDERED, levels_of, scored, seed_of, spoilt
from tests.app.command_line import cut_off, invoke, save_photographs
from tests.drawings import drawing
from tests.photographs import named

_FILE = """
[gate]
description = "At the [red]gate[/red]."
origin = "Made up."
weights = { bpclip = "bpclip-large" }
pixels = { fail = 20000, message = "Come nearer." }
limits = [
    { score = true, model = "bpclip", review = 0.5 },
    { adjective = "dark", fail = 0.75 },
    { exposure = "clipped_highlights", bad = "above", fail = 0.5, message = "Washed out." },
]

[size]
side = { review = 100 }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policies.toml"
    path.write_text(_FILE)
    return path


def test_the_policies_are_listed_with_their_limits(file: Path) -> None:
    result = invoke("policies", "--policies-file", file)
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith("upload (built in): ")
    about = lines.index("gate: At the [red]gate[/red].")
    assert lines[about + 1 : about + 3] == [
        "Where its limits come from: Made up.",
        "For the weights bpclip-large of bpclip.",
    ]
    for row in (
        "pixels the image below 20000 - Come nearer.",
        "score bpclip - below 0.5 The quality of the photograph is too low.",
        "dark the answer above 0.75 - The photograph is too dark.",
        "clipped_highlights the image above 0.5 - Washed out.",
        "shorter side, px the image - below 100 The photograph's shorter side has too few pixels.",
    ):
        assert row in lines


def test_as_json(file: Path) -> None:
    result = invoke("policies", "--json", environment={"IQA_POLICIES_FILE": str(file)})
    upload, transcode, _, _, _, gate, size = json.loads(result.stdout)["policies"]
    assert (upload["name"], upload["built_in"], gate["built_in"]) == ("upload", True, False)
    assert (transcode["needs_reference"], gate["needs_reference"]) == (True, False)
    assert (gate["models"], gate["limits"][1]["bad"]) == (["bpclip"], "above")
    assert size["side"]["review"] == 100
    # They would be about weights, which are not looked at.
    assert "warnings" not in gate


def test_a_built_in_policy_without_its_model_is_left_out() -> None:
    result = invoke("policies", "--json", "--models", "qualiclip")
    # What compares with a reference needs no no-reference model.
    assert [each["name"] for each in json.loads(result.stdout)["policies"]] == ["transcode"]


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("[gate]\nside = { fail = '1' }", (), "policy gate, side: `fail` has to be a whole number of pixels"),
        ("[gate", (), "is not TOML: "),
        (_FILE, ("--models", "qualiclip"), "The policy gate needs the model bpclip"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(
    text: str, arguments: tuple[str, ...], said: str, file: Path
) -> None:
    file.write_text(text)
    result = invoke("policies", "--policies-file", file, *arguments)
    assert (result.exit_code, result.stdout) == (UNUSABLE, "")
    (sentence,) = result.stderr.splitlines()
    assert said in sentence


@dataclass(frozen=True)
class Run:
    """What the command printed of two photographs and a damaged one, by a limit in the middle of scores."""

    folder: Path
    limit: float
    status: int
    printed: dict[str, Any]
    complaints: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, weights_environment: dict[str, str]) -> Run:
    folder = save_photographs(tmp_path_factory.mktemp("trial") / "good", "chelsea", "coffee", "rocket")
    cut_off(folder / "rocket.png")
    # Random weights score all alike; a limit between two photographs tells that the right ones are counted.
    bpclip = load_model("bpclip", weights_environment["IQA_BPCLIP_WEIGHTS"])
    photos = [np.array(Image.open(folder / f"{name}.png")) for name in ("chelsea", "coffee")]
    limit = sum(scored(bpclip, photo)[0] for photo in photos) / 2
    file = folder.parent / "policies.toml"
    file.write_text(
        f"""
        [gate]
        weights = {{ bpclip = "bpclip-large" }}
        side = {{ review = 81 }}
        limits = [{{ score = true, model = "bpclip", fail = {limit} }}]
        """
    )
    arguments = ("--policy", "gate", "--policies-file", file, "--json", "--dtype", "float32")
    result = invoke("evaluate", folder, *arguments, environment=weights_environment)
    return Run(folder, limit, result.exit_code, json.loads(result.stdout), result.stderr)


def test_the_shares_are_of_the_photographs_that_could_be_read(run: Run) -> None:
    assert run.status == SOME_FAILED
    assert (run.printed["photographs"], run.printed["failed"], run.printed["policy"]) == (2, 1, "gate")
    assert "rocket.png: The PNG image is truncated or damaged." in run.complaints
    assert list(run.printed["models"]) == ["bpclip"]  # the policy needs no other
    # Both are 80 pixels high; the one that fails is not for review too.
    assert run.printed["untouched"] == {
        "fail": 0.5,
        "review": 0.5,
        "reasons": {"fail": {"bpclip score": 0.5}, "review": {"size": 1.0}},
    }
    assert list(run.printed["harmless"]) == list(HARMLESS)
    assert list(run.printed["distortions"]) == list(ORDERED)
    for name, shares in run.printed["distortions"].items():
        assert list(shares) == [str(level) for level in levels_of(name)]
        assert all(share["fail"] + share["review"] == 1 for share in shares.values())
        assert run.printed["worst"][name] == shares["5"]["fail"]


def test_each_level_is_judged_by_the_scores_of_the_plain_model(
    run: Run, weights_environment: dict[str, str]
) -> None:
    bpclip = load_model("bpclip", weights_environment["IQA_BPCLIP_WEIGHTS"])
    for distortion in ("white-noise", "darken"):
        levels = [
            [
                scored(bpclip, image)[0]
                for image in spoilt(np.array(Image.open(path)), distortion, seed_of(path.stem, distortion))
            ]
            for path in sorted(run.folder.glob("c*.png"))
        ]
        expected = (np.array(levels)[:, 1:] < run.limit).mean(axis=0)
        found = [share["fail"] for share in run.printed["distortions"][distortion].values()]
        assert found == expected.tolist()


def test_each_picture_is_judged_by_its_own_exposure(
    tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    folder = save_photographs(tmp_path / "good", "coffee")
    photo = np.array(Image.open(folder / "coffee.png"))
    # Between the photograph and what its highlights become when it is darkened most.
    darkened = spoilt(photo, "darken", seed_of("coffee", "darken"))
    levels = [measure_exposure(picture).mean_luminance for picture in darkened]
    limit = (levels[-2] + levels[-1]) / 2
    file = tmp_path / "policies.toml"
    file.write_text(f'[light]\nlimits = [{{ exposure = "mean_luminance", bad = "below", fail = {limit} }}]')
    arguments = ("--policy", "light", "--policies-file", file, "--models", "bpclip", "--json")
    result = invoke("evaluate", folder, *arguments, environment=weights_environment)
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["untouched"]["fail"] == 0
    shares = [share["fail"] for share in printed["distortions"]["darken"].values()]
    assert shares == [float(level < limit) for level in levels[1:]]
    assert shares[-1] == 1
    assert printed["distortions"]["darken"]["5"]["reasons"]["fail"] == {"mean_luminance": 1.0}
    assert all(share["fail"] == 0 for share in printed["distortions"]["brighten"].values())


@pytest.mark.parametrize("kind", ["photograph", "monochrome", "drawing"])
def test_photographs_are_measured_as_the_service_does(
    kind: str, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    sources = {name.removeprefix("IQA_").lower(): value for name, value in weights_environment.items()}
    settings = read_settings(**sources, dtype="float32", threads=1)
    scorer = Scorer(settings)
    panel = Panel(scorer, settings)
    pixels = (drawing("terminal", 0) if kind == "drawing" else named()["coffee"])[:250, :300]
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).convert("L" if kind == "monochrome" else "RGB").save(path)
    photo = panel.read(path)
    (opinions,) = panel.judge([photo.pixels], None, lambda _: None)
    found = panel.measured(opinions, Looks.of(photo.pixels), photo.width, photo.height)
    (scored,) = scorer.score([path])
    assert scored.answer is not None
    expected = MeasuredImage.of(scored.answer)
    assert (found.width, found.height, found.model) == (expected.width, expected.height, expected.model)
    assert found.exposure == expected.exposure
    assert (found.monochrome, found.photograph) == (expected.monochrome, expected.photograph)
    assert (found.monochrome, found.photograph) == (kind == "monochrome", kind != "drawing")
    assert list(found.opinions) == list(expected.opinions) == ["qualiclip", "bpclip"]
    for name, opinion in found.opinions.items():
        wanted = expected.opinions[name]
        assert opinion.score == pytest.approx(wanted.score, abs=1e-4)
        assert opinion.dimensions == pytest.approx(wanted.dimensions, abs=1e-3)
        assert opinion.probabilities == pytest.approx(wanted.probabilities, abs=1e-3)


def test_limits_of_other_weights_are_told_of(run: Run) -> None:
    assert (
        "policy-uncalibrated: the limits of the policy gate were found with other weights" in run.complaints
    )
    (warning,) = run.printed["warnings"]
    assert warning in run.complaints


def test_the_table_has_a_row_for_each_distortion(
    file: Path, tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    folder = save_photographs(tmp_path / "good", "chelsea", "coffee")
    arguments = ("--policy", "size", "--policies-file", file, "--limit", "1", "--models", "bpclip")
    result = invoke("evaluate", folder, *arguments, environment=weights_environment)
    assert result.exit_code == 0, result.stderr
    rows = {line.split("  ")[0].strip(): line.split() for line in result.stdout.splitlines()}
    assert {*ORDERED, *HARMLESS, "untouched"} <= set(rows)
    assert rows["untouched"] == ["untouched", "0.0", "/", "100.0"]
    assert "Of the worst level 0.0 % fail on average" in result.stdout
    assert "Untouched ones go to review for size 100.0 %." in result.stdout
    assert "Untouched ones fail" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--policy", "gates"),
            "There is no policy 'gates'; there are: upload, catalog, portrait, training-set, gate, size.",
        ),
        (
            ("--policy", "gate", "--models", "qualiclip"),
            "The policy gate needs the model bpclip, which is not",
        ),
        (("--policy", "gate", "--robustness"), "--robustness and --policy are two questions"),
        (("--policy", "gate", "--plot", "plot.svg"), "--plot goes with --robustness."),
        (("--policy", "gate", "--scores", "scores.csv"), "With --policy there are no people's scores"),
        (("--policy", "gate", "--out", "out.csv"), "With --policy there are no people's scores"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: tuple[str, ...],
    said: str,
    file: Path,
    tmp_path: Path,
    weights_environment: dict[str, str],
) -> None:
    folder = save_photographs(tmp_path / "good", "coffee")
    result = invoke("evaluate", folder, *arguments, "--policies-file", file, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    (sentence,) = result.stderr.splitlines()
    assert said in sentence
