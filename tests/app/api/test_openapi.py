"""The OpenAPI document agrees with the running server."""

import random
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import strategies
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine.recorder import ScenarioRecorder

from app.api import openapi
from app.api.examples import FOLDER
from app.api.openapi import IMAGE_TYPES, OfferedPolicies
from app.api.routes import score
from app.errors import PROBLEMS
from app.schemas.score import ScoreAnswer
from app.schemas.summary import ScoreSummary
from models.checkpoints.sources import load_weights
from tests.app.door import making, mutations
from tests.app.files import encoded
from tests.contradictions import contradictions
from tests.photographs import named

pytestmark = pytest.mark.process

_EXAMPLES = 40
"""Per operation and way of generating, beside those that follow from the document."""
_LEAST_REQUESTS = 250
_REQUEST_ID = re.compile(rb',"request_id":"[^"]*"')


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def _valid(document: dict[str, Any], path: str, response: httpx.Response) -> None:
    """Asserts that a response is one that the document describes."""
    described = document["paths"][path][response.request.method.lower()]["responses"][
        str(response.status_code)
    ]
    media_type = response.headers["content-type"].split(";")[0]
    schema = {**described["content"][media_type]["schema"], "components": document["components"]}
    jsonschema_rs.validate(schema, response.json())


def test_operations_have_names_that_a_generated_client_can_use(document: dict[str, Any]) -> None:
    names = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert names == {
        "score_image", "score_map", "score_batch", "compare_images", "compare_map", "pick_images",
        "calibrate_policy_limits",
        "list_models", "list_policies", "explain_problem", "read_metrics", "livez", "readyz", "show_page",
    }  # fmt: skip


def test_answers_are_as_documented(client: httpx.Client, document: dict[str, Any], photo: bytes) -> None:
    _valid(document, "/score", client.post("/score", content=photo))
    _valid(document, "/score", client.post("/score", content=photo[:999]))
    other = encoded(255 - named()["chelsea"])
    _valid(document, "/compare", client.post("/compare", files={"reference": photo, "distorted": other}))
    files = {"reference": photo, "distorted": other}
    query = "detail=summary&embedding=true&difference_map=true&measures=vsi&policy=upload"
    _valid(document, "/compare", client.post(f"/compare?{query}", files=files))
    _valid(document, "/compare", client.post("/compare", content=photo))
    _valid(document, "/score", client.post("/score?policy=upload", content=photo))
    _valid(
        document, "/score", client.post("/score?policy=upload&detail=summary&embedding=true", content=photo)
    )
    _valid(document, "/models", client.get("/models"))
    _valid(document, "/policies", client.get("/policies"))
    _valid(document, "/readyz", client.get("/readyz"))
    page = document["paths"]["/"]["get"]["responses"]["200"]
    assert list(page["content"]) == [client.get("/").headers["content-type"].partition(";")[0]]


def test_every_field_is_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    def described(field: dict[str, Any]) -> bool:
        return "description" in field or "description" in schemas[field["$ref"].rpartition("/")[2]]

    fields = {
        f"{name}.{field}": value
        for name, schema in schemas.items()
        for field, value in schema.get("properties", {}).items()
    }
    assert len(fields) > 150
    assert [name for name, field in fields.items() if not described(field)] == []


def test_examples_are_answers(document: dict[str, Any]) -> None:
    examples = {}
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                for media_type, content in response.get("content", {}).items():
                    schema = {**content["schema"], "components": document["components"]}
                    for name, example in content.get("examples", {}).items():
                        jsonschema_rs.validate(schema, example["value"])
                        examples[media_type, name] = example["value"]
    assert {name for media_type, name in examples if media_type == "application/json"} == {
        path.stem for path in FOLDER.glob("*.json")
    }
    summary = ScoreSummary.model_validate(examples["application/json", "score-summary"])
    full = ScoreAnswer.model_validate(examples["application/json", "score"])
    assert summary.reading == full.reading
    assert contradictions(full) == []
    weights = {name: model.weights for name, model in full.models.items()}
    assert {name: used.sha256 for name, used in weights.items()} == {
        name: load_weights(name).sha256 for name in weights
    }, "the weights have changed; python -m tests.app.api.examples renews the examples"


def test_every_route_documents_its_problems(document: dict[str, Any]) -> None:
    documented = set()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["responses"]["500"], path
            for status, response in operation["responses"].items():
                if status >= "4":
                    examples = response["content"]["application/problem+json"]["examples"]
                    documented |= set(examples)
                    assert all(str(example["value"]["status"]) == status for example in examples.values())
    # It belongs to no route.
    assert set(PROBLEMS) - documented == {"method-not-allowed"}


def _parameters(document: dict[str, Any]) -> set[str]:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    return {each["name"] for operation in operations for each in operation.get("parameters", ())}


def test_words_are_offered_only_where_weights_can_compare_with_them(
    client: httpx.Client, document: dict[str, Any]
) -> None:
    assert "adjectives" not in _parameters(document)
    assert {"models", "detail", "policy"} <= _parameters(document)
    wrong = client.post("/score?adjectivs=moody", content=b"").json()
    assert "adjectives" not in wrong["detail"]
    assert "adjectives" not in wrong["known"]
    app = FastAPI()
    app.include_router(score.router)
    offered = openapi.document(app, False, ("bpclip",), OfferedPolicies((), ()), words=True)
    assert "adjectives" in _parameters(offered)


@pytest.mark.slow
@pytest.mark.parametrize("files", ["good", "damaged"])
def test_whatever_is_asked_the_answer_is_documented(client: httpx.Client, files: str) -> None:
    good = strategies.sampled_from(list(making.files().values()))  # of one size, so any two can be compared
    damaged = strategies.integers(0, 2**32).map(lambda seed: mutations.mutated_image(random.Random(seed)))
    _generate(good if files == "good" else damaged)
    accepted = ["2xx", "429", "504", "403"]  # whose address the settings do not name is not fetched
    if files == "damaged":
        # No document can say what makes bytes an image.
        accepted += ["415", "422"]
    url = str(client.base_url)
    config = _all_checks(accepted, corners=files == "good")
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    sent, failures = 0, []
    for event in engine.from_schema(schema).execute():
        assert not isinstance(event, engine.events.NonFatalError | engine.events.FatalError), event
        if isinstance(event, engine.events.ScenarioFinished):
            sent += len(event.recorder.cases)
            failures += list(_failures(event.recorder))
    assert sent > _LEAST_REQUESTS
    assert not failures, "\n".join(sorted(set(failures)))


def _generate(images: strategies.SearchStrategy[bytes]) -> None:
    """Has image files generated wherever the document wants one, as a body or as a field of a form."""
    schemathesis.openapi.format("binary", images)
    for media_type in (*IMAGE_TYPES, "application/octet-stream"):
        schemathesis.openapi.media_type(media_type, images)


def _all_checks(accepted: list[str], *, corners: bool) -> SchemathesisConfig:
    """Every check that there is, with `accepted` for what keeps to the document.

    With `corners`, each parameter is taken to its limits, and beyond, one by one, whatever the files are;
    there are fewer other requests then.
    """
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "generation": {
                "mode": "all",
                "max-examples": _EXAMPLES // 2 if corners else _EXAMPLES,
                "database": "none",
                "no-shrink": True,
            },
            "phases": {
                "coverage": {"enabled": corners},
                "stateful": {"enabled": False},  # no route makes anything that another one could use
            },
            "continue-on-failure": True,
            # Nor what scores are of the weights that are loaded, and enough of them.
            "operations": [
                {
                    "include-path": "/calibrate",
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*accepted, "422"]}},
                }
            ],
            "checks": {
                "positive_data_acceptance": {"expected-statuses": accepted},
                # A time may be too short by the caller's own wish.
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "504"]},
            },
        }
    )


def _failures(recorder: ScenarioRecorder) -> Iterator[str]:
    """What the checks found, a line each."""
    for key, checks in recorder.checks.items():
        case, answer = recorder.cases[key].value, recorder.interactions[key].response
        content = b"" if answer is None else answer.content
        for check in checks:
            if check.failure_info is None:
                continue
            # The document cannot say that a policy needs one of the models.
            untold = b" too, which is not asked."
            if check.name == "positive_data_acceptance" and untold in content:
                continue
            asked = f"{case.method} {case.path} {case.query} {case.headers} {case.media_type}"
            told = check.failure_info.failure.message.replace("\n", " ")
            yield f"{check.name}: {asked} -> {told} {_REQUEST_ID.sub(b'', content)[:250]!r}"


@pytest.mark.parametrize("base", ["", "/v1"])
def test_the_interactive_page_needs_no_other_host(client: httpx.Client, base: str) -> None:
    page = client.get(f"{base}/docs").text
    assert "https://" not in page
    assert "http://" not in page
    assert "'openapi.json'" in page  # all links are relative, for any prefix
    for name, kind in (
        ("swagger-ui-bundle.js", "javascript"),
        ("swagger-ui.css", "css"),
        ("favicon.png", "png"),
    ):
        assert f'"docs/{name}"' in page
        file = client.get(f"{base}/docs/{name}")
        assert file.status_code == 200
        assert kind in file.headers["content-type"]
    assert client.get(f"{base}/docs/passwords.txt").status_code == 404
