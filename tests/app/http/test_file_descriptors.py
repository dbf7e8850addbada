"""How many connections a process may have, by the descriptors that it may open."""

import resource
import socket

import pytest

from app.http.file_descriptors import has_unread, most_connections, raise_limit


@pytest.mark.parametrize(
    ("wanted", "limit", "most"),
    [
        (None, 8192, 4096),
        (None, 1_000_000, 4096),
        (None, 1024, 576),
        (None, 256, 16),
        (100, 8192, 100),
        (20_000, 1024, 576),
        (20_000, 27_000, 20_000),
    ],
)
def test_connections_leave_descriptors_for_the_rest(wanted: int | None, limit: int, most: int) -> None:
    assert most_connections(wanted, limit) == most


class _System:
    """Limits as a system keeps them."""

    def __init__(self, soft: int, hard: int, *, firm: bool = False) -> None:
        self.soft, self.hard, self.firm = soft, hard, firm

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.soft, self.hard

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        if self.firm:
            raise ValueError("not allowed")
        self.soft, self.hard = limits


@pytest.mark.parametrize(
    ("system", "connections", "limit"),
    [
        (_System(1024, 1_048_576), None, 8192),
        (_System(1024, resource.RLIM_INFINITY), None, 8192),
        (_System(1024, 4096), None, 4096),
        (_System(256, resource.RLIM_INFINITY, firm=True), None, 256),
        (_System(20_000, 20_000), None, 20_000),
        (_System(resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, 8192),
        (_System(1024, 1_048_576), 30_000, 40_258),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may(
    monkeypatch: pytest.MonkeyPatch, system: _System, connections: int | None, limit: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", system.setrlimit)
    hard = system.hard
    assert raise_limit(connections) == limit
    assert system.hard == hard
    if connections is not None:
        assert most_connections(connections, limit) == connections


def test_what_has_arrived_is_seen_without_reading_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not has_unread(ours.fileno())
        theirs.sendall(b"x")
        assert has_unread(ours.fileno())
        assert ours.recv(2) == b"x"
        theirs.close()
        assert not has_unread(ours.fileno())  # it has only left
