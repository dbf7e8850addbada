"""One hostile or odd input, and the only right answer to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.app.door.wire import Answer, form, lines_of, post

MARK: Final = b"THIS-STOOD-IN-THE-FILE"
"""Stands in files of the corpus, and must stand in no log."""


MOST_BYTES: Final = 6 * 2**20
"""What the server that is asked takes of a file."""


@dataclass(frozen=True)
class Expected:
    """An answer as it must be.

    Attributes:
        status: of it.
        slug: of the problem; wire.BARE for an error of the HTTP server; empty for a good answer.
        facts: values in its JSON by their dotted paths.
        warnings: codes of exactly the warnings about the file, where it is a score.
    """

    status: int
    slug: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] | None = None

    def check(self, answer: Answer) -> None:
        """Asserts that an answer is the expected one."""
        assert (answer.status, answer.slug) == (self.status, self.slug), answer.body[:300]
        if not self.facts and self.warnings is None:
            return
        body = answer.json()
        found = {path: _at(body, path) for path in self.facts}
        assert found == dict(self.facts)
        if self.warnings is not None:
            codes = {warning.partition(":")[0] for warning in body["warnings"]}
            assert codes - ABOUT_SIZE == set(self.warnings), body["warnings"]


ABOUT_SIZE: Final = frozenset({"scaled-down", "outside-validated-sizes"})
"""Warnings that depend on the weights."""


@dataclass(frozen=True)
class Case:
    """An input.

    Attributes:
        name: for people, and for pytest.
        request: makes the bytes to send.
        answers: to it; several where it holds several requests.
        hangs_up: whether the client closes its direction when it has sent them.
        like: makes an image file that must score the same, where the pixels are the same.
        further: asserts what else is true of the (last) answer.
    """

    name: str
    request: Callable[[], bytes]
    answers: tuple[Expected, ...]
    hangs_up: bool = False
    like: Callable[[], bytes] | None = None
    further: Callable[[Answer], None] = lambda answer: None


def good(*warnings: str, **facts: object) -> Expected:
    """A score, with facts of its ``image`` and exactly these warnings about the file."""
    return Expected(200, facts={f"image.{name}": value for name, value in facts.items()}, warnings=warnings)


def refused(status: int, slug: str, **facts: object) -> Expected:
    """A problem, with facts of its body."""
    return Expected(status, slug, facts)


TOO_LARGE: Final = refused(422, "image-too-large")
TOO_SMALL: Final = refused(422, "image-too-small")
DAMAGED: Final = refused(422, "invalid-image")
NO_IMAGE: Final = refused(415, "unsupported-media-type")
MALFORMED: Final = refused(400, "malformed-request")
BODY_TOO_LARGE: Final = refused(413, "body-too-large")
BAD_PARAMETER: Final = refused(422, "invalid-parameter")


def image(
    name: str,
    make: Callable[[], bytes],
    expected: Expected,
    *,
    label: str = "application/octet-stream",
    like: Callable[[], bytes] | None = None,
) -> Case:
    """An image file as the body of POST /score."""
    return Case(name, lambda: post("/score", make(), {"Content-Type": label}), (expected,), like=like)


def case(name: str, request: Callable[[], bytes], *answers: Expected, hangs_up: bool = False) -> Case:
    """A request as it goes over the wire, and the answers to it."""
    return Case(name, request, answers, hangs_up)


def a_form(name: str, parts: Callable[[], list[bytes]], expected: Expected, boundary: str = "edge") -> Case:
    """A form of such parts to POST /score."""
    return case(f"form: {name}", lambda: form("/score", parts(), boundary=boundary), expected)


def ndjson(*slugs: str) -> Callable[[Answer], None]:
    """Asserts that an answer has these outcomes by index: the slug of a problem, or an empty one."""

    def check(answer: Answer) -> None:
        found = {
            line["index"]: str(line.get("type", "")).removeprefix("/problems/") for line in lines_of(answer)
        }
        assert found == dict(enumerate(slugs))

    return check


def _at(body: Any, path: str) -> object:
    for name in path.split("."):
        body = body[name]
    return body
