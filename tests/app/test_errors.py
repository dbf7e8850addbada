"""The exception tree against the table of the contract."""

import pytest

from app.errors import PROBLEMS, ImageTooLarge, Overloaded, ServiceError, TemporaryError

TABLE = {
    400: ["malformed-request"],
    401: ["unauthorized"],
    403: ["fetch-not-allowed"],
    404: ["not-found"],
    405: ["method-not-allowed"],
    408: ["body-timeout"],
    413: ["body-too-large"],
    415: ["unsupported-media-type"],
    422: [
        "invalid-image", "image-too-large", "image-too-small", "size-mismatch", "invalid-parameter",
        "unknown-model", "text-encoder-unavailable",
    ],
    429: ["overloaded", "rate-limited"],
    500: ["internal-error", "poison-input"],
    503: ["starting", "draining", "worker-unavailable"],
    502: ["fetch-failed"],
    504: ["deadline-exceeded"],
}  # fmt: skip


def test_the_tree_is_the_table() -> None:
    assert {slug: problem.status for slug, problem in PROBLEMS.items()} == {
        slug: status for status, slugs in TABLE.items() for slug in slugs
    }


@pytest.mark.parametrize("problem", PROBLEMS.values())
def test_every_problem_can_be_told(problem: type[ServiceError]) -> None:
    body = problem().body("id")
    assert body["type"] == f"/problems/{problem.slug}"
    assert (body["status"], body["request_id"]) == (problem.status, "id")
    assert body["detail"]
    assert problem.explanation.endswith((".", ")"))


def test_every_429_and_503_says_when_to_come_again() -> None:
    temporary = {slug for slug, problem in PROBLEMS.items() if issubclass(problem, TemporaryError)}
    assert temporary == {*TABLE[429], *TABLE[503]}
    assert Overloaded(retry_after=2.1).headers == {"Retry-After": "3"}
    assert Overloaded(retry_after=0).headers == {"Retry-After": "1"}


def test_fields_of_its_own_stand_beside_the_others() -> None:
    assert ImageTooLarge("Too large.", max_pixels=5).body("x")["max_pixels"] == 5
