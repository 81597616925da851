"""The optimizer of a run, from its settings."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from accel_asr.config.settings import TrainingConfig
from accel_asr.model.parts import NO_MULTIPLIERS, rate_multiplier

FUSED_DEVICE_TYPES = ("cpu", "cuda", "xpu", "mps")


def optimizer_of_run(model: nn.Module, training: TrainingConfig, *, learning_rate: float) -> torch.optim.Optimizer:
    """As `build_optimizer`, with the settings of a run."""
    return build_optimizer(
        model,
        learning_rate=learning_rate,
        weight_decay=training.weight_decay,
        rate_multipliers=training.learning_rate_multipliers,
    )


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    rate_multipliers: Mapping[str, float] = NO_MULTIPLIERS,
) -> torch.optim.AdamW:
    """AdamW over the trainable weights, fused where it can be; the groups are those of `parameter_groups`."""
    groups = parameter_groups(model, weight_decay=weight_decay, rate_multipliers=rate_multipliers)
    fused = all(p.device.type in FUSED_DEVICE_TYPES and p.dtype == torch.float32 for g in groups for p in g["params"])
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def parameter_groups(
    model: nn.Module, *, weight_decay: float, rate_multipliers: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The trainable weights, one group for each factor of the learning rate and decay; none is empty.

    Biases and norms (one dimension) are not decayed. `set_learning_rate` reads each group's `rate_multiplier`.
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor, is_decayed = rate_multiplier(name, rate_multipliers), parameter.ndim > 1
            decay = weight_decay if is_decayed else 0.0
            group = {"params": [], "weight_decay": decay, "rate_multiplier": factor}
            groups.setdefault((factor, is_decayed), group)["params"].append(parameter)
    return list(groups.values())
