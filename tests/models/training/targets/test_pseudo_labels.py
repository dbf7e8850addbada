"""The first opinion of unscored photographs: it follows blur, and does not take noise for sharpness."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.training.distortions import distort
from models.training.photos import PhotoReader
from models.training.targets.pseudo_labels import block_energies, clipped, ranked, sharpness
from tests.photographs import named


def bytes_of(image: torch.Tensor) -> torch.Tensor:
    return (image * 255).round().to(torch.uint8)


@pytest.mark.parametrize("name", sorted(named()))
def test_blur_lowers_it_and_noise_alone_is_not_sharp(name: str) -> None:
    photo = torch.from_numpy(named()[name].copy()).permute(2, 0, 1)
    unit = photo.float() / 255
    generator = torch.Generator().manual_seed(0)
    levels = [sharpness(bytes_of(distort(unit, "gaussian-blur", level, generator))) for level in (3, 4, 5)]
    assert [sharpness(photo), *levels] == sorted([sharpness(photo), *levels], reverse=True)
    noise = torch.full_like(unit, 0.5) + 0.1 * torch.randn(unit.shape, generator=generator)
    assert sharpness(bytes_of(noise.clamp(0, 1))) < sharpness(photo)


def test_a_sharp_subject_before_a_blurred_background_is_sharp() -> None:
    photo = torch.from_numpy(named()["coffee"].copy()).permute(2, 0, 1)
    blurred = bytes_of(distort(photo.float() / 255, "lens-blur", 5, torch.Generator()))
    half = blurred.clone()
    half[..., : half.shape[-1] // 3] = photo[..., : half.shape[-1] // 3]
    assert sharpness(half) - sharpness(blurred) > 0.8 * (sharpness(photo) - sharpness(blurred))


def test_a_flat_picture_has_none() -> None:
    assert sharpness(torch.full((3, 40, 40), 128, dtype=torch.uint8)) == 0


def test_what_is_burnt_out_or_black_counts_as_clipped() -> None:
    picture = torch.full((3, 40, 40), 128, dtype=torch.uint8)
    assert clipped(picture) == 0
    picture[:, :10], picture[:, 30:] = 255, 0
    assert clipped(picture) == 0.5


def test_ranks_spread_evenly_in_the_order_of_sharpness(tmp_path: Path) -> None:
    photo = torch.from_numpy(named()["coffee"].copy()).permute(2, 0, 1).float() / 255
    photo = 0.1 + 0.8 * photo  # nothing is clipped
    paths = []
    for place, level in enumerate((4, 2, 5, 3)):
        spoilt = bytes_of(distort(photo, "gaussian-blur", level, torch.Generator()))
        paths.append(tmp_path / f"{place}.png")
        Image.fromarray(spoilt.permute(1, 2, 0).numpy()).save(paths[-1])
    assert ranked(paths, quiet=True) == [0.375, 0.875, 0.125, 0.625]


def test_of_equally_sharp_ones_the_clipped_one_comes_last(tmp_path: Path) -> None:
    picture = np.full((128, 256, 3), 128, np.uint8)
    picture[:, :128] = np.random.default_rng(0).integers(20, 235, (128, 128, 1))
    paths = []
    for place, tone in enumerate((255, 128, 200)):
        picture[:, 160:] = tone
        paths.append(tmp_path / f"{place}.png")
        Image.fromarray(picture).save(paths[-1])
    assert len({sharpness(PhotoReader().read(path)) for path in paths}) == 1
    burnt, *others = ranked(paths, quiet=True)
    assert burnt < others[0] == others[1]


def test_energies_are_those_of_each_block() -> None:
    planes = torch.zeros(1, 1, 32, 32)
    planes[..., 8, 8] = 1.0  # alone in the first block: a Laplacian of -4 and four ones
    energies = block_energies(planes, 16)
    assert energies.shape == (1, 1, 2, 2)
    assert energies[0, 0, 0, 0] == pytest.approx(20 / 256)
    assert energies.sum() == energies[0, 0, 0, 0]
