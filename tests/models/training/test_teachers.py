import torch

from models.training.teachers import MEASURES, Scale, measure
from tests.photographs import named


def test_every_measure_prefers_the_milder_picture() -> None:
    photo = torch.from_numpy(named()["coffee"]).permute(2, 0, 1)[None, :, :192, :192].float() / 255
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    values = torch.cat([measure((photo + sigma * noise).clamp(0, 1), photo) for sigma in (0, 0.02, 0.1, 0.3)])
    assert values.shape == (4, len(MEASURES))
    assert (values.diff(dim=0) < 0).all()


def test_targets_are_shares_of_the_sample() -> None:
    sample = torch.arange(100.0)[:, None].expand(-1, 2) / 100
    scale = Scale.fit(sample.flip(0), identical=torch.tensor([1.0, 1.0]))
    targets = scale.targets(torch.tensor([[-1.0, -1.0], [0.495, 0.495], [0.495, 1.0], [1.0, 1.0]]))
    torch.testing.assert_close(targets, torch.tensor([0.0, 0.5, 0.75, 1.0]))


def test_a_flat_picture_gives_no_nan() -> None:
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert torch.isfinite(measure(flat, flat)).all()
