import dataclasses

import pytest
import torch
from torch import Tensor, nn

from models.backbones.padding import pad_to_stride
from models.bpclip.bottom_up import Attention, PositionalEncoding
from models.bpclip.gated_pooling import GatedLocalPooling, smooth_abs
from models.bpclip.model import BPCLIP, BPCLIPConfig, compact
from models.checkpoints.errors import WeightsInvalid
from models.checkpoints.metadata import Metadata, Weights
from models.loading import build
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from models.ragged import Extents

TINY = BPCLIPConfig(
    full_reference=False,
    layers=(1, 1, 1, 1),
    channels=(4, 4, 8, 8),
    stem_channels=8,
    inner_width=16,
    text_width=12,
    mask_width=4,
    learned_text=True,
)
TINY_FR = dataclasses.replace(TINY, full_reference=True)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("full_reference", "millions"), [(True, 40.6), (False, 44.0)])
def test_the_full_model_has_the_papers_size(full_reference: bool, millions: float) -> None:
    with torch.device("meta"):
        model = BPCLIP(BPCLIPConfig(full_reference=full_reference))
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == pytest.approx(millions * 1e6, rel=0.02)


def test_the_backbone_is_resnet_50_at_five_strides() -> None:
    config = BPCLIPConfig(full_reference=False)
    assert config.feature_channels == (64, 256, 512, 1024, 2048)
    model = BPCLIP(config).eval()
    assert (
        sum(p.numel() for p in model.backbone.parameters()) == 23_508_032
    )  # torchvision's, without its classifier
    with torch.no_grad():
        features = model.backbone(images(1, 3, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [
        (64, 32, 48),
        (256, 16, 24),
        (512, 8, 12),
        (1024, 4, 6),
        (2048, 2, 3),
    ]


@pytest.mark.parametrize("config", [TINY, TINY_FR, BPCLIPConfig(full_reference=True)])
def test_everything_but_batch_norm_and_a_frozen_text_learns(config: BPCLIPConfig) -> None:
    torch.manual_seed(0)
    model = BPCLIP(config).train()
    pair = (images(2, 3, 64, 64), images(2, 3, 64, 64, seed=1))[: 1 + config.full_reference]
    output = model(*pair)
    (output.score.sum() + output.similarities.square().sum()).backward()
    norms = {f"backbone.{n}" for n, m in model.backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, parameter in model.named_parameters():
        frozen = name.rsplit(".", 1)[0] in norms or (name == "text_features" and not config.learned_text)
        if frozen:
            assert not parameter.requires_grad, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_batch_norm_stays_frozen_in_training() -> None:
    model = BPCLIP(TINY)
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    model(images(2, 3, 64, 64))
    assert before
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    free = BPCLIP(dataclasses.replace(TINY, frozen_batch_norm=False)).train()
    free(images(2, 3, 64, 64))
    assert not torch.equal(
        free.state_dict()["backbone.resnet.bn1.running_mean"], before["backbone.resnet.bn1.running_mean"]
    )


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (32, 200), (129, 64), (100, 301)])
def test_any_size_from_32_pixels(size: tuple[int, int]) -> None:
    with torch.no_grad():
        alone = BPCLIP(TINY).eval()(images(2, 3, *size))
        pair = BPCLIP(TINY_FR).eval()(images(2, 3, *size), images(2, 3, *size, seed=1))
    for output in (alone, pair):
        assert output.score.shape == (2,)
        assert output.level_similarities.shape == (2, 4, 40)
        assert output.similarities.shape == (2, 40)
        assert ((output.score > 0) & (output.score < 1)).all()
        assert output.level_similarities.abs().max() <= 1 + 1e-5


def whole(values: Tensor) -> Extents:
    """The extents of a tensor without padding."""
    size = (values.shape[-2], values.shape[-1])
    return Extents((size,) * len(values), size)


def test_padding_mirrors_right_and_bottom_to_whole_strides() -> None:
    image = images(1, 3, 40, 64)
    padded = pad_to_stride(image)
    assert padded.shape == (1, 3, 64, 64)
    assert torch.equal(padded[:, :, :40], image)
    assert torch.equal(padded[:, :, 40], image[:, :, 38])
    assert pad_to_stride(padded) is padded


def test_no_reference_pooling_is_equation_1_and_2() -> None:
    torch.manual_seed(3)
    pooling = GatedLocalPooling(8, False, mask_width=4, inner_width=16)
    assert pooling.feature is not None
    features = images(2, 8, 8, 12)
    mask = torch.sigmoid(pooling.phi(features))
    gated = mask * pooling.feature(features)
    windows = gated.reshape(2, 8, 2, 4, 3, 4).mean(dim=(3, 5))
    expected = torch.nn.functional.gelu(pooling.project[0](windows))
    extents = whole(features)
    torch.testing.assert_close(pooling(features, None, extents, (2, 3)), expected)
    pooling.fold()  # the shorter way of inference
    torch.testing.assert_close(pooling(features, None, extents, (2, 3)), expected)


def test_full_reference_pooling_gates_by_the_difference() -> None:
    torch.manual_seed(3)
    pooling = GatedLocalPooling(8, True, mask_width=4, inner_width=16)
    distorted, reference = images(1, 8, 4, 4), images(1, 8, 4, 4, seed=1)
    difference = torch.sqrt((distorted - reference) ** 2 + 1e-12)
    gated = torch.sigmoid(pooling.phi(difference)) * torch.cat([distorted, reference, difference], dim=1)
    expected = torch.nn.functional.gelu(pooling.project[0](gated.mean(dim=(2, 3), keepdim=True)))
    torch.testing.assert_close(pooling(distorted, reference, whole(distorted), (1, 1)), expected)


def test_a_mask_that_is_the_same_everywhere_is_not_computed_for_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(3)
    pooling = GatedLocalPooling(8, True, mask_width=4, inner_width=16)
    features = images(2, 8, 8, 12), images(2, 8, 8, 12, seed=1)
    pooling.fold()
    assert not pooling.is_open  # it has learned, or not been opened
    pooling.open_mask()
    expected = pooling(*features, whole(features[0]), (2, 3))
    pooling.fold()
    monkeypatch.setattr(pooling, "mask", lambda *_: pytest.fail("computed"))
    torch.testing.assert_close(pooling(*features, whole(features[0]), (2, 3)), expected)


def test_the_absolute_value_has_a_gradient_at_zero() -> None:
    zero = torch.zeros(3, requires_grad=True)
    smooth_abs(zero).sum().backward()
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()
    torch.testing.assert_close(smooth_abs(torch.tensor([-2.0, 3.0])), torch.tensor([2.0, 3.0]))


def test_one_position_serves_all_levels_and_any_grid() -> None:
    position = PositionalEncoding(16, 32)
    at_own_size = position(Extents(((32, 32),), (32, 32)))
    assert at_own_size.shape == (1, 16, 32, 32)
    torch.testing.assert_close(at_own_size[:, :8], position.vertical.expand(-1, -1, -1, 32))
    assert position(Extents(((3, 7),), (3, 7))).shape == (1, 16, 3, 7)
    both = position(Extents(((3, 7), (5, 2)), (5, 7)))
    torch.testing.assert_close(both[1:, :, :, :2], position(Extents(((5, 2),), (5, 2))))
    assert sum(isinstance(m, PositionalEncoding) for m in BPCLIP(TINY).modules()) == 1


def test_the_shallower_level_asks_the_deeper_one() -> None:
    """Bottom-up: what level i finds depends on G_i and G_{i+1} and on no other level."""
    model = BPCLIP(TINY).eval()
    shallow, deep = images(1, 6, 16).requires_grad_(), images(1, 6, 16, seed=1).requires_grad_()
    attended: list[tuple[Tensor, Tensor]] = []
    for level in model.levels:
        level.information.register_forward_pre_hook(lambda _, inputs: attended.append(inputs[:2]))
        level(shallow, deep)
    assert all(query is shallow and key is deep for query, key in attended)
    assert len(attended) == 4


def test_attention_is_pre_norm_with_residuals() -> None:
    attention = Attention(16, heads=4, dropout=0.1).eval()
    query, key = images(2, 5, 16), images(2, 5, 16, seed=1)
    keys = attention.norm_key(key)
    hidden = query + attention.attention(attention.norm_query(query), keys, keys)[0]
    torch.testing.assert_close(attention(query, key), hidden + attention.feed_forward(hidden))


def test_the_score_reads_plain_cosines_of_all_levels() -> None:
    torch.manual_seed(5)
    model = BPCLIP(TINY).eval()
    embeddings = images(3, 4, 12)
    output = model.read_out(embeddings)
    for level in range(4):
        expected = torch.nn.functional.cosine_similarity(
            embeddings[:, level, None], model.text_features[None], dim=-1
        )
        torch.testing.assert_close(output.level_similarities[:, level], expected)
    expected_score = model.regressor(output.level_similarities.reshape(3, 160)).squeeze(-1).sigmoid()
    torch.testing.assert_close(output.score, expected_score)


def test_the_two_kinds_refuse_each_others_input() -> None:
    with pytest.raises(ValueError, match="needs a reference"):
        BPCLIP(TINY_FR)(images(1, 3, 32, 32))
    with pytest.raises(ValueError, match="takes none"):
        BPCLIP(TINY)(images(1, 3, 32, 32), images(1, 3, 32, 32))
    with pytest.raises(ValueError, match="same size"):
        BPCLIP(TINY_FR)(images(1, 3, 32, 32), images(1, 3, 32, 64))


def weights_of(model: BPCLIP, **changes: object) -> Weights:
    metadata = Metadata(
        model="bpclip-fr" if model.full_reference else "bpclip",
        name="tiny",
        architecture=model.config.as_metadata(),
        preprocessing=Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD),
        text_encoder=False,
        license="none",
        source="a test",
        training_data="none",
        validated_sides=(32, 64),
        created="2026-01-01",
    ).model_copy(update=changes)
    return Weights(metadata, dict(model.state_dict()), "0" * 64, None)


def test_weights_rebuild_the_model() -> None:
    model = BPCLIP(TINY_FR).eval()
    rebuilt = build(weights_of(model)).module
    assert isinstance(rebuilt, BPCLIP)
    pair = images(1, 3, 48, 70), images(1, 3, 48, 70, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(rebuilt(*pair).score, model(*pair).score)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda w: w.tensors.pop("text_features"), 'lack 1 tensors.*"text_features"'),
        (lambda w: w.tensors.update(surprise=torch.zeros(1)), 'unknown to this architecture, "surprise"'),
        (lambda w: w.tensors.update(text_features=torch.zeros(2, 2)), r'"text_features" has shape \(2, 2\)'),
        (lambda w: w.metadata.architecture.update(magic=3), 'knows nothing of "magic"'),
        (lambda w: w.metadata.architecture.pop("full_reference"), 'needs "full_reference"'),
        (lambda w: w.metadata.architecture.update(inner_width="wide"), "\"inner_width\" is 'wide'"),
        (lambda w: w.metadata.architecture.update(channels=[1, 2]), r'"channels" is \(1, 2\)'),
        (lambda w: w.metadata.architecture.update(dropout=-1), '"dropout" is -1'),
        (
            lambda w: w.metadata.architecture.update(full_reference=True),
            "no-reference and full-reference at once",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(damage, sentence: str) -> None:  # type: ignore[no-untyped-def]
    weights = weights_of(BPCLIP(TINY))
    damage(weights)
    with pytest.raises(WeightsInvalid, match=sentence):
        build(weights)


def test_the_compact_models_are_small() -> None:
    for full_reference in (False, True):
        parameters = sum(p.numel() for p in BPCLIP(compact(full_reference)).parameters())
        assert 3e6 < parameters < 5e6
