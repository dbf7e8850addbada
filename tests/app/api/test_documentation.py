"""The OpenAPI document agrees with the running server."""

from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.errors import PROBLEMS
from tests.app.files import encoded
from tests.photographs import named


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


def test_answers_are_as_documented(client: httpx.Client, document: dict[str, Any], photo: bytes) -> None:
    _valid(document, "/score", client.post("/score", content=photo))
    _valid(document, "/score", client.post("/score", content=photo[:999]))
    other = encoded(255 - named()["chelsea"])
    _valid(document, "/compare", client.post("/compare", files={"reference": photo, "distorted": other}))
    _valid(document, "/compare", client.post("/compare", content=photo))
    _valid(document, "/models", client.get("/models"))
    _valid(document, "/readyz", client.get("/readyz"))
    _valid(document, "/", client.get("/"))


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
    # The others belong to no route (yet): wrong paths and methods, keys and budgets.
    assert set(PROBLEMS) - documented == {"unauthorized", "method-not-allowed", "rate-limited"}


def test_whatever_is_asked_the_answer_is_documented(client: httpx.Client) -> None:
    url = str(client.base_url)
    for operation in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():

        @settings(
            max_examples=10,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.ok().as_strategy())
        def conform(case: schemathesis.Case) -> None:
            # A document cannot say what makes bytes an image, so valid questions may well be refused.
            excluded = [positive_data_acceptance, not_a_server_error]
            response = case.call_and_validate(base_url=url, excluded_checks=excluded)
            assert response.status_code < 500 or response.status_code == 501

        conform()


@pytest.mark.parametrize("base", ["", "/v1"])
def test_the_interactive_page_needs_no_other_host(client: httpx.Client, base: str) -> None:
    page = client.get(f"{base}/docs").text
    assert "https://" not in page
    assert "http://" not in page
    assert f"{base}/openapi.json" in page
    for name, kind in (
        ("swagger-ui-bundle.js", "javascript"),
        ("swagger-ui.css", "css"),
        ("favicon.png", "png"),
    ):
        assert f"{base}/docs/{name}" in page
        file = client.get(f"{base}/docs/{name}")
        assert file.status_code == 200
        assert kind in file.headers["content-type"]
    assert client.get(f"{base}/docs/passwords.txt").status_code == 404
