import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.cells import PhotographVariants, look_at
from models.training.distortions import distort_levels
from models.training.photos import list_photos
from models.training.samples import to_float
from models.training.targets.teachers import MEASURES, Scale, Teachers, measure_pairs, scale_of, targets
from tests.photographs import named


def test_every_measure_prefers_the_milder_picture() -> None:
    photo = torch.from_numpy(named()["coffee"]).permute(2, 0, 1)[None, :, :192, :192].float() / 255
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    values = torch.cat(
        [measure_pairs((photo + sigma * noise).clamp(0, 1), photo) for sigma in (0, 0.02, 0.1, 0.3)]
    )
    assert values.shape == (4, len(MEASURES))
    assert (values.diff(dim=0) < 0).all()


def test_targets_are_shares_of_the_sample() -> None:
    sample = torch.arange(101.0)[:, None].expand(-1, 4) / 100
    scale = Scale.fit(sample.flip(0), identical=torch.ones(4))
    values = torch.tensor([[-1.0] * 4, [0.495] * 4, [0.495, 1, 0.495, 1], [0.9999] * 4, [1.0] * 4])
    expected = torch.tensor([0.0, 0.495, 0.7475, 0.9999, 1.0])
    torch.testing.assert_close(scale.targets(values), expected, atol=1e-4, rtol=0)
    again = Scale.from_json(json.loads(json.dumps(scale.as_json())))
    torch.testing.assert_close(again.targets(values), scale.targets(values), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_scale_that_is_written_down_spreads_faults_over_the_whole_range() -> None:
    photo = torch.from_numpy(named()["coffee"]).permute(2, 0, 1)[:, :256, :256].float() / 255
    spoilt = [
        distort_levels(photo, name, torch.Generator().manual_seed(1))
        for name in ("lens-blur", "jpeg", "darken")
    ]
    found = targets(torch.cat([photo[None], *spoilt]), photo.expand(16, -1, -1, -1))
    assert found[0] == 1
    assert (found[1:].unflatten(0, (3, 5)).diff(dim=1) < 0).all()
    assert 0 <= found.min() < 0.15
    assert (found[1:] > 0.8).any()


def test_what_was_said_of_variants_becomes_a_scale(photo_folder: Path, tmp_path: Path) -> None:
    paths = tuple(list_photos(photo_folder)[:2])
    pictures = PhotographVariants(paths, 96, chains=3, parts=0, compounds=0, good=True)
    values = look_at(pictures, Teachers(), tmp_path, quiet=True)
    assert values.shape == (2, 8, len(MEASURES))
    assert values.dtype == np.float32
    first = [torch.from_numpy(each)[None] for each in np.array(values[0])]
    made = to_float(pictures.make(0))
    torch.testing.assert_close(first[2], measure_pairs(made[2:3], made[:1]))
    scale = scale_of(values)
    assert (scale.quantiles.diff(dim=0) >= 0).all()
    assert (scale.quantiles[-1] <= scale.identical).all()
    found = scale.targets(torch.from_numpy(np.array(values[0])))
    assert found[0] == 1
    assert (found[2:] < 1).all()


def test_a_flat_picture_gives_no_nan() -> None:
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert torch.isfinite(measure_pairs(flat, flat)).all()
