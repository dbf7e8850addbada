"""Which addresses belong to the public internet, and which only look as if they did."""

import ipaddress
from collections.abc import Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TRANSLATED: Final = (
    ipaddress.IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
    ipaddress.IPv6Network("::/96"),  # compatible with IPv4, RFC 4291, 2.5.5.1
)
"""Networks whose last four bytes are an IPv4 address."""
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's services for its virtual machines
        "192.0.0.0/24",  # protocols' own, RFC 6890; Oracle's metadata
        "192.88.99.0/24",  # relays of 6to4, RFC 7526
        "64:ff9b:1::/48",  # translation of private networks, RFC 8215
        "fec0::/10",  # site-local, RFC 3879
    )
)
"""What the standard library takes for global addresses, and is not for everybody."""


def plain(address: Address) -> Address:
    """The address that is reached in the end: an IPv4 address out of an IPv6 address that carries it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    for inner in (address.ipv4_mapped, address.sixtofour, address.teredo and address.teredo[1]):
        if inner:
            return inner
    if any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(address.packed[-4:])
    return address


def may_be_dialed(address: Address, named: Sequence[Network] = ()) -> bool:
    """Whether an address is public, or belongs to a network that was named.

    Addresses within addresses are judged by the inner one; the outer one is not consulted, so that
    networks behind NAT64 reach public hosts.
    """
    reached = plain(address)
    if any(each in network for each in (address, reached) for network in named):
        return True
    if any(reached in network for network in _NOT_PUBLIC):
        return False
    return reached.is_global and not (reached.is_multicast or reached.is_reserved)
