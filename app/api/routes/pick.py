"""POST /pick: groups of near duplicates among several images, and the one of each group to keep."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request

from app.api import replies
from app.api.dependencies import ROOM, Asked, AskedOfOneModelDep, RecordDep, ServiceDep, while_connected
from app.api.many import FIELD, ManyImages, Window, failed_file, form_of_many
from app.api.openapi import BODY_PROBLEMS, QUESTION_PROBLEMS, WORK_PROBLEMS, problems
from app.errors import InternalError, MalformedRequest, ServiceError, TextEncoderMissing
from app.http.middleware import Record
from app.http.request_body import ClientGone, RefusedFile
from app.schemas.batch import BatchProblem
from app.schemas.pick import PickAnswer, PickedImage, PickGroup
from app.schemas.summary import UntimedSummary
from app.scoring.picks import AnsweredImage, PickedGroup, pick_best
from app.scoring.service import Service
from app.scoring.uploads import Upload

router = APIRouter(tags=["quality"])

MOST_PICKED: Final = 64
"""Images of a request: what comparing them costs grows with the square."""

# One for all requests, so that however many there are, they take one core: comparing 64 images takes it for a
# tenth of a second, and for some seconds if they are made to seem alike.
_COMPARING: Final = ThreadPoolExecutor(1, "pick")

_log = logging.getLogger("iqa.service")


@router.post(
    "/pick",
    response_model=PickAnswer,
    summary="Which of many images to keep",
    responses=problems(
        *BODY_PROBLEMS,
        *(each for each in QUESTION_PROBLEMS if each is not TextEncoderMissing),
        *WORK_PROBLEMS,
    ),
    dependencies=[ROOM],
    openapi_extra=form_of_many(2),
)
async def pick_images(
    request: Request, service: ServiceDep, record: RecordDep, asked: AskedOfOneModelDep
) -> PickAnswer:
    """Groups images that show the same, and tells which one of each group to keep: send 2 to 64 files in the
    field `images`.

    Copies, crops and edits of a photograph are a group, and so are the frames of a burst, as far as EXIF says
    when they were taken. One bad file fails no other.
    """
    with contextlib.ExitStack() as stack:
        account = stack.enter_context(service.intake.account())
        looking = _Looking(service, asked, record)
        images = ManyImages(service, record, account, looking.look)
        stack.callback(images.cancel)
        await images.read(request, min(MOST_PICKED, service.settings.max_files))
        looking.window.body_arrived()
        if images.count < 2:
            raise MalformedRequest(f"There is one file only; send two or more in the field `{FIELD}`.")
        async with contextlib.aclosing(images.results(request)) as results:
            async for _ in results:
                pass
        stack.pop_all()
    if looking.done < images.count:
        raise ClientGone
    record.fields |= {"failed": len(looking.failed)}
    return await while_connected(request, looking.answer())


class _Looking:
    """The images of one request, as they are scored.

    Args:
        service: scores them.
        asked: about each of them.
        record: of the request.
    """

    def __init__(self, service: Service, asked: Asked, record: Record) -> None:
        self._service = service
        self._record = record
        self.window = Window(service, replace(asked, asker=replace(asked.asker, bulk=True)))
        self._seen: dict[int, AnsweredImage] = {}
        self._names: dict[int, str | None] = {}
        self.failed: dict[int, BatchProblem] = {}

    @property
    def done(self) -> int:
        """How many images were scored, or failed."""
        return len(self._seen) + len(self.failed)

    async def look(self, index: int, file: Upload | RefusedFile) -> None:
        """Scores an image."""
        self._names[index] = file.filename
        try:
            if isinstance(file, RefusedFile):
                raise file.error
            async with self.window:
                record = Record(self._record.request_id)
                self._seen[index] = await replies.see_image(self._service, file, self.window.asked, record)
        except ServiceError as error:
            self._fail(index, error)
        except Exception:
            _log.exception("request %s met a fault of ours", self._record.request_id)
            self._fail(index, InternalError())
        else:
            self._service.metrics.batch_files.labels("scored").inc()

    async def answer(self) -> PickAnswer:
        """The groups of what was scored."""
        indexes = sorted(self._seen)
        seen = [self._seen[index] for index in indexes]
        groups = await asyncio.get_running_loop().run_in_executor(_COMPARING, pick_best, seen)
        images: dict[int, PickedImage | BatchProblem] = dict(self.failed)
        for number, group in enumerate(groups):
            for place, member in enumerate(group.members):
                index = indexes[member]
                images[index] = PickedImage(
                    index=index,
                    filename=self._names[index],
                    group=number,
                    keep=member == group.keep,
                    advantage=group.choice.advantages[place],
                    **_in_short(seen[member]),
                )
        (model,) = self.window.asked.models
        return PickAnswer(
            model=model,
            groups=[_described(group, indexes) for group in groups],
            images=[images[index] for index in sorted(images)],
        )

    def _fail(self, index: int, error: ServiceError) -> None:
        found = failed_file(self._service, self._record, index, self._names[index], error)
        self.failed[index] = BatchProblem.model_validate(found)


def _in_short(seen: AnsweredImage) -> Mapping[str, Any]:
    summary = UntimedSummary.of(seen.answer)
    return {name: getattr(summary, name) for name in ("score", "reading", "summary", "faults", "image")}


def _described(group: PickedGroup, indexes: list[int]) -> PickGroup:
    return PickGroup(
        keep=indexes[group.keep],
        images=[indexes[member] for member in group.members],
        reason=group.choice.reason,
    )
