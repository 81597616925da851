"""The learning rate as a function of the optimizer step: nothing to prepare, nothing to save."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import get_scheduler

from accel_asr.config.scheduler_arguments import SCHEDULER_KWARGS
from accel_asr.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """A warmup to `peak` at step `warmup_steps`, then what `scheduler_type` says.

    It is transformers' schedule of that name for a run of one step more, and step 1 has the rate that transformers
    gives to its second step: so neither the first step nor the last is taken at a rate of zero.

    Args:
        scheduler_type: One of transformers' names; `constant` has no warmup.
        arguments: What else transformers' schedule of that name takes.
    """

    peak: float
    warmup_steps: int
    last_step: int
    scheduler_type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_settings(
        cls,
        *,
        learning_rate: float,
        warmup_steps: float,
        last_step: int,
        lr_scheduler_type: str,
        lr_scheduler_kwargs: Mapping[str, Any],
    ) -> "Schedule":
        """That of a run whose length and peak are known.

        Args:
            warmup_steps: As `whole_warmup_steps` takes it.

        Raises:
            UserError: the arguments do not fit this length or this peak.
        """
        warmup = 0 if lr_scheduler_type == "constant" else whole_warmup_steps(warmup_steps, last_step=last_step)
        schedule = cls(learning_rate, warmup, last_step, lr_scheduler_type, lr_scheduler_kwargs)
        schedule._require_room()
        return schedule

    def learning_rate(self, step: int) -> float:
        """That of optimizer step `step`, counted from 1 whatever the number of processes."""
        if self.scheduler_type not in ("linear", "constant_with_warmup"):
            return self.peak * self._share_of_peak(step)
        # rounded otherwise than transformers rounds it, as it always was: recorded losses depend on it
        if step <= self.warmup_steps:
            return self.peak * step / self.warmup_steps
        if self.scheduler_type == "linear":
            return self.peak * (self.last_step + 1 - step) / (self.last_step + 1 - self.warmup_steps)
        return self.peak

    @functools.cached_property
    def _share_of_peak(self) -> Callable[[int], float]:
        weight = torch.nn.Parameter(torch.zeros(()))
        scheduler = get_scheduler(
            self.scheduler_type,
            torch.optim.SGD([weight], lr=self.peak),
            num_warmup_steps=self.warmup_steps,
            num_training_steps=self.last_step + 1,
            scheduler_specific_kwargs=dict(self.arguments),
        )
        [share_of_peak] = scheduler.lr_lambdas
        return share_of_peak

    def _require_room(self) -> None:
        lowest = {"cosine_with_min_lr": ("min_lr", 0.0), "polynomial": ("lr_end", 1e-7)}  # and transformers' default
        name, default = lowest.get(self.scheduler_type, ("", -math.inf))
        if self.arguments.get(name, default) >= self.peak:
            raise UserError(
                f"the schedule would not fall: the peak, training.learning_rate, is {self.peak:g}",
                setting=SCHEDULER_KWARGS,
                value={name: self.arguments.get(name, default)},
                remedy="give less than the peak",
                same_on_every_rank=True,
            )
        decay_steps, room = self.arguments.get("num_decay_steps", 0), max(self.last_step + 1 - self.warmup_steps, 1)
        if decay_steps > room:
            fits_without_warmup = decay_steps <= self.last_step + 1
            instead = "fewer --training.warmup_steps" if fits_without_warmup else "train for more steps"
            raise UserError(
                f"the run has {self.last_step:,} steps, {self.warmup_steps:,} of them warmup",
                setting=SCHEDULER_KWARGS,
                value={"num_decay_steps": decay_steps},
                remedy=f"give at most {room:,}, or {instead}",
                same_on_every_rank=True,
            )


def whole_warmup_steps(warmup_steps: float, *, last_step: int) -> int:
    """Optimizer steps of warmup: `warmup_steps` itself from 1 on; below, that share of all, rounded up."""
    # rounded first: 0.07 * 100 is a little more than 7
    return int(warmup_steps) if warmup_steps >= 1 else math.ceil(round(warmup_steps * last_step, 6))


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use `learning_rate`, times its own `rate_multiplier`, in every parameter group from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("rate_multiplier", 1.0)
