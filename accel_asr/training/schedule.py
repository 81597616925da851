"""The learning rate as a function of the optimizer step: nothing to prepare, nothing to save."""

import math

import torch


def whole_warmup_steps(warmup_steps: float, *, last_step: int) -> int:
    """Optimizer steps of warmup: `warmup_steps` itself from 1 on; below, that share of all, rounded up."""
    # rounded first: 0.07 * 100 is a little more than 7
    return int(warmup_steps) if warmup_steps >= 1 else math.ceil(round(warmup_steps * last_step, 6))


def learning_rate_at(step: int, *, peak: float, warmup_steps: int, last_step: int, scheduler_type: str) -> float:
    """The learning rate of optimizer step `step`, counted from 1 whatever the number of processes.

    It rises linearly to `peak` at step `warmup_steps`; then stays there (`constant_with_warmup`), or falls linearly
    towards zero after `last_step` (`linear`).
    """
    if step <= warmup_steps:
        return peak * step / warmup_steps
    if scheduler_type == "linear":
        return peak * (last_step + 1 - step) / (last_step + 1 - warmup_steps)
    return peak


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use `learning_rate` in every parameter group from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
