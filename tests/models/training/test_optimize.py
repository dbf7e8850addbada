"""The training loop: it goes on once interrupted, and its learning rate rises and falls once."""

from pathlib import Path

import pytest
import torch

from models.training.optimize import CHECKPOINT, TrainingError, one_cycle, train
from tests.models.training.small_heads import Cells, losses, short, small_qualiclip


@pytest.mark.slow
def test_an_interrupted_training_ends_where_an_unbroken_one_does(cells: Cells, tmp_path: Path) -> None:
    unbroken = train(small_qualiclip(cells), short(4), tmp_path / "a", quiet=True)
    interrupted = small_qualiclip(cells)
    calls = 0
    loss = interrupted.loss

    def fails_at_the_third(parts):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return loss(parts)

    interrupted.loss = fails_at_the_third  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(interrupted, short(4), tmp_path / "b", quiet=True)
    resumed = train(small_qualiclip(cells), short(4), tmp_path / "b", quiet=True)
    for key, value in unbroken.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=1e-3, atol=1e-4)
    assert len(losses(tmp_path / "b")) == 4


@pytest.mark.process
def test_batches_may_be_prepared_by_another_process(cells: Cells, tmp_path: Path) -> None:
    alone = train(small_qualiclip(cells), short(2), tmp_path / "a", quiet=True)
    helped = train(small_qualiclip(cells), short(2, workers=1), tmp_path / "b", quiet=True)
    for key, value in alone.state_dict().items():
        torch.testing.assert_close(helped.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_of_something_else_is_refused(cells: Cells, tmp_path: Path) -> None:
    train(small_qualiclip(cells), short(1), tmp_path, quiet=True)
    other = small_qualiclip(cells)
    other.name = "other"
    with pytest.raises(TrainingError, match="checkpoint of qualiclip, not of other"):
        train(other, short(2), tmp_path, quiet=True)
    (tmp_path / CHECKPOINT).write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="damaged; remove it"):
        train(small_qualiclip(cells), short(2), tmp_path, quiet=True)


def test_the_learning_rate_rises_and_falls_once() -> None:
    rates = [one_cycle(i / 1000) for i in range(1001)]
    peak = rates.index(max(rates))
    assert 0.04 < peak / 1000 < 0.06
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] < 0.05
    assert rates[-1] == pytest.approx(0, abs=1e-9)
