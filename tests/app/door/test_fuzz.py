"""The fuzzing, for a moment; all of it is a program, ``python -m tests.app.door.fuzz``."""

import json
import random

import pytest

from tests.app.door import mutations
from tests.app.door.fuzz import ENVIRONMENT, Fuzzer, fault_of
from tests.app.door.wire import BARE, Answer, address_of
from tests.app.running import running

_COUNT = 400
_SEED = 5


@pytest.mark.process
@pytest.mark.slow
def test_damaged_requests_harm_nobody(weights_environment: dict[str, str]) -> None:
    with running({**ENVIRONMENT, **weights_environment}) as (server, client):
        fuzzer = Fuzzer(address_of(client.base_url), _SEED, pid=server.process.pid)
        assert list(fuzzer.run(0, _COUNT)) == [_COUNT]
        assert fuzzer.findings.faults == []
        outcomes = fuzzer.findings.outcomes
        assert sum(outcomes.values()) == _COUNT
        # It gets through the door, and to every corner behind it.
        for outcome in ("200", "400 malformed-request", f"400 {BARE}", "415 unsupported-media-type",
                        "422 invalid-image", "422 image-too-large", "422 invalid-parameter"):  # fmt: skip
            assert outcomes[outcome], outcomes
        assert [entry for entry in server.entries() if entry["level"] == "error"] == []


def test_a_request_follows_from_its_number() -> None:
    assert [mutations.request(3, number) for number in range(40)] == [
        mutations.request(3, number) for number in range(40)
    ]
    assert len({mutations.request(3, number).data for number in range(40)}) == 40
    assert mutations.request(3, 1) != mutations.request(4, 1)


def test_damage_is_done() -> None:
    chance = random.Random(1)
    good = {data for _, data in mutations.sources()}
    damaged = [mutations.mutated_image(chance) not in good for _ in range(300)]
    assert sum(damaged) > 280  # a bit may be flipped back, a number be the same


@pytest.mark.parametrize(
    ("status", "slug", "sound"),
    [
        (422, "invalid-image", True), (501, "not-implemented", False), (400, BARE, True),
        (500, "internal-error", False), (503, "worker-unavailable", False), (504, "deadline-exceeded", False),
        (422, "unheard-of", False), (400, "invalid-image", False), (500, BARE, False), (204, "", False),
    ],
)  # fmt: skip
def test_which_refusal_is_a_fault(status: int, slug: str, sound: bool) -> None:
    type = "text/plain" if slug in ("", BARE) else "application/problem+json"
    body = json.dumps({"type": f"/problems/{slug}"}).encode()
    assert (fault_of(Answer(status, {"content-type": type}, body)) == "") is sound


@pytest.mark.parametrize(
    ("type", "body", "sound"),
    [
        ("application/json", b'{"score": 0.5}', True), ("application/json", b'{"score": NaN}', False),
        ("application/json", b'{"score": 1.5}', False), ("application/json", b"{}", False),
        ("application/x-ndjson", b'{"score": 0}\n{"type": "/problems/overloaded", "status": 429}\n', True),
        ("application/x-ndjson", b'{"type": "/problems/internal-error", "status": 500}\n', False),
        ("image/png", b"", True), ("text/html; charset=utf-8", b"<html>", False),
    ],
)  # fmt: skip
def test_which_good_answer_is_a_fault(type: str, body: bytes, sound: bool) -> None:
    assert (fault_of(Answer(200, {"content-type": type}, body)) == "") is sound
