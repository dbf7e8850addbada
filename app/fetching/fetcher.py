"""Bringing what lies at an address: within limits of bytes, time and redirects, and without credentials."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Hashable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from app.errors import FetchFailed, FetchNotAllowed, InvalidParameter, Overloaded
from app.fetching.allowed import Allowed, Target
from app.fetching.buckets import AllowedBuckets, BucketReader, too_large

if TYPE_CHECKING:  # loaded only where fetching is allowed
    import httpcore

    from app.fetching.dialing import Resolve

_MOST_REDIRECTS: Final = 5
_AT_A_TIME: Final = 32
"""Fetches of one process; a caller has at most half of them."""
_CONNECT_S: Final = 5.0
_SILENT_S: Final = 10.0
"""Longest that nothing comes."""
_IDLE_S: Final = 5.0
_COME_AGAIN_S: Final = 1.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# An Accept-Encoding is sent so that nothing comes compressed: a bomb cannot unfold if nothing is unfolded.
_HEADERS: Final = ((b"accept", b"image/*, */*;q=0.5"), (b"accept-encoding", b"identity"))


class Fetcher:
    """Fetches images for one HTTP process.

    No proxy of the environment is used; no cookie, password or header of a request is passed on.

    Args:
        allowed: what may be fetched.
        max_bytes: of an image.
        timeout_s: for all of it: names, redirects, body.
        resolve: names to addresses; None for the machine's resolver.
        buckets: that may be read, too; None for none.
    """

    def __init__(
        self,
        allowed: Allowed,
        max_bytes: int,
        timeout_s: float,
        resolve: "Resolve | None" = None,
        buckets: AllowedBuckets | None = None,
    ) -> None:
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._buckets = buckets or AllowedBuckets()
        self._reader = BucketReader(timeout_s)
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._busy: Counter[Hashable] = Counter()

    @asynccontextmanager
    async def opened(self) -> "AsyncGenerator[None]":
        """Connections exist while the block runs."""
        if not self._allowed:
            yield
            return
        import httpcore

        from app.fetching.dialing import JudgedBackend, SystemResolver, trust

        system = None if self._resolve else SystemResolver()
        async with httpcore.AsyncConnectionPool(
            ssl_context=trust(),
            max_connections=_AT_A_TIME,
            max_keepalive_connections=_AT_A_TIME,
            keepalive_expiry=_IDLE_S,
            network_backend=JudgedBackend(self._allowed, self._resolve or system),  # type: ignore[arg-type]
        ) as self._pool:
            yield
        if system is not None:
            system.close()

    async def fetch(self, url: str, caller: Hashable = None) -> "AsyncGenerator[bytes]":
        """The bytes that lie at an address, as they come.

        Args:
            url: of the image.
            caller: whose share of the fetches it counts for.

        Raises:
            InvalidParameter: it is no URL.
            FetchNotAllowed: the settings do not allow it, or what it redirects to.
            FetchFailed: it does not answer, or with something else than a file, or too slowly.
            BodyTooLarge: it has more bytes than an image may.
            Overloaded: too many are being fetched.
        """
        if not (self._allowed or self._buckets):
            raise FetchNotAllowed(
                "This server fetches nothing: send the image itself. (IQA_FETCH_HOSTS names hosts.)"
            )
        if (place := self._buckets.find(url)) is not None:
            pieces = self._reader.read(place, self._max_bytes)
        else:
            pieces = self._follow(self._allowed.target(url))
        with self._share(caller):
            limit = asyncio.get_running_loop().time() + self._timeout_s
            async with aclosing(pieces):
                while True:
                    try:
                        async with asyncio.timeout_at(limit):
                            piece = await anext(pieces, None)
                    except TimeoutError as error:
                        raise FetchFailed(f"The image did not come within {self._timeout_s:g} s.") from error
                    if piece is None:
                        return
                    yield piece

    async def _follow(self, target: Target) -> AsyncGenerator[bytes]:
        import httpcore

        pool = self._pool
        assert pool is not None, "opened"
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                async with pool.stream(
                    "GET",
                    httpcore.URL(
                        scheme=target.scheme.encode(),
                        host=target.host.encode(),
                        port=target.port,
                        target=target.path.encode(),
                    ),
                    headers=[(b"host", target.authority.encode()), *_HEADERS],
                    extensions={"timeout": _TIMEOUTS},
                ) as response:
                    if response.status not in _REDIRECTS:
                        self._judge(response)
                        received = 0
                        async for piece in response.aiter_stream():
                            received += len(piece)
                            if received > self._max_bytes:
                                raise too_large(self._max_bytes)
                            yield piece
                        return
                    place = _header(response, b"location")
                target = self._next(target, place)
            raise FetchFailed(f"The address redirects more than {_MOST_REDIRECTS} times.")
        except httpcore.TimeoutException as error:
            raise FetchFailed("The host does not answer in time.") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise FetchFailed("The host cannot be reached, or breaks off.") from error

    def _next(self, target: Target, place: str) -> Target:
        """Where a redirect leads, judged as the first address was."""
        try:
            return self._allowed.target(urljoin(target.url, place))
        except (InvalidParameter, ValueError) as error:
            raise FetchFailed("The address redirects to something that is no address.") from error

    def _judge(self, response: "httpcore.Response") -> None:
        if response.status != 200:
            raise FetchFailed(f"The host answers with status {response.status}.", host_status=response.status)
        if _header(response, b"content-encoding").lower() not in ("", "identity"):
            raise FetchFailed("The host sends a compressed body, though it is asked for none.")
        length = _header(response, b"content-length")
        if length.isascii() and length.isdigit() and int(length) > self._max_bytes:
            raise too_large(self._max_bytes)

    @contextmanager
    def _share(self, caller: Hashable) -> Iterator[None]:
        """Raises:
        Overloaded: the caller's share is used up, or all are.
        """
        if self._busy.total() >= _AT_A_TIME or self._busy[caller] >= _AT_A_TIME // 2:
            raise Overloaded("As many images are being fetched as may be.", retry_after=_COME_AGAIN_S)
        self._busy[caller] += 1
        try:
            yield
        finally:
            self._busy[caller] -= 1
            if not self._busy[caller]:
                del self._busy[caller]


_TIMEOUTS: Final = {"connect": _CONNECT_S, "read": _SILENT_S, "write": _SILENT_S, "pool": _SILENT_S}


def _header(response: "httpcore.Response", name: bytes) -> str:
    """The value of a header, empty without one."""
    values = [value for each, value in response.headers if each.lower() == name]
    return values[-1].decode("latin-1").strip() if values else ""
