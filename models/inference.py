"""A model made ready to be asked: one folded encoder, images of mixed sizes at once, half precision at will.

The equations stay where they are, in :mod:`models.qualiclip` and :mod:`models.bpclip`; this puts
:class:`models.encoder.Encoder` in the place of their backbone and tells them what of a batch is image.
"""

from typing import cast

import torch
from torch import Tensor, nn

from models.bottom_up import BottomUpLevel
from models.bpclip import BPCLIP, BPCLIPOutput
from models.encoder import Encoder
from models.gated_pooling import GatedLocalPooling
from models.preprocessing import Preprocessing
from models.qualiclip import QualiCLIP, QualiCLIPOutput
from models.ragged import Extents, normalise

Output = QualiCLIPOutput | BPCLIPOutput


class InferenceModel(nn.Module):
    """A model for inference; it takes over `model`, whose own backbone is given up.

    Args:
        model: in evaluation mode, float32.
        preprocessing: of its input.
        dtype: of the encoder's stages, of BPCLIP's masks and of its attention, where nearly all the work is.
            Pooling accumulates in float32; similarities and scores are computed in it.

    Attributes:
        multiple: what the sides of its input must be multiples of; see :func:`models.ragged.pack`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: QualiCLIP | BPCLIP, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.multiple = 1 if isinstance(model, QualiCLIP) else model.stride
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name)).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        if isinstance(model, QualiCLIP):
            self.encoder = Encoder(model.visual, dtype)
            # What pools stays; the convolutions live on in the encoder.
            model.visual = nn.ModuleDict({"attnpool": model.visual.attnpool})
        else:
            self.encoder = Encoder(model.backbone.resnet, dtype)
            del model.backbone
            for pooling in cast(list[GatedLocalPooling], model.pooling):
                pooling.fold()
                pooling.phi.to(dtype)
            for level in cast(list[BottomUpLevel], model.levels):
                for part in (level.information, level.weight, level.value_mlp, level.weight_mlp):
                    part.to(dtype)
        self.model = model.requires_grad_(False).eval()

    def embed(self, pixels: Tensor, extents: Extents, references: Tensor | None = None) -> Tensor:
        """What :meth:`read_out` reads: ``(B, embed_dim)`` of QualiCLIP, ``(B, 4, d)`` of BPCLIP, float32.

        Args:
            pixels: ``(B, 3, H, W)`` uint8, as :func:`models.ragged.pack` lays them with :attr:`multiple`.
            extents: of the images in it.
            references: likewise, of the same sizes, for a full-reference model.
        """
        both, seen = pixels, extents
        if references is not None:
            both, seen = torch.cat([pixels, references]), extents.repeated(2)
        features = self.encoder(normalise(both, seen, self.mean, self.std), seen)
        if isinstance(self.model, QualiCLIP):
            return self.model.pool(*features[-1])
        maps = [values for values, _ in features]
        if references is None:
            return self.model.relate(maps, None, extents)
        distorted, reference = zip(*(values.chunk(2) for values in maps), strict=True)
        return self.model.relate(distorted, reference, extents)

    def read_out(self, embeddings: Tensor) -> Output:
        """Scores and similarities of embeddings, float32."""
        if isinstance(self.model, QualiCLIP):
            return self.model.compare(embeddings)
        return self.model.read_out(embeddings)
