import pytest
import torch

from models.training.batches import VariantCells
from models.training.losses import (
    adjectives_loss,
    equality_loss,
    order_loss,
    plcc_loss,
    ranking_loss,
    word_ranking_loss,
)


def test_ranking_is_free_beyond_the_margin_and_linear_within() -> None:
    severity = torch.tensor([0, 1, 3])
    assert ranking_loss(torch.tensor([0.9, 0.7, 0.2]), severity, 0.1) == 0
    # 0 over 1: short by .1 + 0; 0 over 3: .3 - 0; 1 over 3: .2 - 0.
    torch.testing.assert_close(
        ranking_loss(torch.zeros(3), severity, 0.1), torch.tensor((0.1 + 0.3 + 0.2) / 3)
    )


def test_ranking_ignores_equal_and_unranked_levels() -> None:
    wrong = torch.tensor([0.0, 5.0, 9.0])
    assert ranking_loss(wrong, torch.tensor([-1, 2, 2]), 0.1) == 0
    assert ranking_loss(wrong, torch.tensor([-1, 1, 2]), 0.0) == pytest.approx(4.0)


def test_ranking_pushes_the_right_way() -> None:
    values = torch.tensor([0.5, 0.5], requires_grad=True)
    ranking_loss(values, torch.tensor([1, 4]), 0.05).backward()
    assert values.grad is not None
    assert values.grad[0] < 0 < values.grad[1]


def test_order_is_free_beyond_a_margin_that_grows_with_the_gap() -> None:
    empty = torch.empty(0)
    better, worse, gap = torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([1.0, 3.0])
    variants = VariantCells(empty, empty, better, worse, gap, empty, empty, empty)
    values = torch.tensor([0.5, 0.3, 0.3], requires_grad=True)
    loss = order_loss(values, variants, 0.1)
    torch.testing.assert_close(loss, torch.tensor(0.1 / 2))
    loss.backward()
    assert values.grad is not None
    assert values.grad[0] < 0 < values.grad[2]
    assert values.grad[1] == 0


def test_what_looks_the_same_is_free_within_a_margin() -> None:
    values, equal = torch.tensor([0.5, 0.501, 0.5, 0.6]), torch.tensor([[0, 1], [2, 3]])
    torch.testing.assert_close(equality_loss(values, equal, 0.01), torch.tensor(0.09 / 2))
    torch.testing.assert_close(equality_loss(values, equal), torch.tensor(0.101 / 2))


def test_rare_words_weigh_like_frequent_ones_and_unknown_ones_nothing() -> None:
    cosines = torch.zeros(4, 2)
    cosines[0] = torch.tensor([0.0, 1.0])
    labels = torch.tensor([[0], [1], [1], [-1]])
    expected = (torch.log1p(torch.exp(torch.tensor(-3.0))) + torch.log(torch.tensor(2.0))) / 2
    torch.testing.assert_close(adjectives_loss(cosines, labels, 3.0), expected)
    assert adjectives_loss(cosines, torch.full((4, 1), -1), 3.0) == 0


def test_words_of_a_fault_are_pushed_apart() -> None:
    cosines = torch.zeros(1, 2, 40, requires_grad=True)
    severity = torch.full((1, 20, 2), -1)
    severity[0, 1] = torch.tensor([0, 5])  # sharp/soft
    word_ranking_loss(cosines, severity, 0.02).backward()
    assert cosines.grad is not None
    sharp, soft = cosines.grad[0, :, 2], cosines.grad[0, :, 3]
    assert sharp[0] < 0 < sharp[1], "sharp should fall"
    assert soft[1] < 0 < soft[0], "soft should rise"
    assert cosines.grad[0, :, 4:].abs().sum() == 0


def test_correlation() -> None:
    target = torch.rand(50)
    torch.testing.assert_close(plcc_loss(3 * target - 7, target), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(plcc_loss(-target, target), torch.tensor(1.0))
