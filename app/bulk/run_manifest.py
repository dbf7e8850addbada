"""Where the scores of a file come from: kept beside it, so that it is not resumed with other weights.

``scores.csv`` has ``scores.csv.run.json``, for people as well.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from app.bulk.errors import OutputError
from app.fetching.buckets import StoredObject
from app.schemas.columns import Column, columns
from models.calibration import Calibration
from models.files import appearing

SUFFIX: Final = ".run.json"
_MOST_NAMES: Final = 100


class Used(BaseModel):
    """A model that scores, and its weights; `calibration` is None where the weights carry none."""

    model_config = ConfigDict(frozen=True)

    name: str
    weights: str
    sha256: str
    license: str
    dtype: str
    calibration: Calibration | None = None


class Applied(BaseModel):
    """The policy that the verdicts are by; `definition` is as ``GET /policies`` gives it."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    definition: dict[str, Any]


class Basis(BaseModel):
    """All that a score or a verdict depends on beside the image.

    Attributes:
        models: in the order asked for.
        max_scored_pixels: what larger images are scaled down to.
        policy: by which there are verdicts; None for none.
        detail_crops: whether tiles at native size are scored too.
    """

    model_config = ConfigDict(frozen=True)

    models: tuple[Used, ...]
    max_scored_pixels: int
    policy: Applied | None = None
    detail_crops: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models."""
        return tuple(model.name for model in self.models)

    @property
    def calibrations(self) -> dict[str, Calibration | None]:
        """Of the models' weights, by model."""
        return {model.name: model.calibration for model in self.models}

    def check(self, wanted: "Basis", file: Path | StoredObject) -> None:
        """Makes sure that a run on another basis can resume a file of scores on this one.

        Raises:
            OutputError: it cannot; the message says what differs.
        """
        _refuse(file, self._difference(wanted))

    def check_asked(
        self,
        models: Sequence[str] | None,
        policy: str | None,
        file: Path | StoredObject,
        *,
        detail_crops: bool = False,
    ) -> None:
        """Makes sure of what can be told before any weights are loaded.

        Args:
            models: that are asked for by name.
            policy: that is asked for by name.
            file: of scores on this basis.
            detail_crops: whether tiles are asked for.

        Raises:
            OutputError: the file cannot be resumed.
        """
        difference = None if models is None else self._other_models(models)
        _refuse(file, difference or self._other_policy(policy) or self._other_detail(detail_crops))

    def _difference(self, wanted: "Basis") -> str | None:
        if (difference := self._other_models(wanted.names)) is not None:
            return difference
        now = {model.name: model for model in wanted.models}
        for model in self.models:
            other = now[model.name]
            if model.sha256 != other.sha256:
                return (
                    f"its scores of {model.name} are by the weights {model.weights} ({model.sha256[:12]}), "
                    f"not {other.weights} ({other.sha256[:12]})"
                )
            if model.dtype != other.dtype:
                return f"its scores of {model.name} were computed in {model.dtype}, not {other.dtype}"
        if self.max_scored_pixels != wanted.max_scored_pixels:
            return (
                f"its images were scored at no more than {self.max_scored_pixels} pixels, not "
                f"{wanted.max_scored_pixels}"
            )
        if self.policy != wanted.policy:
            name = None if wanted.policy is None else wanted.policy.name
            return self._other_policy(name) or f"the policy {name} has been changed since"
        return self._other_detail(wanted.detail_crops)

    def _other_models(self, names: Sequence[str]) -> str | None:
        if set(self.names) == set(names):
            return None
        return f"it has scores of {', '.join(self.names)}, and now {', '.join(names)} would score"

    def _other_detail(self, wanted: bool) -> str | None:
        if self.detail_crops == wanted:
            return None
        before, now = ("with", "without") if self.detail_crops else ("without", "with")
        return f"its images were scored {before} --detail-crops, and now {now} it"

    def _other_policy(self, name: str | None) -> str | None:
        before = None if self.policy is None else self.policy.name
        if before == name:
            return None
        was = "it has no verdicts" if before is None else f"its verdicts are by the policy {before}"
        return f"{was}, and now {'none are' if name is None else f'those of {name} are'} asked for"


class About(BaseModel):
    """A run: what was to be scored, by which program and server, when.

    Attributes:
        program: and its version.
        named: files and folders, as they were given.
        server: its address; None where no server was asked.
        basis: of the scores.
        began: when the first of possibly several runs began.
        ended: when the last one did; None until then.
    """

    model_config = ConfigDict(frozen=True)

    program: str
    named: tuple[str, ...]
    server: str | None
    basis: Basis
    began: datetime
    ended: datetime | None = None

    @classmethod
    def read(cls, out: Path) -> Self:
        """What is beside a file of scores.

        Raises:
            OutputError: there is nothing, or nothing that can be read.
        """
        path = beside(out)
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise OutputError(
                f"There is no {path.name} beside {out.name}, which says where its scores come from, so it "
                "cannot be gone on with."
            ) from None
        except ValidationError:
            raise OutputError(f"{path.name} is not what this program writes.") from None

    def with_names_of(self, other: "About") -> "About":
        """This run, resumed by another one that may have been given further names."""
        named = tuple(dict.fromkeys([*self.named, *other.named]))[: 2 * _MOST_NAMES]
        return self.model_copy(update={"named": named})

    def write(self, out: Path) -> None:
        """Puts it beside a file of scores.

        Raises:
            OSError: it cannot be written.
        """
        with appearing(beside(out)) as file:
            file.write(self.model_dump_json(indent=1).encode() + b"\n")


def score_columns(about: About) -> tuple[Column, ...]:
    """Of a table of a run's scores."""
    return columns(about.basis.names, detail=about.basis.detail_crops)


def beside(out: Path) -> Path:
    """Where it is kept."""
    return out.with_name(out.name + SUFFIX)


def shown_names(named: Sequence[Path | StoredObject]) -> tuple[str, ...]:
    """Names for people: what is not UTF-8 in them is escaped, and of very many only the first are there."""
    shown = tuple(str(path).encode("utf-8", "backslashreplace").decode() for path in named[:_MOST_NAMES])
    more = len(named) - len(shown)
    return (*shown, f"... and {more} more") if more else shown


def _refuse(file: Path | StoredObject, difference: str | None) -> None:
    if difference is not None:
        raise OutputError(
            f"{file.name} cannot be gone on with: {difference}. Give another file, or --overwrite."
        )
