"""A run that has diverged: weights that are not finite are neither scored nor saved."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
from accel_asr.training.started_step import NonFiniteError


@dataclass(frozen=True)
class FiniteWeights:
    """Watches that the weights of a run stay finite: what has diverged is neither scored nor saved.

    Not looked at after each step: the loss of the next step tells too (`step.NonFiniteError`).
    """

    model: nn.Module
    accelerator: Accelerator
    output_dir: Path
    learning_rate: float
    weight_decay: float
    written: WrittenBehind

    def require(self, step: int) -> None:
        """Look at the weights as they are after `step`. A collective.

        Raises:
            UserError: they are not finite; names the step, the settings to lower and the checkpoint to resume from.
        """
        own = {
            name: weight.to_local() if isinstance(weight, DTensor) else weight
            for name, weight in self.accelerator.unwrap_model(self.model).named_parameters()
        }
        broken = sorted(set(gather_object(not_finite({name: weight.detach() for name, weight in own.items()}))))
        if not broken:
            return
        self.written.wait_for_those_before(-1)  # the newest checkpoint may still be written
        raise UserError(
            f"the weights are not finite after the update of step {step}: {named_not_finite(broken)}",
            setting="--training.learning_rate",
            value=self.learning_rate,
            remedy=f"{self._remedy}. Nothing was scored or saved since; {_way_on(self.output_dir)}",
            same_on_every_rank=True,
        )

    @contextmanager
    def watched(self, step: int) -> Iterator[None]:
        """Put it around `step` and the reading of its result: explains what was not finite. A collective then.

        Raises:
            UserError: the weights were not finite before the update, or the batch made them so.
        """
        try:
            yield
        except NonFiniteError as error:
            self.require(step - 1)  # else it is the batch
            raise UserError(
                f"step {step} could not be taken: {error}",
                setting="--training.learning_rate",
                value=self.learning_rate,
                remedy=f"look at these utterances, or {self._remedy}",
                same_on_every_rank=True,
            ) from error

    @property
    def _remedy(self) -> str:
        decay = f" or --training.weight_decay (now {self.weight_decay:g})" if self.weight_decay else ""
        return f"lower --training.learning_rate (now {self.learning_rate:g}){decay}"


def require_finite_tensors(tensors: Mapping[str, torch.Tensor], *, output_dir: Path, step: int) -> None:
    """Refuse to write a checkpoint of weights or optimizer states that are not finite. For the thread that writes.

    Raises:
        UserError: some are not; names the step, the settings to lower and the checkpoint to resume from.
    """
    broken = not_finite(tensors)
    if broken:
        raise UserError(
            f"the optimizer's state is not finite after the update of step {step} "
            f"({named_not_finite(broken)}), so nothing more would be learnt",
            setting="--training.learning_rate",
            remedy="lower it, or set --training.max_grad_norm above 0. This state was not saved; "
            + _way_on(output_dir),
            same_on_every_rank=True,
        )


def _way_on(output_dir: Path) -> str:
    checkpoints = list_checkpoints(output_dir)
    if not checkpoints:
        return "there is no checkpoint before it: start again, with another --output_dir"
    return (
        f"resume from {str(checkpoints[-1])!r} with --checkpoint.resume true --checkpoint.allow_changes true and what "
        "you have lowered"
    )
