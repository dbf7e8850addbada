"""The documents, and what app/ and models/ say, keep to plain technical English.

A word or phrase that is hard to read in technical prose is listed once, with what to write in its place. The
documents contain none of them. In comments, docstrings and other strings of the code, some still occur; a
phrase that has disappeared there is added to ``_GONE_FROM_CODE`` and must not return.

The spelling is American, in names too: the dictionary of codespell knows the British one.
"""

import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest

_ROOT = Path(__file__).parents[1]

_INSTEAD: Final = {
    "who": "the technical noun: client, request, worker, operator, caller",
    "whoever": "anyone, or the technical noun",
    "whom": "the technical noun",
    "nobody": "no client, no request, ...",
    "somebody": "the technical noun",
    "everybody": "everyone, or the technical noun",
    "the other": "the technical noun",
    "come again": "retry",
    "comes again": "retries",
    "tried again": "retried",
    "go on": "resume, continue",
    "goes on": "resumes, continues",
    "gone on": "resumed, continued",
    "going on": "resuming, in progress",
    "went on": "resumed, continued",
    "begin anew": "restart",
    "anew": "again",
    "refuse": "reject",
    "refuses": "rejects",
    "refused": "rejected",
    "refusing": "rejecting",
    "spoil": "distort",
    "spoils": "distorts",
    "spoilt": "distorted",
    "spoiled": "distorted",
    "settle": "fit, decide",
    "settled": "fitted, decided",
    "hold against": "compare with",
    "held against": "compared with",
    "holds against": "compares with",
    "lay to": "attribute to",
    "laid to": "attributed to",
    "aboard": "in flight",
    "passing": "transient",
    "not taken": "unsupported, not accepted",
    "else": "otherwise",
    "stumbled": "failed",
    "met a fault": "failed with an exception",
    "likewise": "the repeated noun",
    "of it": "the noun",
    "of theirs": "the noun",
    "is to": "must, may, can",
    "are to": "must, may, can",
    "has to": "must",
    "have to": "must",
}
"""Words and phrases to avoid, and what to write in their place."""

_GONE_FROM_CODE: Final = frozenset({
    "going on", "went on", "spoiled", "holds against", "lay to",
})  # fmt: skip
"""Phrases that comments, docstrings and strings of app/ and models/ no longer contain."""

_SPELLED_SO: Final = frozenset({"cancelled", "cancelling", "writeable"})
"""By asyncio and NumPy."""
_NAMES_OF_DISTORTIONS: Final = re.compile("colour-(?:diffusion|blocks)")
"""They keep their spelling (:mod:`models.training.distortions.table`)."""
_WORD: Final = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""Also in ``snake_case`` and ``camelCase``."""

_OF_PEOPLE: Final = re.compile(r"\b(anyone|person|people)\s+who\b", re.IGNORECASE)
"""Where the actor is named, and a person."""


def _pattern(phrases: Iterator[str] | list[str]) -> re.Pattern[str]:
    longest_first = sorted(phrases, key=len, reverse=True)
    either = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
    return re.compile(rf"(?<![\w'-])(?:{either})(?![\w'-])", re.IGNORECASE)


def found(text: str, phrases: Iterator[str] | list[str]) -> Counter[str]:
    """How often each of the phrases occurs in a text, however its lines are broken."""
    return Counter(
        " ".join(match.lower().split()) for match in _pattern(phrases).findall(_OF_PEOPLE.sub(r"\1", text))
    )


def prose(markdown: str) -> str:
    """A page without blocks of code, code in backticks, and addresses of links."""
    text = re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]+`", "", text))


def newest_section(changelog: str) -> str:
    """The text below the first heading of the second level."""
    return re.split(r"^## .*$", changelog, flags=re.MULTILINE)[1]


def said(source: str) -> str:
    """The comments and strings of a program, docstrings included."""
    parts = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join(token.string.lstrip("#") for token in tokens if token.type in parts)


def _documents() -> dict[str, str]:
    names = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
    pages = [*(_ROOT / name for name in names), *sorted((_ROOT / "docs").glob("*.md"))]
    texts = {page.relative_to(_ROOT).as_posix(): prose(page.read_text(encoding="utf-8")) for page in pages}
    changelog = (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return texts | {"CHANGELOG.md": prose(newest_section(changelog))}


def _code() -> Iterator[tuple[str, str]]:
    for folder in ("app", "models"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            yield path.relative_to(_ROOT).as_posix(), said(path.read_text(encoding="utf-8"))


def _spellings() -> dict[str, str]:
    """American spellings by British ones."""
    known = files("codespell_lib").joinpath("data/dictionary_en-GB_to_en-US.txt").read_text(encoding="utf-8")
    pairs = (line.split("->") for line in known.splitlines())
    return {british: american.rstrip(",") for british, american in pairs if british not in _SPELLED_SO}


def british(text: str, spellings: dict[str, str]) -> set[str]:
    """The words of a text, or the parts of its names, that have an American spelling."""
    words = {word.lower() for word in _WORD.findall(_NAMES_OF_DISTORTIONS.sub("", text))}
    return words & spellings.keys()


def _texts() -> Iterator[Path]:
    yield from (_ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"))
    yield _ROOT / "Makefile"
    for folder in ("app", "docker", "docs", "models"):
        for path in sorted((_ROOT / folder).rglob("*")):
            if path.suffix in {".css", ".html", ".js", ".md", ".py", ".toml", ".yaml", ".yml"}:
                yield path


def _shown(hits: dict[str, Counter[str]]) -> dict[str, list[str]]:
    return {
        name: [f"{phrase!r}: write {_INSTEAD[phrase]}" for phrase in phrases]
        for name, phrases in hits.items()
        if phrases
    }


def test_the_documents_avoid_what_is_hard_to_read() -> None:
    assert _shown({name: found(text, list(_INSTEAD)) for name, text in _documents().items()}) == {}


def test_what_has_disappeared_from_the_code_does_not_return() -> None:
    assert set(_INSTEAD) >= _GONE_FROM_CODE
    assert _shown({name: found(text, sorted(_GONE_FROM_CODE)) for name, text in _code()}) == {}


def test_the_spelling_is_american() -> None:
    spellings = _spellings()
    found_in = {
        path.relative_to(_ROOT).as_posix(): british(path.read_text(encoding="utf-8"), spellings)
        for path in _texts()
    }
    assert {name: words for name, words in found_in.items() if words} == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Grey, in\ncolour.", {"grey", "colour"}),
        ("def _normalise_all(greyLevel): ...", {"normalise", "grey"}),
        ("colour-diffusion, GREY", {"grey"}),
        ("Fine: gray, otherwise, cancelled, compare", set()),
    ],
)
def test_british_spellings_are_found_in_names_too(text: str, words: set[str]) -> None:
    assert british(text, _spellings()) == words


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Whoever asks is\nrefused.", ["refused", "whoever"]),
        ("The whole of\n  it goes\non.", ["goes on", "of it"]),
        ("Anyone who asks, a client who asks", ["who"]),
        ("Fine: the others, a reason, elsewhere, has too, who's-who", []),
    ],
)
def test_phrases_are_found_as_whole_words(text: str, phrases: list[str]) -> None:
    assert sorted(found(text, list(_INSTEAD))) == phrases


def test_code_is_no_prose() -> None:
    assert prose("a `who` b [c](else.md)\n```\nwho\n```\nd").split() == ["a", "b", "[c]", "d"]


def test_only_comments_and_strings_of_a_program_are_read() -> None:
    source = '"""Who."""\nif x:  # aboard\n    y = "spoilt"\nelse:\n    y = f"go on {x}"\n'
    assert sorted(found(said(source), list(_INSTEAD))) == ["aboard", "go on", "spoilt", "who"]
