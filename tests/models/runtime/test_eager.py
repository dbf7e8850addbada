"""The heart of batching: alone or among others, plain or folded, an image gets the same result."""

from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.backbones import feature_maps
from models.backbones.feature_maps import FeatureMaps, level_means
from models.backbones.folded_resnet import FoldedResNet
from models.bpclip.model import BPCLIP
from models.facts import encoder_digest
from models.preprocessing import Pixels
from models.qualiclip.attention_pool import MeanQueryAttentionPool
from models.qualiclip.model import QualiCLIP
from models.ragged import Extents, pack
from models.runtime.eager import InferenceModel
from tests.models.runtime.lively import MODELS, NO_REFERENCE, PREPROCESSING, lively, pictures, sizes


@torch.inference_mode()
def embedded(network: InferenceModel, images: list[Pixels]) -> Tensor:
    batch, extents = pack(images, network.multiple)
    references = None
    if isinstance(network.model, BPCLIP) and network.model.full_reference:
        references, _ = pack([image[:, ::-1] for image in images], network.multiple)
    return network.embed(batch, extents, references)


@torch.inference_mode()
def plainly(model: QualiCLIP | BPCLIP, image: Pixels) -> Tensor:
    pixels = PREPROCESSING.tensor(image)
    if isinstance(model, BPCLIP) and model.full_reference:
        return model.embed(pixels, pixels.flip(-1))
    return model.embed(pixels)


def apart(first: Tensor, second: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((first - second).abs().max() / second.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, deadline=None)
@given(sizes=sizes, seed=st.integers(0, 1000))
def test_a_result_does_not_depend_on_its_neighbors(
    name: str, sizes: list[tuple[int, int]], seed: int
) -> None:
    model = lively(name, seed)
    images = pictures(sizes, seed)
    plain = [plainly(model, image) for image in images]
    network = InferenceModel(model, PREPROCESSING)
    together = embedded(network, images)
    for row, image in enumerate(images):
        (alone,) = embedded(network, [image])
        assert apart(together[row], alone) <= 1e-5
        assert apart(alone, plain[row][0]) <= 1e-5
    scores = network.read_out(together).score
    for row, embedding in enumerate(plain):
        assert abs(scores[row] - network.read_out(embedding).score[0]) <= 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_every_corner_of_an_image_counts(name: str) -> None:
    """Else the test above could pass because nothing depends on what lies near padding."""
    network = InferenceModel(lively(name, 1), PREPROCESSING)
    (image,) = pictures([(64, 96)], 1)  # of other sizes QualiCLIP's pooling drops the last rows
    before = embedded(network, [image])
    for row, column in ((0, 0), (0, 88), (56, 0), (56, 88)):
        changed = image.copy()
        changed[row : row + 8, column : column + 8] ^= 0x80
        assert not torch.equal(embedded(network, [changed]), before)  # the same shapes give the same bits


@pytest.mark.parametrize("name", MODELS)
def test_padding_would_leak_if_it_were_not_cleared(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = InferenceModel(lively(name, 1), PREPROCESSING)
    small, large = pictures([(40, 40), (96, 96)], 1)
    alone = embedded(network, [small])
    monkeypatch.setattr(Extents, "clear", lambda self, values: values)
    assert apart(embedded(network, [small, large])[:1], alone) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_half_precision_stays_close_and_does_not_leak_either(name: str) -> None:
    images = pictures([(40, 77), (64, 64), (90, 33)], 2)
    exact = embedded(InferenceModel(lively(name, 2), PREPROCESSING), images)
    network = InferenceModel(lively(name, 2), PREPROCESSING, torch.bfloat16)
    half = embedded(network, images)
    assert half.dtype == torch.float32
    assert 0 < apart(half, exact) < 0.05
    alone = torch.cat([embedded(network, [image]) for image in images])
    assert (network.read_out(half).score - network.read_out(alone).score).abs().max() <= 5e-3


def test_the_stem_stays_in_float32() -> None:
    encoder = FoldedResNet(lively("qualiclip", 3).visual, torch.bfloat16)  # type: ignore[union-attr, arg-type]
    assert {parameter.dtype for parameter in encoder.stem.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in encoder.stages.parameters()} == {torch.bfloat16}


def test_batch_norm_is_folded_as_it_is_in_evaluation() -> None:
    model = MODELS["bpclip"]()
    model.backbone.freeze_batch_norm(False)
    with pytest.raises(ValueError, match="evaluation mode"):
        FoldedResNet(model.train().backbone.resnet)


def test_the_encoder_gives_the_sizes_that_the_network_gives() -> None:
    model = lively("bpclip", 4)
    assert isinstance(model, BPCLIP)
    encoder = FoldedResNet(model.backbone.resnet)
    images = torch.randn(1, 3, 65, 94)
    with torch.inference_mode():
        plain = model.backbone(images)
        for (values, extents), expected in zip(
            encoder(images, Extents.around([(65, 94)])), plain, strict=True
        ):
            assert extents.sizes == (tuple(expected.shape[-2:]),)
            torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def mapped(network: InferenceModel, images: list[Pixels], rows: list[int]) -> tuple[Tensor, list[Tensor]]:
    batch, extents = pack(images, network.multiple)
    return network.embed_and_map(network.encoder(batch, extents), rows)


def grid(name: str, size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    if name == "qualiclip":
        return (height + 1) // 32, (width + 1) // 32
    return -(-height // 32), -(-width // 32)


@pytest.mark.slow
@pytest.mark.parametrize("name", NO_REFERENCE)
@settings(max_examples=12, deadline=None)
@given(sizes=sizes, seed=st.integers(0, 1000), data=st.data())
def test_local_quality_does_not_depend_on_its_neighbors(
    name: str, sizes: list[tuple[int, int]], seed: int, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.sampled_from(range(len(sizes))), unique=True))
    images = pictures(sizes, seed)
    network = InferenceModel(lively(name, seed), PREPROCESSING)
    embeddings, maps = mapped(network, images, rows)
    assert apart(embeddings, embedded(network, images)) <= 1e-6
    for row, values in zip(rows, maps, strict=True):
        _, (alone,) = mapped(network, [images[row]], [0])
        assert tuple(values.shape) == grid(name, sizes[row])
        assert values.dtype == torch.float32
        assert ((values >= 0) & (values <= 1)).all()
        assert (values - alone).abs().max() <= 1e-4


@pytest.mark.parametrize("name", NO_REFERENCE)
def test_of_one_position_local_quality_is_the_score(name: str) -> None:
    network = InferenceModel(lively(name, 5), PREPROCESSING)
    embeddings, maps = mapped(network, pictures([(32, 32)] * 8, 5), [0, 1, 2, 3, 4, 5, 6, 7])
    scores = network.read_out(embeddings).score
    apart = (torch.stack(maps).flatten() - scores).abs().max()
    assert apart < 1e-5
    assert scores.std() > 10 * apart  # so that it is not one number for all


# Of random weights the compact BPCLIP's map is nearly flat; the bundled ones are tried in test_bundled.py.
@pytest.mark.parametrize("name", [name for name in NO_REFERENCE if not name.startswith("bpclip, lite")])
def test_local_quality_is_local(name: str) -> None:
    network = InferenceModel(lively(name, 6), PREPROCESSING)
    (image,) = pictures([(96, 320)], 6)
    changed = image.copy()
    changed[:, -64:] = 128
    _, (before, after) = mapped(network, [image, changed], [0, 1])
    difference = (after - before).abs()
    assert before.std() > 1e-4
    assert difference[:, -2:].max() > 2 * difference[:, :5].max()


def test_models_with_equal_encoders_share_one_and_answer_as_with_their_own() -> None:
    qualiclip_model, bpclip_model = lively("qualiclip, lite", 8), lively("bpclip, lite", 9)
    assert encoder_digest(qualiclip_model) != encoder_digest(bpclip_model)
    state = bpclip_model.backbone.lite.state_dict()  # type: ignore[union-attr]
    qualiclip_model.visual.lite.load_state_dict(state)  # type: ignore[union-attr]
    assert encoder_digest(qualiclip_model) == encoder_digest(bpclip_model)
    images = pictures([(40, 77), (64, 64)], 8)
    plain = [
        torch.cat([plainly(model, image) for image in images]) for model in (qualiclip_model, bpclip_model)
    ]
    first = InferenceModel(bpclip_model, PREPROCESSING)
    second = InferenceModel(qualiclip_model, PREPROCESSING, encoder=first.encoder)
    assert second.encoder is first.encoder
    batch, extents = pack(images, first.multiple)
    features = first.encoder(batch, extents)
    with torch.inference_mode():
        for network, expected in zip((second, first), plain, strict=True):
            assert apart(network.embed_and_map(features, ())[0], expected) <= 1e-5


@pytest.mark.parametrize("rows", [(0, 1, 2), (1, 2), (2, 0), (1, 1, 0)])
@pytest.mark.parametrize("masks", ["open masks", "learned masks"])
@torch.inference_mode()
def test_heads_that_pool_alike_pool_once(
    masks: str, rows: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And to the same bits as a head that pools maps of its own, whichever rows of the batch it reads."""
    both = [
        InferenceModel(lively("qualiclip, lite", 8), PREPROCESSING),
        InferenceModel(
            lively("bpclip, lite" if masks == "learned masks" else "bpclip, lite, open masks", 8),
            PREPROCESSING,
        ),
    ]
    features = both[0].encoder(*pack(pictures([(40, 77), (96, 64), (64, 64)], 8), both[0].multiple))

    def own() -> FeatureMaps:
        """Copies that share nothing."""
        levels = [values[list(rows)] for values in features.levels]
        extents = [Extents(tuple(each.sizes[row] for row in rows), each.padded) for each in features.extents]
        return FeatureMaps(levels, extents)

    mapped = range(len(rows))
    expected = [network.embed_and_map(own(), mapped) for network in both]
    pooled = []
    monkeypatch.setattr(
        feature_maps, "level_means", lambda levels: pooled.append(levels) or level_means(levels)
    )
    for network, (embeddings, maps) in zip(both, expected, strict=True):
        # Each head asks for its rows anew, as the engine does.
        found, local = network.embed_and_map(features.of(rows), mapped)
        assert torch.equal(found, embeddings)
        assert all(torch.equal(one, other) for one, other in zip(local, maps, strict=True))
    assert len(pooled) == 1


def test_the_folded_value_path_is_the_two_projections() -> None:
    pooling = cast(MeanQueryAttentionPool, lively("qualiclip", 7).visual.attnpool)  # type: ignore[union-attr]
    features = torch.randn(2, pooling.v_proj.in_features, 3, 4)
    with torch.inference_mode():
        plain = pooling.at_each_position(features)
        pooling.fold()
        assert apart(pooling.at_each_position(features), plain) <= 1e-5
        # A grid that is the same everywhere leaves attention nothing to choose.
        even = features[:, :, :1, :1].expand(-1, -1, 3, 4)
        assert apart(pooling.at_each_position(even)[:, 0, 0], pooling(even)) <= 1e-5
