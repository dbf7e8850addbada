"""The routes beside the scores, on a running server."""

import html
import re
from pathlib import Path

import httpx
import jsonschema_rs
import pytest

from app.errors import PROBLEMS
from models.calibration import Calibration
from models.faults import FAULTS
from models.vocabulary import DIMENSIONS
from tests.app.problems import is_problem
from tests.app.running import running
from tests.calibrations import calibrated, calibration

pytestmark = pytest.mark.process


def test_models_says_what_is_loaded(client: httpx.Client) -> None:
    answer = client.get("/models").json()
    kinds = {model["name"]: model["kind"] for model in answer["models"]}
    assert kinds == {"qualiclip": "no-reference", "bpclip": "no-reference", "bpclip-fr": "full-reference"}
    first = answer["models"][0]
    assert (first["device"], first["longest_side"]) == ("cpu", 384)
    assert first["dtype"] in ("float32", "bfloat16")  # what suits the processor
    assert first["parameters"] > 1000
    assert answer["limits"]["max_pixels"] == 1_000_000
    assert list(answer["adjectives"]) == list(DIMENSIONS)
    assert answer["adjectives"]["sharpness"][0] == {"positive": "clear", "negative": "blurry"}
    assert [model["calibration"] for model in answer["models"]] == [None] * 3
    assert [fault["name"] for fault in answer["faults"]] == [fault.name for fault in FAULTS]
    assert answer["faults"][0] == {
        "name": "blur",
        "dimension": "sharpness",
        "adjectives": ["blurry", "soft", "defocused", "smeared"],
        "slight": "slightly soft",
        "strong": "blurry",
    }


def test_models_carries_the_calibration_of_the_weights(
    weights_environment: dict[str, str], weights_folder: Path, tmp_path: Path
) -> None:
    path = calibrated(weights_folder / "bpclip.safetensors", "bpclip", tmp_path)
    with running(weights_environment | {"IQA_BPCLIP_WEIGHTS": str(path)}) as (_, client):
        response = client.get("/models")
        document = client.get("/openapi.json").json()
    described = document["paths"]["/models"]["get"]["responses"]["200"]["content"]["application/json"]
    jsonschema_rs.validate({**described["schema"], "components": document["components"]}, response.json())
    models = {model["name"]: model for model in response.json()["models"]}
    assert Calibration.model_validate(models["bpclip"]["calibration"]) == calibration()
    assert models["qualiclip"]["calibration"] is None


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/readyz"])
def test_probes(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["x-request-id"]


def test_metrics_count_requests_and_batches(client: httpx.Client, photo: bytes) -> None:
    def value(name: str) -> float:
        lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name + " ")]
        return float(lines[0].split()[1]) if lines else 0.0

    success = 'iqa_requests_total{route="/score",slug="",status="200"}'
    before = value(success), value("iqa_batch_images_count"), value("iqa_decode_seconds_count")
    assert client.post("/score", content=photo).status_code == 200
    after = value(success), value("iqa_batch_images_count"), value("iqa_decode_seconds_count")
    assert [late - early for early, late in zip(before, after, strict=True)] == [1, 1, 1]
    assert value("iqa_queued_pixels") == 0


@pytest.mark.parametrize("slug", list(PROBLEMS))
def test_every_problem_has_its_page(client: httpx.Client, slug: str) -> None:
    response = client.get(f"/problems/{slug}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert f"<code>{slug}</code>, status {PROBLEMS[slug].status}" in response.text
    assert f"<h1>{html.escape(PROBLEMS[slug].title)}</h1>" in response.text


@pytest.mark.parametrize("base", ["", "/v1"])
def test_the_page_of_a_problem_is_styled_and_leads_on(client: httpx.Client, base: str) -> None:
    response = client.get(f"{base}/problems/overloaded")
    assert "style-src 'self'" in response.headers["content-security-policy"]
    assert "script-src" not in response.headers["content-security-policy"]
    addresses = re.findall(r'(?:href|src)="([^"]+)"', response.text)
    assert set(PROBLEMS) <= set(addresses)
    for address in {*addresses[:8], "not-found"}:
        assert client.get(response.url.join(address)).status_code == 200
    (sheet,) = re.findall(r'rel="stylesheet" href="([^"]+)"', response.text)
    assert client.get(response.url.join(sheet)).headers["content-type"].startswith("text/css")


def test_an_unknown_problem_is_not_found(client: httpx.Client) -> None:
    is_problem(client.get("/problems/none"), 404, "not-found")


def test_docs_show_the_document(client: httpx.Client) -> None:
    for page in ("/docs", "/v1/docs"):
        assert "url: 'openapi.json'" in client.get(page).text
    assert client.get("/v1/openapi.json").json() == client.get("/openapi.json").json()
