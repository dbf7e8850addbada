"""What the tables of a policy have in common: nothing is overlooked, texts are lines, limits are in order."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict

LONGEST_TEXT: Final = 300

VerdictOutcome = Literal["pass", "review", "fail"]
OUTCOMES: Final[tuple[VerdictOutcome, ...]] = get_args(VerdictOutcome)
Side = Literal["below", "above"]
"""On which side of a limit a value is bad."""


class PoliciesError(Exception):
    """Policies that cannot be used; the message is one sentence for their author, or for the client."""


class PolicyRefused(PoliciesError):
    """A policy that cannot be applied to what was asked; the message is one sentence for the client.

    Attributes:
        known: names of the policies that can be asked for.
    """

    def __init__(self, message: str, known: Sequence[str]) -> None:
        super().__init__(message)
        self.known = known


def _printable(text: str) -> str:
    line = " ".join(text.split())
    if not line.isprintable() or not 1 <= len(line) <= LONGEST_TEXT:
        raise ValueError
    return line


PolicyText = Annotated[str, AfterValidator(_printable)]


class Written(BaseModel):
    """A table as an operator writes it: nothing unknown, and nothing of another type, is overlooked."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def check_order(fail: float | None, review: float | None, *, upper: bool) -> None:
    """Returns where a table has a limit, and its milder one is the milder one.

    Raises:
        ValueError: what is wrong, to be put behind the name of the table.
    """
    if fail is None and review is None:
        raise ValueError("needs `fail`, `review`, or both")
    if fail is not None and review is not None and not (review < fail if upper else review > fail):
        side = "below" if upper else "above"
        raise ValueError(
            f"has to have `review` {side} `fail`: between them lies what a person should look at"
        )
