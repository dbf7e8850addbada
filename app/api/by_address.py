"""Requests that send no image but say where it lies: JSON in place of a form or of bytes."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.api.dependencies import while_connected
from app.errors import BodyTooLarge, FetchFailed, MalformedRequest, ServiceError
from app.fetching import Fetcher
from app.http.request_body import BodyBounds, RefusedFile, holdings_of, read_files, read_image
from app.imaging.sandbox.work import Asker
from app.schemas.addresses import BatchAddresses, ImageAddress, PairAddresses
from app.scoring.service import Service
from app.scoring.uploads import Account, Arriving, Upload
from app.tracing.request_trace import current_trace

_Asking = TypeVar("_Asking", bound=BaseModel)

_MOST_JSON_BYTES: Final = 256 * 1024
_AHEAD: Final = 4
"""Images of a batch that are fetched at a time."""
_LONGEST_NAME: Final = 255


def is_json(request: Request) -> bool:
    """Whether a request says that its body is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json"


async def read_image_or_fetch(request: Request, service: Service, account: Account, asker: Asker) -> Upload:
    """The image that a request brings, or whose address it brings: the content decides, as ever.

    Raises:
        ServiceError: as :func:`read_image` and :meth:`Fetcher.fetch`.
        ClientGone: the connection was closed.
    """
    upload = await read_image(request, BodyBounds.of(service.settings), account)
    if not is_json(request) or not upload.data.lstrip().startswith(b"{"):
        return upload
    address = _parsed(upload, ImageAddress)
    return await while_connected(request, Fetching(request, account, asker).image(address))


async def read_pair_or_fetch(
    request: Request, service: Service, account: Account, asker: Asker
) -> tuple[Upload, Upload]:
    """Reference and distorted image of a request, or those whose addresses it brings.

    Raises:
        ServiceError, ClientGone: as :func:`read_image_or_fetch`.
    """
    if is_json(request):
        pair = await read_json(request, service, account, PairAddresses)
        return await while_connected(request, Fetching(request, account, asker).pair(pair))
    files = await read_files(request, ("reference", "distorted"), BodyBounds.of(service.settings), account)
    return files["reference"], files["distorted"]


class Fetching:
    """Fetches the images of one request.

    Args:
        request: whose application has a fetcher.
        account: of the request.
        asker: whose share of the fetches it is.
    """

    def __init__(self, request: Request, account: Account, asker: Asker) -> None:
        self._fetcher: Fetcher = request.app.state.fetcher
        self._holdings = holdings_of(request, account)
        self._account = account
        self._asker = asker

    async def image(self, address: ImageAddress) -> Upload:
        """The image at an address; its bytes count as those of a body do."""
        arriving = Arriving(self._account, _name_in(address.url))
        began = time.monotonic()
        try:
            async with aclosing(self._fetcher.fetch(address.url, self._asker.caller)) as pieces:
                async for piece in pieces:
                    if self._holdings is not None:
                        await self._holdings.make_room(self._account, len(piece))
                    arriving.add(piece)
            if not arriving.size:
                raise FetchFailed("There is nothing at the address: no byte came.")
        except BaseException as error:
            slug = error.slug if isinstance(error, ServiceError) else "client-gone"
            current_trace.get().step("fetch", began, time.monotonic(), error=slug, bytes=arriving.size)
            arriving.drop()
            raise
        current_trace.get().step("fetch", began, time.monotonic(), bytes=arriving.size)
        return arriving.complete()

    async def pair(self, pair: PairAddresses) -> tuple[Upload, Upload]:
        """Reference and distorted image."""
        try:
            async with asyncio.TaskGroup() as group:
                reference = group.create_task(self.image(pair.reference))
                distorted = group.create_task(self.image(pair.distorted))
        except* ServiceError as errors:
            raise errors.exceptions[0] from None
        return reference.result(), distorted.result()

    async def batch(
        self, addresses: Sequence[ImageAddress], most_bytes: int, timeout_s: float
    ) -> AsyncGenerator[Upload | RefusedFile]:
        """The images at the addresses in their order, each as it has come; what fails is told in its place.

        Args:
            addresses: of the images.
            most_bytes: of all together.
            timeout_s: for all together.
        """
        limit = asyncio.get_running_loop().time() + timeout_s
        fetching: deque[tuple[ImageAddress, asyncio.Task[Upload]]] = deque()
        waiting = deque(addresses)
        received = 0
        try:
            while waiting or fetching:
                while waiting and len(fetching) < _AHEAD:
                    address = waiting.popleft()
                    fetching.append((address, asyncio.create_task(self.image(address))))
                address, task = fetching[0]
                try:
                    async with asyncio.timeout_at(limit):
                        upload = await task
                    received += upload.size
                    if received > most_bytes:
                        upload.release()
                        raise BodyTooLarge(
                            f"The files of a request may have {most_bytes} bytes together.",
                            limit_bytes=most_bytes,
                        )
                    yield upload
                except TimeoutError:
                    late = FetchFailed("The images before it took all the time that a request has.")
                    yield RefusedFile(_name_in(address.url), late)
                except ServiceError as error:
                    yield RefusedFile(_name_in(address.url), error)
                fetching.popleft()
        finally:
            for _, task in fetching:
                task.cancel()
            await asyncio.gather(*(task for _, task in fetching), return_exceptions=True)


async def read_json(request: Request, service: Service, account: Account, wanted: type[_Asking]) -> _Asking:
    """The JSON of a request.

    Raises:
        MalformedRequest: it is none, or has another form.
        ServiceError, ClientGone: as :func:`read_image`.
    """
    upload = await read_image(request, BodyBounds.of(service.settings), account)
    return _parsed(upload, wanted)


def _parsed(upload: Upload, wanted: type[_Asking]) -> _Asking:
    data = upload.data
    upload.release()
    form = _FORMS[wanted]
    if len(data) > _MOST_JSON_BYTES:
        raise MalformedRequest(f"JSON may have {_MOST_JSON_BYTES} bytes; send {form}.")
    try:
        return wanted.model_validate_json(data)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
        at = f" at `{place[:_LONGEST_NAME]}`" if place else ""
        fault = "has another form than is taken"
        if b"base64," in data or b'"data:' in data:
            fault = "holds a data: URL, which is not read"
        raise MalformedRequest(
            f"The JSON {fault}{at}; send {form}, or the bytes of images themselves, not in base64."
        ) from error


def _name_in(url: str) -> str | None:
    """The last part of an address's path, as the name of a file."""
    try:
        name = unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        return None
    return name[:_LONGEST_NAME] or None


_ONE: Final = '{"url": "https://..."}'
_FORMS: Final[dict[type[BaseModel], str]] = {
    ImageAddress: _ONE,
    PairAddresses: f'{{"reference": {_ONE}, "distorted": {_ONE}}}',
    BatchAddresses: f'{{"images": [{_ONE}, ...]}}',
}
