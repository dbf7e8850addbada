"""The training loop: a recipe, a budget of minutes, checkpoints to resume from, a progress bar."""

import copy
import csv
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from models.files import appearing
from models.training.samples import ENDLESS

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
_CHECKPOINT_EVERY_S = 60.0
_WARM_UP = 0.05
_GRADIENT_NORM = 5.0


class TrainingError(Exception):
    """A training cannot start or resume; the message is one sentence that says why."""


class Recipe(Protocol):
    """What is trained and on what.

    ``module`` is what learns: the model under ``model``, and whatever helps it to learn beside it.
    ``learning_rate`` is the largest that suits it; ``datasets`` are endless and give the parts of a batch, of
    ``batch_sizes`` samples each (None: a sample is a batch); ``loss`` turns a batch into named terms that are
    added up.
    """

    @property
    def name(self) -> str: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def module(self) -> nn.ModuleDict: ...

    @property
    def datasets(self) -> tuple[Dataset[Any], ...]: ...

    @property
    def batch_sizes(self) -> tuple[int | None, ...]: ...

    def loss(self, parts: tuple[Any, ...]) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class TrainingBudget:
    """How long and how fast to learn.

    Attributes:
        minutes: of training, summed over interruptions; the learning rate follows a one-cycle curve over it.
        steps: stops after so many steps, whatever the time; None for no such bound.
        learning_rate: the largest; None for the recipe's own.
        weight_decay: of AdamW.
        ema_decay: of the moving average of the weights, which is what is kept.
        workers: processes that prepare batches; 0 prepares them in this one.
        device: to train on.
    """

    minutes: float
    steps: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.02
    ema_decay: float = 0.995
    workers: int = 1
    device: str = "cpu"


class _From(Sampler[int]):
    """Indices from a start on, so that a resumed training sees new samples."""

    def __init__(self, start: int) -> None:
        self._start = start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._start, ENDLESS))


def train(recipe: Recipe, budget: TrainingBudget, run: Path, *, quiet: bool = False) -> nn.Module:
    """Train until the budget is spent and return the averaged model, in evaluation mode, on the CPU.

    The folder ``run`` holds a checkpoint, written every minute and at the end, and a log of the losses.
    Training resumes from a checkpoint found there.

    Raises:
        TrainingError: the checkpoint is of another recipe or damaged, or the loss is no longer finite.
    """
    run.mkdir(parents=True, exist_ok=True)
    device = torch.device(budget.device)
    module = recipe.module.to(device)
    if device.type == "cpu":
        # torch's channels-last kernels for small batches on a CPU are faster by a third.
        module = module.to(memory_format=torch.channels_last)
    average = copy.deepcopy(module).requires_grad_(False)
    highest_rate = budget.learning_rate or recipe.learning_rate
    optimizer = torch.optim.AdamW(_parameter_groups(module, budget.weight_decay), lr=highest_rate)
    state = _State(0, 0.0)
    if (run / CHECKPOINT).exists():
        state = _resume(run / CHECKPOINT, recipe.name, module, average, optimizer)

    clock = time.monotonic()
    saved = clock
    with _progress(quiet) as progress, (run / LOG).open("a", newline="") as log:
        writer = csv.writer(log)
        bar = progress.add_task(recipe.name, total=1.0, loss="")
        batches = _batches(recipe, state.step, budget.workers)

        def keep() -> None:
            log.flush()
            _save(run / CHECKPOINT, recipe.name, module, average, optimizer, state)

        try:
            while _fraction(state, budget) < 1:
                rate = highest_rate * one_cycle(_fraction(state, budget))
                terms = _step(recipe, module, optimizer, batches, device, rate)
                # A young average would remember the random start; its memory grows with its age.
                _follow(average, module, min(budget.ema_decay, (1 + state.step) / (10 + state.step)))
                now = time.monotonic()
                state = _State(state.step + 1, state.seconds + now - clock)
                clock = now
                if state.step == 1:
                    writer.writerow(["step", "seconds", "learning_rate", *terms])
                losses = [f"{term:.4f}" for term in terms.values()]
                writer.writerow([state.step, round(state.seconds, 1), f"{rate:.2e}", *losses])
                progress.update(
                    bar, completed=_fraction(state, budget), loss=f"loss {sum(terms.values()):.3f}"
                )
                if now - saved > _CHECKPOINT_EVERY_S:
                    keep()
                    saved = now
        except KeyboardInterrupt:
            keep()
            raise
        keep()
    return average["model"].cpu().eval()


def _step(
    recipe: Recipe,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: list[Iterator[Any]],
    device: torch.device,
    rate: float,
) -> dict[str, float]:
    """One step of learning; returns the terms of the loss."""
    parts = tuple(_to_device(next(part), device) for part in batches)
    for group in optimizer.param_groups:
        group["lr"] = rate
    module.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=_has_bfloat16(device)):
        terms = recipe.loss(parts)
    loss = torch.stack(list(terms.values())).sum()
    if not torch.isfinite(loss):
        raise TrainingError(
            f"The loss of {recipe.name} is no longer finite; begin anew with a lower learning rate."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), _GRADIENT_NORM)
    optimizer.step()
    return {name: float(term.detach()) for name, term in terms.items()}


def one_cycle(fraction: float) -> float:
    """Share of the largest learning rate: a linear warm-up over a twentieth, then half a cosine."""
    if fraction < _WARM_UP:
        return max(fraction / _WARM_UP, 0.02)
    return 0.5 * (1 + math.cos(math.pi * (fraction - _WARM_UP) / (1 - _WARM_UP)))


@dataclass(frozen=True)
class _State:
    step: int
    seconds: float


def _fraction(state: _State, budget: TrainingBudget) -> float:
    of_time = state.seconds / (60 * budget.minutes)
    of_steps = state.step / budget.steps if budget.steps else 0.0
    return min(1.0, max(of_time, of_steps))


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    # Biases, norms and the like are not to be pulled to zero.
    return [
        {"params": [parameter for parameter in learning if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in learning if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def _batches(recipe: Recipe, step: int, workers: int) -> list[Iterator[Any]]:
    loaders = [
        DataLoader(
            dataset,
            batch_size=size,
            sampler=_From(step * (size or 1)),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=be_modest,
        )
        for dataset, size in zip(recipe.datasets, recipe.batch_sizes, strict=True)
    ]
    return [iter(loader) for loader in loaders]


def be_modest(_: int) -> None:
    """What a worker process does first: one thread, and lower priority."""
    # The cores belong to the training; its helpers use what it leaves.
    torch.set_num_threads(1)
    os.nice(5)


def _to_device(part: Any, device: torch.device) -> Any:
    moved = [tensor.to(device, non_blocking=True) for tensor in part]
    return type(part)(*moved) if hasattr(part, "_fields") else moved


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Emulated, it would be slower than float32.
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@torch.no_grad()
def _follow(average: nn.Module, module: nn.Module, decay: float) -> None:
    for mean, value in zip(average.state_dict().values(), module.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _save(
    path: Path,
    name: str,
    module: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: _State,
) -> None:
    content = {
        "recipe": name,
        "module": module.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
    }
    with appearing(path) as file:
        torch.save(content, file)


def _resume(
    path: Path, name: str, module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> _State:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["recipe"] != name:
            raise TrainingError(
                f"{path} is a checkpoint of {content['recipe']}, not of {name}; choose another run folder."
            )
        module.load_state_dict(content["module"])
        average.load_state_dict(content["average"])
        optimizer.load_state_dict(content["optimizer"])
        return _State(content["step"], content["seconds"])
    except TrainingError:
        raise
    except Exception as error:
        raise TrainingError(
            f"The checkpoint {path} does not fit this training or is damaged; remove it to begin anew."
        ) from error


def _progress(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
        console=Console(stderr=True),  # what is printed is for the caller
        disable=quiet,
    )
