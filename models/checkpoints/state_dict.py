"""Tensors into a module: exactly its own, or a sentence that says what does not fit."""

from collections.abc import Mapping

from torch import Tensor, nn

from models.checkpoints.errors import WeightsInvalid


def stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a state is worth storing: counters of training steps say nothing about inference."""
    return {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}


def load_exactly(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load float tensors of any precision into ``model``, exactly those that it has.

    Raises:
        WeightsInvalid: keys are missing or left over, or shapes differ; the sentence names the first.
    """
    own = model.state_dict()
    wanted, given = stored(own).keys(), stored(state).keys()
    if missing := sorted(wanted - given):
        raise WeightsInvalid(
            f'The weights lack {len(missing)} tensors of this architecture, "{missing[0]}" among them.'
        )
    if extra := sorted(given - wanted):
        raise WeightsInvalid(
            f'The weights hold {len(extra)} tensors unknown to this architecture, "{extra[0]}" among them.'
        )
    for key in sorted(wanted):
        if own[key].shape != state[key].shape:
            raise WeightsInvalid(
                f'The tensor "{key}" has shape {tuple(state[key].shape)}, '
                f"this architecture needs {tuple(own[key].shape)}."
            )
    model.load_state_dict({key: state[key].to(own[key].dtype) for key in wanted}, strict=False)


def transfer(state: Mapping[str, Tensor], model: nn.Module) -> int:
    """Copy the tensors that ``model`` has under the same name and shape, and leave its others as they are.

    Returns:
        How many were copied.

    Raises:
        WeightsInvalid: not even one fits.
    """
    own = model.state_dict()
    fitting = {
        key: value.to(own[key].dtype)
        for key, value in state.items()
        if key in own and own[key].shape == value.shape
    }
    if not fitting:
        raise WeightsInvalid("The weights to begin from share no tensor with this architecture.")
    model.load_state_dict(fitting, strict=False)
    return len(fitting)
