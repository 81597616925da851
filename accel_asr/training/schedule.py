"""The learning rate as a function of the optimizer step: nothing to prepare, nothing to save."""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Schedule:
    """Linear warmup to `peak` at step `warmup_steps`; then constant, or a linear fall to zero one step after the last.

    Args:
        scheduler_type: `linear` or `constant_with_warmup`.
    """

    peak: float
    warmup_steps: int
    last_step: int
    scheduler_type: str

    def learning_rate(self, step: int) -> float:
        """That of optimizer step `step`, counted from 1 whatever the number of processes."""
        if step <= self.warmup_steps:
            return self.peak * step / self.warmup_steps
        if self.scheduler_type == "linear":
            return self.peak * (self.last_step + 1 - step) / (self.last_step + 1 - self.warmup_steps)
        return self.peak


def whole_warmup_steps(warmup_steps: float, *, last_step: int) -> int:
    """Optimizer steps of warmup: `warmup_steps` itself from 1 on; below, that share of all, rounded up."""
    # rounded first: 0.07 * 100 is a little more than 7
    return int(warmup_steps) if warmup_steps >= 1 else math.ceil(round(warmup_steps * last_step, 6))


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use `learning_rate`, times its own `rate_multiplier`, in every parameter group from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("rate_multiplier", 1.0)
