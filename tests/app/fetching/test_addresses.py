"""Which addresses may be dialed."""

import ipaddress

import pytest

from app.fetching.addresses import may_be_dialed, plain


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "2606:4700::1111"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808"),  # a public address within another
    ],
)
def test_public_addresses_may_be_dialed(address: str) -> None:
    assert may_be_dialed(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "::1", "::"),
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fec0::1"),
        *("169.254.1.1", "fe80::1"),
        # metadata of clouds
        *("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"),
        *("192.0.2.1", "198.18.0.1", "2001:db8::1", "192.88.99.1"),
        # IPv4 within IPv6: mapped, compatible, 6to4, Teredo, NAT64 of either kind
        *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
        *("2001:0:4136:e378:8000:63bf:80ff:fffe", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1"),
    ],
)
def test_others_may_not_unless_they_are_named(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert not may_be_dialed(parsed)
    assert not may_be_dialed(parsed, [ipaddress.ip_network("203.0.113.0/24")])
    assert may_be_dialed(parsed, [ipaddress.ip_network(address)])


def test_a_named_network_holds_for_addresses_within_addresses() -> None:
    named = [ipaddress.ip_network("10.1.0.0/16")]
    assert may_be_dialed(ipaddress.ip_address("::ffff:10.1.2.3"), named)
    assert not may_be_dialed(ipaddress.ip_address("::ffff:10.2.2.3"), named)
    assert plain(ipaddress.ip_address("2002:7f00:1::")) == ipaddress.ip_address("127.0.0.1")
