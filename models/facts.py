"""What is known of a model without its numbers: enough to describe it, and to find its graphs."""

import hashlib
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from models.canary import plain_score

if TYPE_CHECKING:
    from models.base import QualityModel
    from models.preprocessing import Preprocessing


class ModelFacts(BaseModel):
    """What :class:`models.base.QualityModel` says of itself, for where no module is built.

    Attributes:
        parameters: how many numbers the model holds.
        text_encoder: whether words beyond the 40 can be encoded.
        prompt_pairs: antonym pairs of prompts, the good one first.
        multiple: what the sides of its input are brought to multiples of.
        reads_means: whether it reads the means of the feature maps alone.
        encoder: :func:`encoder_digest`.
        encoder_place: what the names of the encoder's tensors begin with among those of the model.
        canary: :func:`models.canary.plain_score`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    parameters: int = Field(ge=0)
    text_encoder: bool
    prompt_pairs: tuple[tuple[str, str], ...]
    multiple: int = Field(ge=1)
    reads_means: bool
    encoder: str
    encoder_place: str
    canary: float

    @classmethod
    def of(cls, slot: str, module: "QualityModel", preprocessing: "Preprocessing") -> "ModelFacts":
        """Of a model whose encoder has not been given up.

        Raises:
            Exception: it cannot score the canary; of any kind that torch raises.
        """
        encoder = module.encoder
        return cls(
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            text_encoder=module.has_text_encoder,
            prompt_pairs=module.prompt_pairs,
            multiple=module.multiple,
            reads_means=module.reads_means,
            encoder=encoder_digest(module),
            encoder_place=next((f"{name}." for name, each in module.named_modules() if each is encoder), ""),
            canary=plain_score(slot, module, preprocessing),
        )


def encoder_digest(model: "QualityModel") -> str:
    """SHA-256 over the kind, names and values of a model's encoder, lower-case hexadecimal.

    Two models with equal digests give the same feature maps of the same input. The attention pooling of
    CLIP's tower is no part of the encoder.
    """
    summary = hashlib.sha256()
    state = model.encoder.state_dict()
    if not state:  # what holds no numbers is told by what it is
        summary.update(f"{type(model.encoder).__module__}.{type(model.encoder).__qualname__}".encode())
    for name, tensor in state.items():
        if not name.startswith("attnpool.") and not name.endswith("num_batches_tracked"):
            summary.update(f"{name} {tuple(tensor.shape)} ".encode())
            summary.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return summary.hexdigest()
