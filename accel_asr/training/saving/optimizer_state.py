"""The state of any optimizer as plain tensors by name, and back, bit for bit."""

from collections.abc import Mapping

import torch
from torch import nn

from accel_asr.training.launch.sharding import sharded_like

_OF_NUMBERS = (torch.int64, torch.float64)  # states that are plain numbers; no optimizer here has tensors of these


def parameter_names(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[list[str]]:
    """The names of the parameters in each group of the optimizer, in its order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[names[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, torch.Tensor]:
    """The optimizer's state by `parameter name/state name`, such as `model.encoder.conv1.bias/exp_avg`.

    A number becomes a tensor of 64 bits without dimensions: the step of Adafactor and of 8-bit AdamW.
    """
    return {
        f"{name}/{key}": _as_tensor(value)
        for group, names in zip(optimizer.param_groups, parameter_names(optimizer, model), strict=True)
        for parameter, name in zip(group["params"], names, strict=True)
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put the state back; learning rate, weight decay and the rest stay as the run's settings have them."""
    names = [name for group in parameter_names(optimizer, model) for name in group]
    number = {name: index for index, name in enumerate(names)}  # as optimizer.state_dict() counts parameters
    parameters = dict(model.named_parameters())
    states: dict[int, dict[str, torch.Tensor | float]] = {}
    for full_name, tensor in tensors.items():
        name, key = full_name.rsplit("/", 1)
        is_like_the_weight = tensor.shape == parameters[name].shape  # all but counts of steps, and factors
        placed = sharded_like(parameters[name], tensor) if is_like_the_weight else tensor
        states.setdefault(number[name], {})[key] = placed.item() if _is_number(placed) else placed
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def _as_tensor(value: torch.Tensor | float) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    return torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else torch.float64)


def _is_number(tensor: torch.Tensor) -> bool:
    return tensor.ndim == 0 and tensor.dtype in _OF_NUMBERS
