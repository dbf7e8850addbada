"""A model that another package offers is served like ours, and no file of the project knows of it."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageFilter

from tests.app.command_line import ROOT, lines_of_json
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


_COMMANDS = """
import json, sys
sys.modules["piq"] = None  # the teachers of full-reference models, of which there is none here
from app.cli import app

for arguments in json.loads(sys.stdin.readline()):
    status = app(arguments, standalone_mode=False)
    print(f"ended with {status or 0}", flush=True)
"""


def _ended(environment: Mapping[str, str], *commands: Sequence[object]) -> tuple[list[tuple[str, str]], str]:
    """What each of several commands printed and its status, in one process, and what all complained of."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS],
        input=json.dumps([list(map(str, command)) for command in commands]) + "\n",
        capture_output=True, text=True, timeout=240, check=False, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "IQA_THREADS": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *parts, rest = re.split(r"^ended with (\d+)\n", done.stdout, flags=re.MULTILINE)
    assert (len(parts), rest) == (2 * len(commands), ""), (done.stdout, done.stderr)
    return list(zip(parts[::2], parts[1::2], strict=True)), done.stderr


def test_the_command_line_has_it_too(environment: Mapping[str, str], tmp_path: Path) -> None:
    for name, data in zip(("sharp", "blurred"), files(), strict=True):
        (tmp_path / f"{name}.png").write_bytes(data)
    score = ("score", tmp_path, "--models", "laplacian")
    ((lines, first), (shown, second)), complaints = _ended(environment, (*score, "--json"), score)
    assert (first, second) == ("0", "0"), complaints
    scores = {Path(line["file"]).stem: line["score"] for line in lines_of_json(lines)}
    assert scores["sharp"] > scores["blurred"]
    assert "sharp.png" in shown


def test_it_can_be_evaluated(environment: Mapping[str, str], tmp_path: Path) -> None:
    Image.fromarray(photographs()[0][:96, :128]).save(tmp_path / "photo.png")
    policies = tmp_path / "policies.toml"
    policies.write_text("[size]\nside = { fail = 100 }\n")
    questions = ("--robustness",), ("--gate",), ("--policy", "size", "--policies-file", policies)
    rest = "--split", "all", "--json", "--models", "laplacian"
    answers, complaints = _ended(
        environment, *(("evaluate", tmp_path, *question, *rest) for question in questions)
    )
    assert "Traceback" not in complaints
    for question, (printed, _) in zip(questions, answers, strict=True):
        (answer,) = lines_of_json(printed)
        assert answer["photographs"] == 1, (question, complaints)
