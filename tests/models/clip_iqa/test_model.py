"""CLIP-IQA against CLIP itself, on arbitrary weights: the good prompt's probability in the paper's pair."""

from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F

from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.saving import save
from models.clip_iqa.model import CLIPIQA, clip_weights
from models.loading import load_model
from models.preprocessing import CLIP_MEAN, CLIP_STD
from models.qualiclip.model import QualiCLIP, QualiCLIPConfig
from models.vocabulary import WORDS
from tests.photographs import photographs


@pytest.fixture(scope="module")
def clip() -> open_clip.CLIP:
    """A small CLIP ResNet, whose pooling has no positional embedding."""
    torch.manual_seed(3)
    model = open_clip.CLIP(
        embed_dim=32,
        vision_cfg={"layers": [1, 2, 1, 1], "width": 8, "head_width": 32, "image_size": 64},
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
        quick_gelu=True,
    ).eval()
    with torch.no_grad():
        model.visual.attnpool.positional_embedding.zero_()
    return model


@pytest.fixture(scope="module")
def file(clip: open_clip.CLIP, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    tensors, metadata = clip_weights(clip, "none", "arbitrary numbers")
    save(path, tensors, metadata, dtype=None)
    return path


@torch.no_grad()
def test_it_scores_as_clip_does(clip: open_clip.CLIP, file: Path) -> None:
    model = load_model("clip-iqa", file).module
    assert isinstance(model, CLIPIQA)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    # CLIP's own pooling is made for one size: a grid of 2 x 2.
    image = torch.from_numpy(photographs()[0][:64, :64].copy()).permute(2, 0, 1)
    image = ((image / 255 - mean) / std)[None]
    texts = open_clip.tokenize(["Good photo.", "Bad photo."])
    seen, told = F.normalize(clip.visual(image), dim=-1), F.normalize(clip.encode_text(texts), dim=-1)
    output = model(image)
    torch.testing.assert_close(output.score, (100 * seen @ told.T).softmax(dim=-1)[:, 0], rtol=0, atol=1e-5)
    assert output.prompt_probabilities.shape == (1, 1)
    word = F.normalize(clip.encode_text(open_clip.tokenize([f"{WORDS[0].capitalize()} photo."])), dim=-1)
    torch.testing.assert_close(output.similarities[:, 0], (seen @ word.T)[:, 0], rtol=0, atol=1e-5)


def test_weights_without_a_text_tower_are_refused(tmp_path: Path, clip: open_clip.CLIP) -> None:
    config = QualiCLIPConfig(embed_dim=32, layers=(1, 1, 1, 1), width=8, head_width=32, text_layers=0)
    _, metadata = clip_weights(clip, "none", "arbitrary numbers")
    metadata = metadata.model_copy(update={"architecture": config.as_metadata()})
    save(tmp_path / "silent.safetensors", QualiCLIP(config).state_dict(), metadata)
    with pytest.raises(WeightsInvalid, match="text tower"):
        load_model("clip-iqa", tmp_path / "silent.safetensors")
