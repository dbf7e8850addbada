"""What the settings allow to be fetched: names of hosts, addresses, ports."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from pydantic import AnyUrl, ValidationError

from app.errors import FetchNotAllowed, InvalidParameter
from app.fetching.addresses import Address, Network, may_be_dialed

_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_ANY: Final = "*"
_LONGEST: Final = 2048
"""Letters of an address; what browsers and proxies take."""


@dataclass(frozen=True)
class Target:
    """An address that may be asked, in parts that are not parsed again.

    Attributes:
        scheme: ``http`` or ``https``.
        host: in small letters, international names in ASCII; an IPv6 address without brackets.
        port: to dial.
        path: with the query, as it is sent.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """As other addresses are relative to it."""
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True)
class Allowed:
    """Hosts that may be asked, and addresses that may be dialed though they are not public.

    Attributes:
        hosts: pairs of a name and a port, None for the scheme's own. A name is a host's, or begins with
            ``*.`` for all below a domain, or is ``*`` for all.
        networks: that may be dialed; they count as hosts, too.
    """

    hosts: tuple[tuple[str, int | None], ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Of entries such as ``img.example.com``, ``*.example.com``, ``cdn:8080``, ``10.1.0.0/16``, ``*``.

        Raises:
            ValueError: an entry is none of them; the message is for the person who wrote it.
        """
        hosts: list[tuple[str, int | None]] = []
        networks: list[Network] = []
        for entry in (each.strip().lower() for each in entries):
            if (network := _network(entry)) is not None:
                networks.append(network)
                continue
            name, colon, port = entry.partition(":")
            numbered = port.isascii() and port.isdigit() and 0 < int(port) < 65536
            if not (name == _ANY or _NAME.fullmatch(name)) or (colon and not numbered):
                raise ValueError(
                    f"{entry!r} is neither a host such as images.example.com, *.example.com or cdn:8080, "
                    "nor a network such as 10.1.0.0/16, nor *"
                )
            hosts.append((name.removesuffix("."), int(port) if colon else None))
        return cls(tuple(hosts), tuple(networks))

    def __bool__(self) -> bool:
        return bool(self.hosts or self.networks)

    def target(self, url: str) -> Target:
        """What a URL names, where it may be asked.

        Raises:
            InvalidParameter: it is no URL.
            FetchNotAllowed: it is one of another kind, or its host was not named.
        """
        try:
            parsed = AnyUrl(url[: _LONGEST + 1])
        except ValidationError as error:
            raise InvalidParameter("`url` is not an absolute address.", parameter="url") from error
        if len(url) > _LONGEST:
            raise InvalidParameter(f"`url` has more than {_LONGEST} letters.", parameter="url")
        if parsed.scheme not in _PORTS or parsed.host is None:
            raise FetchNotAllowed("Only addresses that begin with https:// or http:// are fetched.")
        if parsed.username is not None or parsed.password is not None:
            raise FetchNotAllowed("Addresses with a user's name or a password are not fetched.")
        host = parsed.host.removesuffix(".").removeprefix("[").removesuffix("]")
        port = parsed.port or _PORTS[parsed.scheme]
        if not self._names(host, port, own_port=port == _PORTS[parsed.scheme]):
            raise FetchNotAllowed("This server does not fetch from that host and port.")
        query = "" if parsed.query is None else f"?{parsed.query}"
        return Target(parsed.scheme, host, port, (parsed.path or "/") + query)

    def may_dial(self, address: Address) -> bool:
        """Whether an address is public, or was named."""
        return may_be_dialed(address, self.networks)

    def _names(self, host: str, port: int, own_port: bool) -> bool:
        if (network := _network(host)) is not None and any(
            network.version == each.version and network.subnet_of(each)  # type: ignore[arg-type]
            for each in self.networks
        ):
            return True
        for name, named_port in self.hosts:
            if named_port != port and not (named_port is None and own_port):
                continue
            if name in (_ANY, host) or (name.startswith("*.") and host.endswith(name[1:])):
                return True
        return False


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
