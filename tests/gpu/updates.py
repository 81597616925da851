"""One update of the tiny model on any device, and how it compares with another."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from accel_asr.data.loading.collator import Batch
from accel_asr.training.optimizers import build_optimizer
from accel_asr.training.schedule import set_learning_rate
from accel_asr.training.step import train_step

if TYPE_CHECKING:
    from accelerate import Accelerator

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Update:
    """What an update was. change: of all trained weights, as one vector on the CPU; model: as it was prepared."""

    loss: float
    grad_norm: float
    skipped: bool
    change: torch.Tensor
    model: torch.nn.Module

    def cosine(self, other: "Update") -> float:
        """1 where both updates point the same way."""
        return float(torch.nn.functional.cosine_similarity(self.change, other.change, dim=0))


def weights_of(model: torch.nn.Module) -> torch.Tensor:
    """The trained weights as one vector on the CPU."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.cat([_whole(weight.detach()).flatten().double().cpu() for weight in trained])


def update(model: torch.nn.Module, window: list[Batch], accelerator: "Accelerator") -> Update:
    """Make one update of `model`, a new one, by `window`."""
    optimizer = build_optimizer(model, learning_rate=LEARNING_RATE, weight_decay=0.0)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    set_learning_rate(optimizer, LEARNING_RATE)
    before = weights_of(prepared)
    result = train_step(prepared, optimizer, window, accelerator=accelerator, max_grad_norm=1.0)
    assert math.isfinite(result.loss)
    return Update(result.loss, result.grad_norm, result.skipped, weights_of(prepared) - before, prepared)


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
