"""What every problem answer must be."""

import httpx


def is_problem(response: httpx.Response, status: int, slug: str) -> dict[str, object]:
    """Asserts that a response is the problem of this slug; its body."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body: dict[str, object] = response.json()
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    return body
