"""What a weights file says of itself, and a file in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.calibration import Calibration
from models.grades import GradeSteps
from models.preprocessing import Preprocessing
from models.vocabulary import WORDS

if TYPE_CHECKING:
    from torch import Tensor

FORMAT: Final = "iqa-weights/1"


class Metadata(BaseModel):
    """What a weights file says about itself.

    Attributes:
        format: version of this metadata.
        model: name of the model that the tensors belong to.
        name: of these weights, for example "qualiclip-compact".
        architecture: keyword arguments of the model's config dataclass.
        preprocessing: how the images were prepared that it was trained on.
        temperature: what cosines are multiplied by before the softmax over a pair.
        prompts: QualiCLIP's fourteen prompts, the good one of a pair first; empty for BPCLIP.
        adjectives: the words that the stored similarities belong to, in order.
        text_encoder: whether the tensors include a text tower (words beyond the 40 can be encoded).
        license: of the weights, not of the code.
        source: where the weights come from.
        training_data: what they were trained on.
        accuracy: measured, by name, for example {"srcc_biq2021_test": 0.71}.
        validated_sides: shortest and longest image side, in pixels, that the accuracy was measured on.
        created: ISO 8601 date or time.
        untrained: whether the numbers are arbitrary, made to measure how fast the architecture is.
        calibration: what scores and words of these weights amount to; None where that was not measured.
        grades: of a full-reference model, how visible a distortion is by its score; None as above.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["iqa-weights/1"] = FORMAT
    model: str = Field(min_length=1)
    name: str = Field(min_length=1)
    architecture: dict[str, Any]
    preprocessing: Preprocessing
    temperature: float = Field(default=100.0, gt=0)
    prompts: list[str] = Field(default_factory=list)
    adjectives: list[str] = Field(default_factory=lambda: list(WORDS))
    text_encoder: bool
    license: str
    source: str
    training_data: str
    accuracy: dict[str, float] = Field(default_factory=dict)
    validated_sides: tuple[int, int]
    created: str
    untrained: bool = False
    calibration: Calibration | None = None
    grades: GradeSteps | None = None


@dataclass(frozen=True)
class Weights:
    """A weights file in memory.

    Attributes:
        metadata: what the file says about itself.
        tensors: as stored (float16 in bundled files), on the CPU, all finite.
        sha256: of the whole file, lower-case hexadecimal.
        path: where it was read from; None for weights that were made in memory.
    """

    metadata: Metadata
    tensors: "dict[str, Tensor]"
    sha256: str
    path: Path | None
