"""Who is let in, and how much, without any HTTP."""

from pathlib import Path
from typing import Any

import pytest

from app.auth.access import EVERYBODY, Access, Bill, Caller
from app.auth.api_keys import ApiKey, digest_of
from app.auth.token_bucket import Bucket
from app.errors import RateLimited, Unauthorized
from app.settings import Settings

ANNA, BOB, CARL = b"anna's key", b"bob's key", b"carl's key"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _lines(*keys: tuple[str, bytes, int | None]) -> str:
    return "\n".join(ApiKey(name, digest_of(key), rate).line() for name, key, rate in keys)


def _access(clock: Clock, *keys: tuple[str, bytes, int | None], **settings: Any) -> Access:
    return Access(Settings(api_keys=_lines(*keys), **settings), clock)


def test_without_keys_everybody_is_let_in() -> None:
    access = Access(Settings())
    assert not access.locked
    for presented in ([], [b"anything"], [b"a", b"b", b"c"]):
        caller = access.caller(presented)
        assert caller is EVERYBODY
        caller.charge(10**12)
        caller.require_budget()


def test_the_key_names_the_caller() -> None:
    access = _access(Clock(), ("anna", ANNA, None), ("bob", BOB, None))
    assert access.locked
    assert access.caller([ANNA]).name == "anna"
    assert access.caller([BOB, BOB]).name == "bob"
    assert access.caller([ANNA, BOB]).name == "anna"


@pytest.mark.parametrize(
    ("presented", "challenge"),
    [
        ([], 'Bearer realm="iqa-service"'),
        ([b""], 'Bearer realm="iqa-service", error="invalid_token"'),
        ([CARL], 'Bearer realm="iqa-service", error="invalid_token"'),
        ([ANNA, CARL], 'Bearer realm="iqa-service", error="invalid_token"'),
        ([CARL, ANNA], 'Bearer realm="iqa-service", error="invalid_token"'),
        ([ANNA, BOB, ANNA + b"1"], 'Bearer realm="iqa-service", error="invalid_token"'),
        ([ANNA[:-1]], 'Bearer realm="iqa-service", error="invalid_token"'),
        ([digest_of(ANNA)], 'Bearer realm="iqa-service", error="invalid_token"'),
        ([digest_of(ANNA).hex().encode()], 'Bearer realm="iqa-service", error="invalid_token"'),
    ],
)
def test_others_are_not_let_in(presented: list[bytes], challenge: str) -> None:
    access = _access(Clock(), ("anna", ANNA, None), ("bob", BOB, None))
    with pytest.raises(Unauthorized) as caught:
        access.caller(presented)
    assert caught.value.headers == {"WWW-Authenticate": challenge}
    assert not any(key.decode("latin-1") in str(caught.value.body("1")) for key in presented if key)


def test_a_budget_is_paid_after_and_waited_for_before() -> None:
    clock = Clock()
    access = _access(clock, ("anna", ANNA, 1000), ("bob", BOB, None), ("carl", CARL, 1000))
    access.caller([ANNA]).charge(12_000)
    with pytest.raises(RateLimited) as caught:
        access.caller([ANNA]).require_budget()
    assert caught.value.headers["Retry-After"] == "3"  # 2.001 s
    access.caller([CARL]).require_budget()  # everybody has their own
    access.caller([BOB]).charge(10**12)
    access.caller([BOB]).require_budget()
    clock.now += 2
    with pytest.raises(RateLimited) as caught:
        access.caller([ANNA]).require_budget()
    assert caught.value.headers["Retry-After"] == "1"
    clock.now += 1
    access.caller([ANNA]).require_budget()


def test_each_http_process_grants_its_share() -> None:
    clock = Clock()
    access = _access(clock, ("anna", ANNA, 1000), http_processes=4)
    caller = access.caller([ANNA])
    caller.charge(2_500)
    with pytest.raises(RateLimited):
        caller.require_budget()
    assert caller.bucket is not None
    assert caller.bucket.rate == 250


def test_a_reloaded_file_keeps_the_levels_of_those_who_stay(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys", Clock()

    def write(*keys: tuple[str, bytes, int | None]) -> None:
        path.write_text(_lines(*keys))
        clock.now += 1.5

    write(("anna", ANNA, 1000), ("bob", BOB, 1000))
    access = Access(Settings(api_keys_file=path), clock)
    under_way = access.caller([ANNA])
    under_way.charge(100_000)
    access.caller([BOB]).charge(100_000)

    write(("anna", CARL, 2000), ("dora", b"dora", 1000))  # another key and rate, but the same caller
    with pytest.raises(Unauthorized):
        access.caller([ANNA])
    with pytest.raises(Unauthorized):
        access.caller([BOB])
    access.caller([b"dora"]).require_budget()
    with pytest.raises(RateLimited) as caught:
        access.caller([CARL]).require_budget()
    # 90,000 pixels were owed; 1.5 s at 1000 a second have paid 1,500; the others take 44.25 s at 2000.
    assert caught.value.headers["Retry-After"] == "45"
    under_way.charge(2000)  # what began before the change counts too
    with pytest.raises(RateLimited) as caught:
        access.caller([CARL]).require_budget()
    assert caught.value.headers["Retry-After"] == "46"

    write(("anna", CARL, None), ("bob", BOB, 1000))
    access.caller([CARL]).require_budget()
    access.caller([BOB]).require_budget()  # who was away begins anew


def test_keys_that_cannot_be_used_lock(tmp_path: Path) -> None:
    for settings in (Settings(api_keys_file=tmp_path / "none"), Settings(api_keys="#")):
        access = Access(settings)
        assert (access.locked, access.faults()) == (True, 1)
        for presented in ([], [ANNA]):
            with pytest.raises(Unauthorized):
                access.caller(presented)


def test_a_bill_is_of_what_was_decoded_or_scored_whichever_is_more() -> None:
    for decoded, scored, expected in (((100,), 30, 100), ((100,), 300, 300), ((100, 50), 120, 150)):
        bucket = Bucket(100.0, 0.0)
        bill = Bill(Caller("a", bucket, lambda: 0.0))
        for pixels in decoded:
            bill.decoding(pixels)
        bill.scoring(scored)
        assert bucket.level(0.0) == 1000 - expected


def test_a_spent_budget_refuses_at_the_header_but_not_in_the_middle() -> None:
    """Requests that came together were all let in before the first was charged."""
    caller = Caller("a", Bucket(100.0, 0.0), lambda: 0.0)
    first, second = Bill(caller), Bill(caller)
    first.decoding(5000)
    with pytest.raises(RateLimited):
        second.decoding(1)
    first.decoding(5000)  # the other image of a pair
