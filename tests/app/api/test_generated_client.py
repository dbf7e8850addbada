"""A client that openapi-python-client generates from the OpenAPI document asks a running service.

The generator lives in an environment of its own, ``.venv-generator``, since it wants another typer.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import yaml

from app.api.openapi import IMAGE_TYPES

pytestmark = [pytest.mark.process, pytest.mark.slow]

_ROOT = Path(__file__).parents[3]
_ENVIRONMENT = ".venv-generator"
_CONFIG = _ROOT / "docs/openapi-python-client.yaml"
_PATIENCE_S = 280
_PROGRAM = """
import io, sys
from pathlib import Path
from service import Client
from service.api.quality import compare_images, score_batch, score_image
from service.api.service import list_models, list_policies
from service.models import *
from service.types import File

photo = Path(sys.argv[2]).read_bytes()
def file(): return File(io.BytesIO(photo), "photo.jpg", "image/jpeg")

with Client(base_url=sys.argv[1], raise_on_unexpected_status=True) as client:
    body, policy = ScoreImageFilesBody(image=file()), ScoreImagePolicy.UPLOAD
    form = score_image.sync(client=client, body=body, policy=policy)
    assert isinstance(form, ScoreAnswer), form
    assert form.verdict.policy == "upload" and len(form.models["bpclip"].adjectives) == 40
    brief = score_image.sync(client=client, body=File(photo), detail=ScoreImageDetail.SUMMARY)
    assert isinstance(brief, ScoreSummary) and brief.reading == form.models["bpclip"].reading, brief
    pair = compare_images.sync(client=client, body=CompareImagesFilesBody(reference=file(), distorted=file()))
    assert isinstance(pair, CompareAnswer) and pair.signal.ssim == 1, pair
    problem = score_image.sync(client=client, body=File(photo[:999]))
    assert isinstance(problem, ProblemDetails) and problem.type_.endswith("invalid-image"), problem
    assert list_models.sync(client=client).models and list_policies.sync(client=client).policies
"""


def _run(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def environment() -> Path:
    """The folder of the generator's programs; made once, and again where what it consists of changes."""
    _run(["make", "--no-print-directory", f"{_ENVIRONMENT}/ready", f"PYTHON={sys.executable}"])
    return _ROOT / _ENVIRONMENT / "bin"


@pytest.mark.timeout(2 * _PATIENCE_S)
def test_a_client_is_generated_without_a_warning_and_works(
    environment: Path, client: httpx.Client, photo: bytes, tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_bytes(client.get("/openapi.json").content)
    (tmp_path / "photo.jpg").write_bytes(photo)
    told = _run(
        [
            environment / "openapi-python-client", "generate", "--path", tmp_path / "openapi.json",
            "--output-path", tmp_path / "service", "--meta", "none", "--config", _CONFIG, "--fail-on-warning",
        ],
        PATH=f"{environment}:{os.environ['PATH']}",  # it formats with the ruff that it brings
    )  # fmt: skip
    assert "warning" not in told.lower()
    (tmp_path / "program.py").write_text(_PROGRAM, encoding="utf-8")
    program = [environment / "python", "-W", "error", tmp_path / "program.py"]
    _run([*program, str(client.base_url), tmp_path / "photo.jpg"], PYTHONPATH=str(tmp_path))


def test_the_generator_is_told_of_every_type_that_it_does_not_know() -> None:
    overrides = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))["content_type_overrides"]
    assert set(overrides) == {*IMAGE_TYPES, "application/x-ndjson"}
