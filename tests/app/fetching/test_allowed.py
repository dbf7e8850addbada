"""What the settings allow to be fetched."""

import pytest

from app.errors import FetchNotAllowed, InvalidParameter
from app.fetching.allowed import Allowed, Target

_HOSTS = Allowed.of(["images.example.com", "*.cdn.example.com", "files:8080", "10.1.0.0/16", "fd12::/16"])


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (
            "https://images.example.com/a b.jpg?size=1&x=ü#part",
            Target("https", "images.example.com", 443, "/a%20b.jpg?size=1&x=%C3%BC"),
        ),
        ("http://IMAGES.example.com.", Target("http", "images.example.com", 80, "/")),
        ("https://a.b.cdn.example.com/", Target("https", "a.b.cdn.example.com", 443, "/")),
        ("http://files:8080/x/../y", Target("http", "files", 8080, "/y")),
        ("http://10.1.2.3:99/", Target("http", "10.1.2.3", 99, "/")),
        ("http://0xa010203/", Target("http", "10.1.2.3", 80, "/")),
        ("http://[fd12::1]:99/", Target("http", "fd12::1", 99, "/")),
    ],
)
def test_a_named_host_may_be_asked(url: str, target: Target) -> None:
    assert _HOSTS.target(url) == target
    assert _HOSTS.target(target.url) == target  # what is relative to it is joined to this


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/", "https://cdn.example.com/", "https://evilcdn.example.com/"),
        *("https://images.example.com.evil.org/", "https://images.example.com:8443/", "http://files/"),
        *("http://10.2.0.1/", "http://2130706433/", "http://0177.0.0.1/", "http://127.1/", "http://[::1]/"),
        *("http://images.example.com@evil.org/", "http://evil.org\\@images.example.com/"),
        *("https://user@images.example.com/", "https://user:word@images.example.com/"),
        *(
            "ftp://images.example.com/",
            "file:///etc/passwd",
            "gopher://10.1.2.3/",
            "data:image/png;base64,AA==",
        ),
    ],
)
def test_others_may_not(url: str) -> None:
    with pytest.raises((FetchNotAllowed, InvalidParameter)):
        _HOSTS.target(url)


@pytest.mark.parametrize(
    "url",
    ["", "photo.jpg", "//images.example.com/a", "http://", "http://a:99999/", "http://[::1", "x" * 9000],
)
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(InvalidParameter):
        _HOSTS.target(url)


def test_a_long_address_is_told() -> None:
    with pytest.raises(InvalidParameter, match="2048"):
        _HOSTS.target("https://images.example.com/" + "x" * 2048)


def test_a_star_names_all_hosts_and_no_private_address() -> None:
    everything = Allowed.of(["*"])
    assert everything.target("https://anything.example.org/")
    with pytest.raises(FetchNotAllowed):
        everything.target("https://anything.example.org:8443/")
    assert Allowed.of(["*:8443"]).target("https://anything.example.org:8443/")


@pytest.mark.parametrize(
    "entry",
    ["https://example.com", "a/b", "example.com:http", "a:0", "a:99999", "*.*.com", "a b", "10.1.0.1/16"],
)
def test_what_names_no_host_is_told(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a host"):
        Allowed.of([entry])


def test_nothing_is_allowed_by_default() -> None:
    assert not Allowed()
    assert Allowed.of(["*"])
