"""Bookkeeping of sizes, and laying images into one tensor."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.backbones.padding import pad_to_stride
from models.ragged import Extents, normalize, pack

sizes = st.lists(st.tuples(st.integers(32, 90), st.integers(32, 90)), min_size=1, max_size=5)


@given(sizes)
def test_halving_follows_the_networks_own_arithmetic(sizes: list[tuple[int, int]]) -> None:
    up = down = Extents.around(sizes)
    for _ in range(5):
        next_up, next_down = up.halved_up(), down.halved_down()
        strided, pooled = nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.AvgPool2d(2)
        for layer, before, after in ((strided, up, next_up), (pooled, down, next_down)):
            for own, halved in zip((*before.sizes, before.padded), (*after.sizes, after.padded), strict=True):
                assert layer(torch.zeros(1, 1, *own)).shape[-2:] == halved
        up, down = next_up, next_down
    assert all(min(size) >= 1 for size in (*up.sizes, *down.sizes))


@given(sizes)
def test_clearing_zeroes_padding_and_nothing_else(sizes: list[tuple[int, int]]) -> None:
    extents = Extents.around(sizes)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            cleared = extents.clear(torch.ones(len(sizes), 2, *extents.padded))
        for image, (height, width) in zip(cleared, sizes, strict=True):
            assert image[:, :height, :width].all()
            assert image.sum() == 2 * height * width
    assert extents.useful_pixels == cleared[:, 0].sum()
    assert extents.padded_pixels == cleared[:, 0].numel()
    valid = extents.valid_tokens(torch.device("cpu"))
    assert (valid is None) == extents.uniform
    assert valid is None or torch.equal(valid, cleared[:, 0].flatten(1).bool())


@given(sizes)
def test_packing_keeps_each_image_and_mirrors_it_out(sizes: list[tuple[int, int]]) -> None:
    images = [np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    for multiple in (1, 32):
        batch, extents = pack(images, multiple)
        assert batch.dtype == torch.uint8
        assert batch.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(extents.clear(batch.clone()), batch)
        for image, place, (height, width) in zip(images, batch, extents.sizes, strict=True):
            plain = torch.from_numpy(image).permute(2, 0, 1)
            expected = plain if multiple == 1 else pad_to_stride(plain[None].float())[0].byte()
            assert torch.equal(place[:, :height, :width], expected)


def test_normalizing_leaves_padding_at_zero() -> None:
    images = [np.full((32, 40, 3), 255, np.uint8), np.zeros((40, 32, 3), np.uint8)]
    batch, extents = pack(images)
    values = normalize(batch, extents, torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25))
    assert values.dtype == torch.float32
    assert set(values[0].unique().tolist()) == {0.0, 2.0}
    assert set(values[1].unique().tolist()) == {0.0, -2.0}


def test_a_batch_holds_something() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        pack([])
