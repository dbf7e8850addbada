"""What becomes of connections: the bytes of an answer, or how none came."""

import ipaddress
import ssl

import httpx

from app.client.errors import Misunderstood, Unreachable, Untrusted
from app.client.requests import MOST_ANSWER_BYTES, Call


async def body_of(response: httpx.Response, call: Call) -> bytes:
    """The bytes of an answer.

    Raises:
        Misunderstood: they are more than the service sends.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > MOST_ANSWER_BYTES:
            raise Misunderstood(
                f"The answer has more than {MOST_ANSWER_BYTES} bytes.", request_id=call.request_id
            )
    return b"".join(pieces)


def unreachable(error: Exception, call: Call, url: str, timeout_s: float) -> Unreachable:
    """What to tell the caller of an error of httpx, or of an answer that did not come within `timeout_s`."""
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.ProxyError():
            if _distrusts(error):
                return Untrusted(f"The certificate of {url} is not trusted here.", request_id=call.request_id)
            detail = f"There is no connection to {url}."
        case httpx.TimeoutException() | TimeoutError():
            detail = f"{url} did not answer within {timeout_s:g} s."
        case _:
            detail = f"The connection to {url} broke before the answer."
    return Unreachable(detail, request_id=call.request_id)


def is_here(host: str) -> bool:
    """Whether an address is this machine's own, for which no proxy is used."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _distrusts(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
