"""What runs in an actor of Ray Data: the models, loaded once, and what a run of one machine does."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.bulk.errors import OutputError
from app.bulk.file_formats import arrow_schema
from app.bulk.rows import answer_fields, flat, named_by
from app.bulk.scorers import InProcess
from app.fetching.bucket_files import Brought
from app.schemas.columns import columns
from app.schemas.score import UntimedScore
from app.scoring.outcomes import FileName, ScoredFile
from app.settings import Settings, read_settings

if TYPE_CHECKING:
    import pyarrow

_BYTES: Final = "bytes"


class ScorePictures:
    """A class for ``ray.data.Dataset.map_batches`` with ``batch_format="pyarrow"``: adds scores to pictures.

    A batch has the column ``path`` (files that the actor's machine can read, or addresses of objects in
    buckets), and may have ``bytes``, the files themselves: as ``ray.data.read_binary_files`` with
    ``include_paths=True`` and ``ray.data.read_images`` name them. Sizes may be mixed. Every row comes back,
    without ``bytes``, with the columns of ``iqa score --out scores.parquet`` but for ``file``; a picture that
    cannot be scored has a ``problem`` and no score.

    Args:
        policy: name of the policy to judge by.
        detail_crops: whether parts at native size are scored too.
        settings: over those of the environment of the actor (``IQA_*``), such as ``models="bpclip"``.

    Raises:
        SettingsError, PoliciesError, WeightsError, DeviceUnavailable: as of a run on one machine.
    """

    def __init__(self, *, policy: str | None = None, detail_crops: bool = False, **settings: Any) -> None:
        self._source = InProcess(read_settings(**settings), policy, detail_crops=detail_crops)
        self._columns = tuple(
            column
            for column in columns(self._source.basis.names, detail=detail_crops)
            if column.name != "file"
        )

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        """The batch with its scores.

        Raises:
            BucketFailure: a bucket cannot be read.
            ValueError: there is no column ``path``.
        """
        import pyarrow

        if "path" not in batch.column_names:
            raise ValueError("A batch needs a column `path`, with batch_format='pyarrow'.")
        rows = [flat(answer_fields(scored)) for scored in self._source.score(_places(batch))]
        schema = arrow_schema(self._columns)
        scores = pyarrow.Table.from_pylist(
            [{column.name: row.get(column.name) for column in self._columns} for row in rows], schema
        )
        kept = batch.drop_columns([_BYTES]) if _BYTES in batch.column_names else batch
        for field in schema:
            kept = kept.append_column(field, scores[field.name])
        return kept


def _places(batch: "pyarrow.Table") -> Iterator[FileName | Brought]:
    for number in range(batch.num_rows):
        path = batch["path"][number].as_py()
        place = named_by(path if isinstance(path, str) else f"row {number}")
        if _BYTES in batch.column_names:
            yield Brought.of(place, batch[_BYTES][number].as_py() or b"")
        else:
            yield place


class ScoreChunks:
    """A row of names to a row of answers in JSON, for ``iqa score --ray``.

    Args:
        settings: of the actor.
        policy: name of the policy to judge by.
        threads: that decode; by the settings where it is None.
        detail_crops: whether parts at native size are scored too.
        basis: what the scores of the run depend on, as JSON.

    Raises:
        OutputError: this machine's scores would depend on something else.
    """

    def __init__(
        self, settings: Settings, policy: str | None, threads: int | None, detail_crops: bool, basis: str
    ) -> None:
        self._source = InProcess(settings, policy, threads, detail_crops=detail_crops)
        if self._source.basis.model_dump_json() != basis:
            raise OutputError("The machines of the cluster have different weights, policies or devices.")

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        import pyarrow

        done = [
            [_written(scored) for scored in self._source.score(map(named_of, names))]
            for names in batch["names"].to_pylist()
        ]
        return pyarrow.table({"done": pyarrow.array(done, pyarrow.list_(_done_type()))})


def read_done(fields: dict[str, Any]) -> ScoredFile:
    """An outcome as :class:`ScoreChunks` gives it."""
    answer = fields["answer"]
    if answer is None:
        return ScoredFile(named_of(fields["name"]), None, fields["problem"])
    return ScoredFile(named_of(fields["name"]), UntimedScore.model_validate_json(answer))


def _written(scored: ScoredFile) -> dict[str, Any]:
    answer = None
    if scored.answer is not None:
        answer = scored.answer.model_dump_json(exclude={"quality_map", "embedding"}).encode()
    return {"name": crossing_name(scored.path), "answer": answer, "problem": scored.problem}


def _done_type() -> "pyarrow.DataType":
    import pyarrow

    return pyarrow.struct({"name": pyarrow.binary(), "answer": pyarrow.binary(), "problem": pyarrow.string()})


def named_of(name: bytes) -> FileName:
    """The file or object of a name as it crosses between machines."""
    return named_by(os.fsdecode(name))


def crossing_name(place: FileName) -> bytes:
    """What :func:`named_of` undoes."""
    return os.fsencode(place) if isinstance(place, Path) else str(place).encode()


def basis_of(settings: Settings, policy: str | None, detail_crops: bool) -> str:
    """What scores on a machine of the cluster depend on, as JSON."""
    return InProcess(settings, policy, detail_crops=detail_crops).basis.model_dump_json()
