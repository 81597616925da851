"""Weights that an update has ruined: found before they are scored or saved, and said with what to lower."""

from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from torch.distributed.tensor import DTensor

from accel_asr.errors import UserError
from accel_asr.files.run_folder import list_checkpoints
from accel_asr.model.pretrained import named_not_finite, not_finite
from accel_asr.training.saving.written_behind import WrittenBehind


def require_finite_weights(
    model: nn.Module,
    *,
    accelerator: Accelerator,
    output_dir: Path,
    step: int,
    learning_rate: float,
    weight_decay: float,
    written: WrittenBehind,
) -> None:
    """Look at the weights as they are after `step`. A collective.

    It need not be called at each step: the loss of the next one tells too (`step.NonFiniteError`), and only what is
    scored or saved must be known to be finite.

    Raises:
        UserError: they are not finite; names the step, the settings to lower and what to go on from.
    """
    mine = {
        name: weight.to_local() if isinstance(weight, DTensor) else weight
        for name, weight in accelerator.unwrap_model(model).named_parameters()
    }
    everyones = gather_object(not_finite({name: weight.detach() for name, weight in mine.items()}))
    broken = sorted(set(everyones))
    if not broken:
        return
    written.wait_for_those_before(-1)  # the newest checkpoint may still be written
    raise UserError(
        f"training stopped: the weights are not finite after the update of step {step} ({named_not_finite(broken)}). "
        f"Lower --training.learning_rate (now {learning_rate:g}) or --training.weight_decay (now {weight_decay:g}). "
        f"Nothing of it was scored or kept; {_way_on(output_dir)}",
        same_on_every_rank=True,
    )


def require_finite_tensors(tensors: Mapping[str, torch.Tensor], *, output_dir: Path, step: int) -> None:
    """Refuse to write a checkpoint of weights or optimizer states that are not finite. For the thread that writes.

    Raises:
        UserError: some are not; names the step, the settings to lower and what to go on from.
    """
    broken = not_finite(tensors)
    if broken:
        raise UserError(
            f"training stopped: the optimizer's state is not finite after the update of step {step} "
            f"({named_not_finite(broken)}), so nothing more would be learnt. Lower --training.learning_rate, or set "
            f"--training.max_grad_norm above 0. This state was not saved; {_way_on(output_dir)}",
            same_on_every_rank=True,
        )


def _way_on(output_dir: Path) -> str:
    checkpoints = list_checkpoints(output_dir)
    if not checkpoints:
        return "there is no checkpoint before it: start again, with another --output_dir"
    return (
        f"go on from {str(checkpoints[-1])!r} with --checkpoint.resume true --checkpoint.allow_changes true and what "
        "you have lowered"
    )
