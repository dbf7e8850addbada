"""Requests that other services would take: each rejection says what to send instead."""

import httpx
import pytest

from tests.app.problems import is_problem

pytestmark = pytest.mark.process

_FILES = {
    "/score": ["image"],
    "/score/map": ["image"],
    "/compare": ["reference", "distorted"],
    "/compare/map": ["reference", "distorted"],
    "/score/batch": ["images"],
}


def _detail(client: httpx.Client, path: str, fields: list[tuple[str, bytes]]) -> str:
    files = [(name, (None, data)) for name, data in fields]
    return str(is_problem(client.post(path, files=files), 400, "malformed-request")["detail"])


@pytest.mark.parametrize(
    ("path", "option"),
    [
        ("/score", "models"), ("/score", "quality_map"), ("/score", "policy"), ("/score", "detail_crops"),
        ("/score/map", "models"), ("/score/batch", "policy"), ("/compare", "resize"), ("/compare", "models"),
        ("/v1/score", "adjectives"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_an_option_in_the_form_is_told_its_place(
    client: httpx.Client, path: str, option: str, first: bool
) -> None:
    field = _FILES[path.removeprefix("/v1")][0]
    fields = [(option, b"bpclip"), (field, b"image")]
    detail = _detail(client, path, fields if first else fields[::-1])
    assert f"`{option}` is no field of the form" in detail
    assert f"?{option}=VALUE" in detail
    assert f"`{field}`" in detail


@pytest.mark.parametrize("path", list(_FILES))
@pytest.mark.parametrize("name", ["file", "images[]", "resize_", "x" * 3000, "a\nb"])
def test_another_field_is_named_with_those_that_there_are(client: httpx.Client, path: str, name: str) -> None:
    detail = _detail(client, path, [(name, b"x")])
    assert f"no field `{name[:40].replace(chr(10), '%0A')}`" in detail
    assert all(f"`{each}`" in detail for each in _FILES[path])
    assert len(detail) < 200


def test_an_option_of_another_route_is_no_option_here(client: httpx.Client) -> None:
    assert "is no field of the form" not in _detail(client, "/compare", [("quality_map", b"true")])


def test_a_form_without_its_boundary_is_told_whose_work_that_is(client: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    body = is_problem(client.post("/score", content=b"--x", headers=headers), 400, "malformed-request")
    assert "the library that makes the form" in str(body["detail"])


def test_another_method_is_told_the_right_one(client: httpx.Client) -> None:
    assert (
        is_problem(client.put("/score"), 405, "method-not-allowed")["detail"] == "The route takes POST only."
    )
