"""The measures answer to what they are named after, on photographs and on pictures made for it."""

import pytest
import torch

from models.training.distortions import distort
from models.training.measures import COUNT, MeasuresHead, block_energies, signal_measures
from tests.photographs import named

SCALES = [slice(5 * i, 5 * i + 5) for i in range(4)]
NOISE, GRADIENT = 0, 4  # within a scale
MEAN, DEVIATION, LOW, HIGH, BURNT, BLACK, COLOUR, SATURATION = range(20, 28)
CHROMA, BLOCKS = slice(28, 30), slice(30, 32)


def photographs() -> torch.Tensor:
    crops = [torch.from_numpy(pixels[:256, :256].copy()).permute(2, 0, 1) for pixels in named().values()]
    return torch.stack(crops)


def spoilt(name: str, level: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    images = [distort(photo.float() / 255, name, level, generator) for photo in photographs()]
    return (torch.stack(images) * 255).round().to(torch.uint8)


def change(name: str, level: int) -> torch.Tensor:
    return (signal_measures(spoilt(name, level)) - signal_measures(photographs())).mean(dim=0)


def test_photographs_lie_about_zero() -> None:
    found = signal_measures(photographs())
    assert found.shape == (len(photographs()), COUNT)
    assert torch.isfinite(found).all()
    assert found.abs().mean() < 2


def test_blur_lowers_the_energies_of_the_finest_scale_most() -> None:
    fallen = change("gaussian-blur", 4)
    assert (fallen[SCALES[0]] < 0).all()
    assert fallen[SCALES[0]][3] < fallen[SCALES[3]][3]


@pytest.mark.parametrize(
    ("fault", "measure", "sign"),
    [
        ("white-noise", NOISE, 1),
        ("brighten", MEAN, 1),
        ("darken", MEAN, -1),
        ("nonlinear-contrast", DEVIATION, -1),
        ("low-light", HIGH, -1),
        ("haze", LOW, 1),
        ("hsv-saturation", COLOUR, -1),
        ("lab-gain", SATURATION, 1),
    ],
)
def test_a_fault_moves_its_measure(fault: str, measure: int, sign: int) -> None:
    assert sign * change(fault, 4)[measure] > 0.3


def test_chroma_noise_and_blocks_are_seen() -> None:
    assert (change("chroma-noise", 5)[CHROMA] > 0.5).all()
    assert (change("jpeg", 5)[BLOCKS] > 0.2).all()
    assert (change("jpeg", 5)[BLOCKS] > change("gaussian-blur", 5)[BLOCKS]).all()


def test_energies_are_those_of_each_block() -> None:
    planes = torch.zeros(1, 1, 32, 32)
    planes[..., 8, 8] = 1.0  # alone in the first block: a Laplacian of -4 and four ones
    energies = block_energies(planes, 16)
    assert energies.shape == (1, 1, 2, 2)
    assert energies[0, 0, 0, 0] == pytest.approx(20 / 256)
    assert energies.sum() == energies[0, 0, 0, 0]


def test_a_head_learns_the_measures() -> None:
    torch.manual_seed(0)
    images = photographs()
    known = signal_measures(images)
    head = MeasuresHead(COUNT)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    first = float(head.loss(known, images).detach())
    for _ in range(60):
        optimiser.zero_grad()
        loss = head.loss(known, images)
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.2 * first
