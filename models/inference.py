"""A model made ready to be asked: one folded encoder, images of mixed sizes at once, half precision at will.

The equations stay where they are, in :mod:`models.qualiclip` and :mod:`models.bpclip`; this puts
:class:`models.encoder.Encoder` in the place of their backbone and tells them what of a batch is image.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from models.bottom_up import BottomUpLevel
from models.bpclip import BPCLIP, BPCLIPOutput
from models.encoder import Encoder
from models.gated_pooling import GatedLocalPooling
from models.preprocessing import Preprocessing
from models.qualiclip import ImageTower, QualiCLIP, QualiCLIPOutput
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
            attention = model.visual.attnpool
            attention.fold()
            # What pools stays; the convolutions live on in the encoder.
            model.visual = cast(ImageTower, nn.ModuleDict({"attnpool": attention}))
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
        if references is None:
            return self.embed_and_map(pixels, extents, ())[0]
        maps = self.encode(torch.cat([pixels, references]), extents.repeated(2))
        distorted, reference = zip(*(values.chunk(2) for values in maps), strict=True)
        return self.relate(distorted, reference, extents)

    def embed_and_map(
        self, pixels: Tensor, extents: Extents, mapped: Sequence[int]
    ) -> tuple[Tensor, list[Tensor]]:
        """What :meth:`embed` gives without references, and local quality of some of the images.

        Args:
            pixels: as of :meth:`embed`.
            extents: likewise.
            mapped: which images' local quality is wanted; of the others none is computed.

        Returns:
            The embeddings, and for each of `mapped` its ``(Hn, Wn)`` float32 in [0, 1], higher is better, on
            the grid at stride 32; see ``local_quality`` of either model.
        """
        features = self.encoder(normalise(pixels, extents, self.mean, self.std), extents)
        rows = list(mapped)
        local: Sequence[Tensor] = ()
        if isinstance(self.model, QualiCLIP):
            last, grid = features[-1]
            embeddings = self.model.pool(last, grid)
            if rows:
                local = self.model.local_quality(last[rows]).unbind()
        else:
            pooled, grid = self.model.pool([values for values, _ in features], None, extents)
            gated = self.model.gate(pooled, grid)
            embeddings = self.model.sum_up(gated)
            if rows:
                chosen = [(value[rows], weight[rows]) for value, weight in gated]
                local = self.model.local_quality(chosen, grid.padded).unbind()
        sizes = [grid.sizes[row] for row in rows]
        maps = [values[:height, :width] for values, (height, width) in zip(local, sizes, strict=True)]
        return embeddings, maps

    def encode(self, pixels: Tensor, extents: Extents) -> list[Tensor]:
        """F1..F5, ``(B, C_i, H / 2^i, W / 2^i)``, in the encoder's dtype; past the extents lies anything."""
        seen = self.encoder(normalise(pixels, extents, self.mean, self.std), extents)
        return [values for values, _ in seen]

    def relate(self, distorted: Sequence[Tensor], reference: Sequence[Tensor], extents: Extents) -> Tensor:
        """What :meth:`embed` gives of pairs, from the feature maps that :meth:`encode` gave of each side."""
        assert isinstance(self.model, BPCLIP)
        return self.model.relate(distorted, reference, extents)

    def read_out(self, embeddings: Tensor) -> Output:
        """Scores and similarities of embeddings, float32."""
        if isinstance(self.model, QualiCLIP):
            return self.model.compare(embeddings)
        return self.model.read_out(embeddings)
