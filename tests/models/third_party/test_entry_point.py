"""A model that another package offers is served like ours, and no file of the project knows of it."""

import io
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageFilter

from tests.app.command_line import ROOT, lines_of_json, start
from tests.app.running import running
from tests.photographs import photographs

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to be put on the path of Python: the module and what an installer writes beside it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("laplacian.py"), folder)
    about = folder / "iqa_laplacian-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: iqa-laplacian\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[iqa.models]\nlaplacian = laplacian:SPEC\n")
    return folder


@pytest.fixture(scope="module")
def environment(package: Path, weights_environment: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(package)])
    return {**weights_environment, "PYTHONPATH": path, "IQA_MODELS": "bpclip,laplacian"}


@pytest.fixture(scope="module")
def client(environment: Mapping[str, str]) -> Iterator[httpx.Client]:
    with running(environment) as (_, client):
        yield client


def files() -> tuple[bytes, bytes]:
    """A photograph, and the same one blurred."""
    sharp = Image.fromarray(photographs()[0][:96, :128])
    found = []
    for image in (sharp, sharp.filter(ImageFilter.GaussianBlur(3))):
        file = io.BytesIO()
        image.save(file, "PNG")
        found.append(file.getvalue())
    return found[0], found[1]


def test_it_is_served_beside_ours(client: httpx.Client) -> None:
    listed = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert listed["laplacian"]["title"] == "Laplacian"
    answers = [client.post("/score", files={"image": file}).json() for file in files()]
    sharp, blurred = (answer["models"]["laplacian"] for answer in answers)
    assert sharp["score"] > 4 * blurred["score"] > 0
    assert (sharp["dimensions"], sharp["adjectives"]) == (None, [])
    assert answers[0]["model"] == "bpclip"
    assert answers[0]["dimensions"] is not None


def test_alone_its_score_is_the_answers(client: httpx.Client) -> None:
    answer = client.post(
        "/score", params={"models": "laplacian", "quality_map": True}, files={"image": files()[0]}
    ).json()
    assert (answer["model"], answer["dimensions"]) == ("laplacian", None)
    assert answer["score"] == answer["models"]["laplacian"]["score"]
    assert answer["quality_map"]["width"] > 0
    both = dict(zip(("reference", "distorted"), files(), strict=True))
    compared = client.post("/compare", params={"models": "laplacian"}, files=both).json()
    assert compared["differences"]["score"] < 0
    assert (compared["differences"]["dimensions"], compared["differences"]["adjectives"]) == (None, [])


def test_a_policy_that_limits_words_does_not_apply(client: httpx.Client) -> None:
    answer = client.post(
        "/score", params={"models": "laplacian", "policy": "upload"}, files={"image": files()[0]}
    )
    assert answer.status_code == 422


def test_the_command_line_has_it_too(environment: Mapping[str, str], tmp_path: Path) -> None:
    for name, data in zip(("sharp", "blurred"), files(), strict=True):
        (tmp_path / f"{name}.png").write_bytes(data)
    command = start(
        "score", tmp_path, "--json", "--models", "laplacian",
        environment={**environment, "IQA_THREADS": "1"},
    )  # fmt: skip
    out, err = command.communicate(timeout=120)
    assert command.returncode == 0, err
    scores = {Path(line["file"]).stem: line["score"] for line in lines_of_json(out)}
    assert scores["sharp"] > scores["blurred"]
    shown = start("score", tmp_path, "--models", "laplacian", environment=environment)
    out, err = shown.communicate(timeout=120)
    assert (shown.returncode, "sharp.png" in out) == (0, True), err


def test_it_can_be_evaluated(environment: Mapping[str, str], tmp_path: Path) -> None:
    Image.fromarray(photographs()[0][:96, :128]).save(tmp_path / "photo.png")
    policies = tmp_path / "policies.toml"
    policies.write_text("[size]\nside = { fail = 100 }\n")
    for question in (("--robustness",), ("--gate",), ("--policy", "size", "--policies-file", policies)):
        command = start(
            "evaluate", tmp_path, *question, "--split", "all", "--json", "--models", "laplacian",
            environment={**environment, "IQA_THREADS": "1"},
        )  # fmt: skip
        out, err = command.communicate(timeout=240)
        assert "Traceback" not in err, (question, err)
        (answer,) = lines_of_json(out)
        assert answer["photographs"] == 1, (question, err)
