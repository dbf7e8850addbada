"""Objects that are read ahead: in their order, few at a time."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import FetchFailed
from app.fetching import bucket_files
from app.fetching.bucket_files import Brought, Buckets, brought_ahead
from app.fetching.buckets import StoredObject

pytestmark = pytest.mark.pure

_LARGE = 100 * 2**20


class _Reading:
    """Stands for the objects of a bucket; the first is not there before the others may be."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = threading.Event()

    def read(self, place: StoredObject, most: int | None = None) -> bytes:
        self.begun.append(place.key)
        assert self.may_end.wait(20)
        if place.key == "3":
            raise FetchFailed("There is no such object in the bucket.")
        return place.key.encode()


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> _Reading:
    found = _Reading()
    monkeypatch.setattr(Buckets, "read", lambda _, place, most=None: found.read(place, most))
    return found


def _objects(count: int, size: int, drawn: list[int]) -> Iterator[StoredObject]:
    for number in range(count):
        drawn.append(number)
        yield StoredObject("s3://photos", str(number), size)


def test_they_come_in_their_order_and_few_are_drawn(reading: _Reading) -> None:
    drawn: list[int] = []
    coming = brought_ahead(_objects(1000, 1000, drawn), 10**9)
    first = next(coming)
    assert len(drawn) == bucket_files._AHEAD
    reading.may_end.set()
    assert isinstance(first, Brought)
    assert first.take() == b"0"
    for number in range(1, 40):
        brought = next(coming)
        assert isinstance(brought, Brought)
        assert brought.place == StoredObject("s3://photos", str(number))
        if number == 3:
            with pytest.raises(FetchFailed):
                brought.take()
        else:
            assert brought.take() == str(number).encode()
        assert len(drawn) <= number + bucket_files._AHEAD
    coming.close()


def test_of_large_ones_fewer_are_drawn(reading: _Reading) -> None:
    drawn: list[int] = []
    reading.may_end.set()
    coming = brought_ahead(_objects(1000, _LARGE, drawn), 10**9)
    next(coming)
    assert len(drawn) == 2
    coming.close()


def test_files_stay_as_they_are() -> None:
    paths = [Path(str(number)) for number in range(3)]
    assert list(brought_ahead(iter(paths), 10)) == paths


def test_what_was_handed_on_is_read_although_the_list_has_ended(reading: _Reading) -> None:
    count = bucket_files._AHEAD + 1
    every = list(brought_ahead(_objects(count, 1000, []), 10**9))
    assert len(reading.begun) < len(every)
    reading.may_end.set()
    assert [isinstance(each, Brought) for each in every] == [True] * count
    taken = [each.take() for each in every if isinstance(each, Brought) and str(each.place)[-2:] != "/3"]
    assert len(taken) == count - 1


def test_what_nobody_got_does_not_begin(reading: _Reading) -> None:
    coming = brought_ahead(_objects(1000, 1000, []), 10**9)
    got = [next(coming) for _ in range(3)]
    coming.close()
    reading.may_end.set()
    assert [each.take() for each in got if isinstance(each, Brought)] == [b"0", b"1", b"2"]
    for thread in threading.enumerate():
        if thread.name.startswith("fetch"):
            thread.join(20)
    assert len(reading.begun) == bucket_files._AHEAD
