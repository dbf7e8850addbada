"""QualiCLIP against an independent rendering of the authors' inference: all queries, all projections."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.checkpoints.errors import WeightsInvalid
from models.loading import load_model
from models.preprocessing import CLIP_MEAN, CLIP_STD
from models.qualiclip.attention_pool import MeanQueryAttentionPool
from models.qualiclip.model import COMPACT, PROMPTS, QualiCLIP, QualiCLIPConfig, TextEncoderUnavailable
from tests.photographs import photographs

SMALL = QualiCLIPConfig(embed_dim=32, layers=(1, 1, 1, 1), width=8, head_width=32, text_layers=0)


def reference_attention_pool(pool: Mapping[str, Tensor], features: Tensor, heads: int) -> Tensor:
    """CLIP's attention pooling without positional embedding: every token asks, the first answer counts."""
    tokens = features.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens])
    answers, _ = F.multi_head_attention_forward(
        query=tokens,
        key=tokens,
        value=tokens,
        embed_dim_to_check=tokens.shape[-1],
        num_heads=heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool["q_proj.bias"], pool["k_proj.bias"], pool["v_proj.bias"]]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool["c_proj.weight"],
        out_proj_bias=pool["c_proj.bias"],
        use_separate_proj_weight=True,
        q_proj_weight=pool["q_proj.weight"],
        k_proj_weight=pool["k_proj.weight"],
        v_proj_weight=pool["v_proj.weight"],
        training=False,
        need_weights=False,
    )
    return answers[0]


def normalized(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return ((pixels.float() / 255 - mean) / std)[None]


def shake_batch_norms(module: torch.nn.Module) -> None:
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.running_mean, std=0.2)
            torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
            torch.nn.init.normal_(norm.weight, 1, 0.2)
            torch.nn.init.normal_(norm.bias, std=0.2)


@pytest.mark.parametrize(("width", "heads", "size"), [(64, 2, (1, 1)), (96, 3, (7, 5)), (2048, 32, (3, 4))])
def test_one_query_gives_what_all_queries_give(width: int, heads: int, size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    pool = MeanQueryAttentionPool(width, heads, 48)
    features = torch.randn(2, width, *size)
    expected = reference_attention_pool(dict(pool.state_dict()), features, heads)
    torch.testing.assert_close(pool(features), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module, Tensor]:
    """A checkpoint in the official format with arbitrary weights: path, CLIP, prompt features."""
    torch.manual_seed(7)
    clip = open_clip.create_model("RN50-quickgelu", pretrained=None).eval()
    shake_batch_norms(clip)
    with torch.no_grad():
        prompts = F.normalize(clip.encode_text(open_clip.tokenize(list(PROMPTS))), dim=-1)
    state = {f"clip_model.{key}": value for key, value in clip.state_dict().items()}
    path = tmp_path_factory.mktemp("official") / "qualiclip.pth"
    torch.save({**state, "prompts_features": prompts}, path)
    return path, clip, prompts


@pytest.mark.slow
def test_official_checkpoint_scores_as_the_authors_code_does(
    official: tuple[Path, torch.nn.Module, Tensor],
) -> None:
    path, clip, prompts = official
    loaded = load_model("qualiclip", str(path))
    model = loaded.module
    assert isinstance(model, QualiCLIP)
    assert loaded.metadata.preprocessing.longest_side is None

    heads = clip.visual.attnpool.num_heads
    pool = dict(clip.visual.attnpool.state_dict())
    clip.visual.attnpool = torch.nn.Identity()
    for pixels, size in zip(photographs(), [(331, 257), (224, 500), (97, 61)], strict=False):
        image = normalized(torch.from_numpy(pixels).permute(2, 0, 1)[:, : size[0], : size[1]])
        with torch.no_grad():
            embedding = F.normalize(reference_attention_pool(pool, clip.visual(image), heads), dim=-1)
            logits = (100.0 * embedding @ prompts.T).reshape(1, -1, 2)
            expected = logits.softmax(dim=-1)[..., 0].mean(dim=1)
            output = model(image)
        assert output.score.dtype == torch.float32
        torch.testing.assert_close(output.score, expected, rtol=0, atol=1e-5)

    words = model.encode_words(["sharp"])
    with torch.no_grad():
        text = F.normalize(clip.encode_text(open_clip.tokenize(["Sharp photo."])), dim=-1)
    torch.testing.assert_close(words, text, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_prompt_features_in_another_order_are_refused(
    official: tuple[Path, torch.nn.Module, Tensor], tmp_path: Path
) -> None:
    path, _, prompts = official
    state = torch.load(path, weights_only=True)
    state["prompts_features"] = prompts.roll(1, dims=0)
    wrong = tmp_path / "wrong.pth"
    torch.save(state, wrong)
    with pytest.raises(WeightsInvalid, match="prompt features"):
        load_model("qualiclip", str(wrong))


def test_a_model_without_text_tower_knows_the_forty_words_only() -> None:
    model = QualiCLIP(SMALL).eval()
    assert not model.has_text_encoder
    with pytest.raises(TextEncoderUnavailable):
        model.encode_words(["lovely"])
    with torch.no_grad():
        output = model(torch.randn(2, 3, 33, 47))
    assert output.score.shape == (2,)
    assert output.prompt_probabilities.shape == (2, 7)
    assert output.similarities.shape == (2, 40)
    torch.testing.assert_close(output.score, output.prompt_probabilities.mean(dim=1))
    assert output.similarities.abs().max() <= 1 + 1e-5


def test_learned_text_features_get_gradients_and_stored_ones_do_not() -> None:
    learned = QualiCLIP(SMALL)
    output = learned(torch.randn(2, 3, 64, 64))
    (output.score.sum() + output.similarities.sum()).backward()
    for name, parameter in learned.named_parameters():
        # A constant added to all keys changes no softmax, so this bias is never needed.
        assert (parameter.grad is not None) != (name == "visual.attnpool.k_proj.bias"), name
    with_tower = QualiCLIP(dataclasses.replace(SMALL, text_layers=1, text_width=64, text_heads=2))
    assert not any(p.requires_grad for n, p in with_tower.named_parameters() if not n.startswith("visual."))


def test_the_compact_model_is_small() -> None:
    parameters = sum(p.numel() for p in QualiCLIP(COMPACT).parameters())
    assert 3e6 < parameters < 5e6
