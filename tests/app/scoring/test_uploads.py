"""How many bytes of files are held."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Overloaded
from app.memory import Memory
from app.scoring.uploads import Arriving, Intake


def test_a_file_is_counted_as_it_arrives_and_given_back_once() -> None:
    intake = Intake(100, Memory(1000, 1000))
    with intake.account() as account:
        arriving = Arriving(account, "a.jpg")
        arriving.add(b"abc")
        arriving.add(b"def")
        assert (intake.held_bytes, arriving.size) == (6, 6)
        upload = arriving.complete()
        assert (upload.data, upload.size, upload.filename) == (b"abcdef", 6, "a.jpg")
        assert upload.sha256 == hashlib.sha256(b"abcdef").hexdigest()
        upload.release()
        upload.release()
        assert (intake.held_bytes, upload.data, upload.size) == (0, b"", 6)
    assert intake.held_bytes == 0


def test_whatever_goes_wrong_all_is_given_back() -> None:
    intake = Intake(100, Memory(1000, 1000))

    def fail() -> None:
        with intake.account() as account:
            Arriving(account).add(b"x" * 50)
            assert intake.held_bytes == 50
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert intake.held_bytes == 0


def test_who_is_too_much_is_told_to_come_again() -> None:
    intake = Intake(100, Memory(1000, 1000))
    with intake.account() as first, intake.account() as second:
        first.take(60)
        second.take(40)
        with pytest.raises(Overloaded) as caught:
            second.take(1)
        assert int(caught.value.headers["Retry-After"]) >= 1
        assert intake.held_bytes == 100
        first.give_back(60)
        second.take(1)
    assert intake.held_bytes == 0


def test_a_single_request_may_be_larger() -> None:
    intake = Intake(100, Memory(1000, 1000))
    with intake.account() as account:
        account.take(60)
        account.take(60)
    assert intake.held_bytes == 0


def test_a_file_that_outlives_its_request_gives_nothing_back_twice() -> None:
    intake = Intake(100, Memory(1000, 1000))
    with intake.account() as account:
        arriving = Arriving(account)
        arriving.add(b"x" * 10)
        upload = arriving.complete()
    with intake.account() as other:
        other.take(10)
        upload.release()
        assert intake.held_bytes == 10


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-30, 30)), max_size=80))
def test_accounts_add_up(steps: list[tuple[int, int]]) -> None:
    intake = Intake(100, Memory(1000, 1000))
    with intake.account() as a, intake.account() as b, intake.account() as c:
        accounts = (a, b, c)
        for which, count in steps:
            account = accounts[which]
            if count < 0:
                account.give_back(-count)
            else:
                try:
                    account.take(count)
                except Overloaded:
                    assert intake.held_bytes + count > 100
            assert intake.held_bytes == sum(each.held_bytes for each in accounts)
            holders = sum(each.held_bytes > 0 for each in accounts)
            assert intake.held_bytes <= 100 or holders == 1
    assert intake.held_bytes == 0
