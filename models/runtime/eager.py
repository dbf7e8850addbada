"""A model made ready to be asked: one folded encoder, images of mixed sizes at once, half precision at will.

The equations stay where they are, in :mod:`models.qualiclip.model` and :mod:`models.bpclip.model`; this puts
a folded encoder in the place of their backbone and tells them what of a batch is image. Models whose encoders
hold the same tensors and take the same input share one: an image is encoded once, its feature maps go to
every head (:mod:`models.backbones.feature_maps`).
"""

import hashlib
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from models.backbones.efficientnet import EfficientNetLite
from models.backbones.feature_maps import FeatureMaps
from models.backbones.folded_efficientnet import FoldedEfficientNet
from models.backbones.folded_resnet import Encoder
from models.backbones.resnet import ModifiedResNet, ResNet
from models.bpclip.bottom_up import BottomUpLevel
from models.bpclip.gated_pooling import GatedLocalPooling
from models.bpclip.model import BPCLIP, BPCLIPOutput
from models.preprocessing import Preprocessing
from models.qualiclip.model import ImageTower, QualiCLIP, QualiCLIPOutput
from models.ragged import Extents, normalise

Output = QualiCLIPOutput | BPCLIPOutput


class ImageEncoder(nn.Module):
    """Pixels to feature maps: normalisation and a folded encoder, which several models may share.

    Args:
        network: in evaluation mode; it is copied, not changed.
        preprocessing: of its input.
        multiple: what the sides of its input must be multiples of.
        dtype: of its stages; the stem stays in float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: ModifiedResNet | ResNet | EfficientNetLite,
        preprocessing: Preprocessing,
        multiple: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.multiple = multiple
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name)).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.network = (
            FoldedEfficientNet(network, dtype)
            if isinstance(network, EfficientNetLite)
            else Encoder(network, dtype)
        )

    def forward(self, pixels: Tensor, extents: Extents) -> FeatureMaps:
        """The feature maps of a packed batch.

        Args:
            pixels: ``(B, 3, H, W)`` uint8, as :func:`models.ragged.pack` lays them with :attr:`multiple`.
            extents: of the images in it.
        """
        levels = self.network(normalise(pixels, extents, self.mean, self.std), extents)
        return FeatureMaps([values for values, _ in levels], [extents for _, extents in levels])


def encoder_of(model: QualiCLIP | BPCLIP) -> ModifiedResNet | ResNet | EfficientNetLite:
    """The network that a model sees an image through."""
    if isinstance(model, BPCLIP):
        return model.backbone.network
    return model.visual if isinstance(model.visual, ImageTower) else model.visual.lite


def encoder_digest(model: QualiCLIP | BPCLIP) -> str:
    """SHA-256 over the names and values of a model's encoder, lower-case hexadecimal.

    Two models with equal digests give the same feature maps of the same input. The attention pooling of
    CLIP's tower is no part of it.
    """
    summary = hashlib.sha256()
    for name, tensor in encoder_of(model).state_dict().items():
        if not name.startswith("attnpool.") and not name.endswith("num_batches_tracked"):
            summary.update(f"{name} {tuple(tensor.shape)} ".encode())
            summary.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return summary.hexdigest()


class InferenceModel(nn.Module):
    """A model for inference; it takes over `model`, whose own backbone is given up.

    Args:
        model: in evaluation mode, float32.
        preprocessing: of its input.
        dtype: of the encoder's stages, of BPCLIP's masks and of its attention, where nearly all the work is.
            Pooling accumulates in float32; similarities and scores are computed in it.
        encoder: of another model whose :func:`encoder_digest`, preprocessing and dtype are the same; None for
            one of its own.

    Attributes:
        encoder: an :class:`ImageEncoder`.
        multiple: what the sides of its input must be multiples of; see :func:`models.ragged.pack`.
    """

    def __init__(
        self,
        model: QualiCLIP | BPCLIP,
        preprocessing: Preprocessing,
        dtype: torch.dtype = torch.float32,
        encoder: ImageEncoder | None = None,
    ) -> None:
        super().__init__()
        self.multiple = model.multiple if isinstance(model, QualiCLIP) else model.stride
        self.encoder = encoder or ImageEncoder(encoder_of(model), preprocessing, self.multiple, dtype)
        if isinstance(model, QualiCLIP):
            model.visual.attnpool.fold()
            # What pools stays; the convolutions live on in the encoder.
            if isinstance(model.visual, ImageTower):
                model.visual = cast(ImageTower, nn.ModuleDict({"attnpool": model.visual.attnpool}))
            else:
                del model.visual.lite
        else:
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
            return self.embed_and_map(self.encoder(pixels, extents), ())[0]
        maps = self.encoder(torch.cat([pixels, references]), extents.repeated(2))
        count = len(pixels)
        return self.relate(maps.of(range(count)), maps.of(range(count, 2 * count)).levels)

    def embed_and_map(self, features: FeatureMaps, mapped: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """What :meth:`embed` gives without references, and local quality of some of the images.

        Args:
            features: of the images, from :attr:`encoder`.
            mapped: which images' local quality is wanted; of the others none is computed.

        Returns:
            The embeddings, and for each of `mapped` its ``(Hn, Wn)`` float32 in [0, 1], higher is better, on
            the grid at stride 32; see ``local_quality`` of either model.
        """
        rows = list(mapped)
        local: Sequence[Tensor] = ()
        # CLIP's tower drops what is left of a cell, so the encoder decides on the grid.
        grid = features.extents[-1]
        if isinstance(self.model, QualiCLIP):
            poolable = self.model.poolable(features)
            embeddings = self.model.pool(poolable, grid)
            if rows:
                local = self.model.local_quality(poolable[rows]).unbind()
        else:
            gated = self.model.gate(self.model.pool(features, None), grid)
            embeddings = self.model.sum_up(gated)
            if rows:
                chosen = [(value[rows], weight[rows]) for value, weight in gated]
                local = self.model.local_quality(chosen, grid.padded).unbind()
        sizes = [grid.sizes[row] for row in rows]
        maps = [values[:height, :width] for values, (height, width) in zip(local, sizes, strict=True)]
        return embeddings, maps

    def relate(self, distorted: FeatureMaps, reference: Sequence[Tensor]) -> Tensor:
        """What :meth:`embed` gives of pairs, from the feature maps that the encoder gave of each side."""
        assert isinstance(self.model, BPCLIP)
        return self.model.relate(distorted, reference)

    def read_out(self, embeddings: Tensor) -> Output:
        """Scores and similarities of embeddings, float32."""
        if isinstance(self.model, QualiCLIP):
            return self.model.compare(embeddings)
        return self.model.read_out(embeddings)
