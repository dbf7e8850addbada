import torch

from models.training.captions import captioned


def drawn(seed: int, height: int = 160, width: int = 220) -> torch.Tensor:
    grey = torch.full((2, 3, height, width), 0.4)
    return captioned(grey, torch.Generator().manual_seed(seed)) - grey


def test_a_caption_is_small_stands_in_a_corner_and_is_the_same_on_all_pictures() -> None:
    corners = set()
    for seed in range(40):
        difference = drawn(seed)
        torch.testing.assert_close(difference[0], difference[1])
        touched = difference[0].abs().amax(dim=0) > 0.02
        assert 0 < touched.float().mean() < 0.04
        rows, columns = touched.nonzero().unbind(dim=1)
        assert rows.max() < 60 or rows.min() >= 100
        assert columns.min() < 30 or columns.max() >= 190
        corners.add((int(rows.min()) >= 100, int(columns.min()) >= 30))
    assert len(corners) == 4


def test_letters_are_sharp_whatever_the_picture_is_and_stay_within_its_range() -> None:
    blurred = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0)).mean() * torch.ones(3, 96, 96)
    with_letters = captioned(blurred, torch.Generator().manual_seed(1))
    assert with_letters.diff(dim=-1).abs().max() > 0.1
    assert 0 <= with_letters.min() <= with_letters.max() <= 1
    assert blurred.diff(dim=-1).abs().max() == 0  # left as it was


def test_the_draw_follows_from_the_generator() -> None:
    torch.testing.assert_close(drawn(3), drawn(3))
    assert (drawn(3) - drawn(4)).abs().max() > 0
