"""Images that were scored, grouped by what they show, with the one of each group to keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.imaging.formats.registry import fidelity_of
from app.picking.choosing import Contender, GroupChoice, choose_best
from app.picking.grouping import find_groups
from app.picking.look import LumaThumb
from app.schemas.score import UntimedScore


@dataclass(frozen=True)
class AnsweredImage:
    """An image that was scored: the answer, and the small picture."""

    answer: UntimedScore
    look: LumaThumb


@dataclass(frozen=True)
class PickedGroup:
    """Images that show the same.

    Attributes:
        members: numbers of the images, in their order.
        choice: which to keep; its places are those of `members`.
    """

    members: tuple[int, ...]
    choice: GroupChoice

    @property
    def keep(self) -> int:
        """Number of the image to keep."""
        return self.members[self.choice.best]


def pick_best(images: Sequence[AnsweredImage], *, threads: int = 1) -> list[PickedGroup]:
    """The groups, in the order of their first image; an image without near duplicates is one, too.

    Args:
        images: that were scored by the same model.
        threads: that compare.
    """
    contenders = [_contender(image.answer) for image in images]
    taken = [each.taken for each in contenders]
    groups = find_groups([image.look for image in images], taken, threads=threads)
    return [PickedGroup(tuple(group), choose_best([contenders[each] for each in group])) for group in groups]


def _contender(answer: UntimedScore) -> Contender:
    facts = answer.facts
    assert facts is not None, "null only in answers of earlier versions, which have no looks"
    image, dimensions = answer.image, answer.dimensions
    return Contender(
        score=answer.score,
        pixels=image.width * image.height,
        luminance=facts.exposure.mean_luminance,
        fidelity=facts.jpeg_quality or fidelity_of(image.format),
        effective_scale=facts.effective_scale,
        sharpness=None if dimensions is None else dimensions.sharpness,
        cleanness=None if dimensions is None else dimensions.cleanness,
        faults=tuple(fault.fault for fault in answer.faults),
        taken=None if facts.taken is None else datetime.fromisoformat(facts.taken),
    )
