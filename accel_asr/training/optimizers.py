"""The optimizer of a run, from its settings."""

import torch
from torch import nn

FUSED_DEVICE_TYPES = ("cpu", "cuda", "xpu", "mps")


def build_optimizer(model: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the trainable weights, fused where it can be; biases and norms (one dimension) are not decayed."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in FUSED_DEVICE_TYPES and p.dtype == torch.float32 for p in trainable)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)
