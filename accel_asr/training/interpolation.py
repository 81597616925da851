"""Weights between those that training began with and those that it came to."""

from collections.abc import Callable

import torch
from torch import nn

from accel_asr.model.adapter_layers import has_adapters, name_without_adapters
from accel_asr.training.launch.sharding import sharded_like


def interpolated(model: nn.Module, base_weight: Callable[[str], torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """The trained weights, (1 - alpha) x base + alpha x trained, by name, placed and sharded as the model's are.

    Of adapters, what they add is scaled by alpha: the second matrix of each is, so that merged they give that sum.
    Weights that are not trained are the same on both sides. One weight of the base model is read at a time. No
    collective.

    Args:
        model: Without its wrapper, with the weights of the last step.
        base_weight: A weight of the base model, by its name there, in fp32 and whole.
        alpha: 0 gives the base model, and 1 the trained one, bit for bit.
    """
    is_adapted = has_adapters(model)
    weights = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        trained = parameter.detach()
        if is_adapted and ".lora_A." in name:
            continue  # the product is scaled once
        if is_adapted and ".lora_B." in name:
            weights[name] = trained * alpha
            continue
        base = base_weight(name_without_adapters(name) if is_adapted else name)
        # lerp is exact at both ends
        weights[name] = torch.lerp(sharded_like(trained, base.to(trained.device)), trained, alpha)
    return weights
