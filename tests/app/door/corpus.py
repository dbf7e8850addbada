"""The hostile corpus: every input that the service must have the right answer to, by name."""

from functools import cache

from tests.app.door.case import Case
from tests.app.door.cases import forms, pictures, pixels, requests, wholeness


@cache
def corpus() -> dict[str, Case]:
    """All cases; the bytes of each are made when it is asked for."""
    found = [case for module in (pictures, pixels, wholeness, forms, requests) for case in module.cases()]
    named = {case.name: case for case in found}
    assert len(named) == len(found), "two cases have one name"
    return named
