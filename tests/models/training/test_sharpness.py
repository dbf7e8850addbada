"""The first opinion of unscored photographs: it follows blur, and does not take noise for sharpness."""

from pathlib import Path

import pytest
import torch

from models.training.distortions import distort
from models.training.photos import PhotoReader, list_photos
from models.training.sharpness import ranked_by_sharpness, sharpness
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


def test_ranks_spread_evenly_in_the_order_of_sharpness(photo_folder: Path) -> None:
    paths = list_photos(photo_folder, "all")
    ranked = ranked_by_sharpness(paths, quiet=True)
    assert [each.path for each in ranked] == paths
    found = [sharpness(PhotoReader().read(path)) for path in paths]
    order = sorted(range(len(paths)), key=lambda i: found[i])
    worths = [ranked[i].worth for i in order]
    assert worths == sorted(worths)
    assert 0 < worths[0] < 0.15
    assert 0.85 < worths[-1] < 1
