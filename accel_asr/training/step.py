"""One update: a window of micro-batches on every rank -> one token-weighted optimizer step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import gather_object
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from accel_asr.console.public_text import visible
from accel_asr.data.loading.collator import Batch
from accel_asr.data.loading.items import FailedItem
from accel_asr.errors import UserError
from accel_asr.training.launch.sharding import whole_tensor
from accel_asr.training.random_state import random_state_kept

MAX_NAMED = 20


class NonFiniteError(Exception):
    """Loss or gradient is not a number; raised on every rank before the weights are touched."""


@dataclass(frozen=True)
class StepResult:
    """What one update was, over all ranks.

    loss: mean cross-entropy of a target token of the window, in nats, with label smoothing if there is any. grad_norm:
    before clipping.
    skipped: fp16 only, the loss scale was too high and the update was skipped.
    failed: clips that could not be decoded, so that the window was without them.
    """

    loss: float
    grad_norm: float
    target_tokens: int
    audio_s: float
    skipped: bool
    failed: tuple[FailedItem, ...] = ()


def settle_gradient_buckets(model: nn.Module, batch: Batch, *, accelerator: Accelerator) -> None:
    """Make one forward and backward pass that changes nothing. Call before restoring a checkpoint.

    DDP sorts its gradient buckets by what its first backward pass saw, and the sums of more than two ranks depend on
    that order: without this the first step after a resume would not be bit for bit that of an unbroken run.
    """
    if not isinstance(model, DistributedDataParallel):
        return
    with random_state_kept(accelerator.device):
        batch = batch.to(accelerator.device)
        accelerator.backward(_summed_loss(model, batch, label_smoothing=0.0))
    model.zero_grad()


def train_step(
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    window: Sequence[Batch],
    *,
    accelerator: Accelerator,
    max_grad_norm: float,
    label_smoothing: float = 0.0,
) -> StepResult:
    """Update the weights by one window. Every rank must call this, with as many micro-batches as the others.

    loss = sum of token losses / number of target tokens, both over all micro-batches and ranks: the same update
    however the window is split. Averaging per micro-batch or per rank would weigh short labels more than long ones.

    Args:
        model: As prepared by Accelerate; called through its wrapper, or gradients would not be synchronised.

    Raises:
        NonFiniteError: the loss or the gradient is not finite; names the utterances, the weights are untouched.
        UserError: no clip of the window could be decoded, on any rank.
    """
    window = [batch.to(accelerator.device) for batch in window]
    counts = torch.tensor(
        [
            sum(len(batch.target_positions) for batch in window),
            sum(batch.audio_s for batch in window),
            sum(len(batch.failed) for batch in window),
        ],
        dtype=torch.float64 if accelerator.device.type != "mps" else torch.float32,
        device=accelerator.device if accelerator.num_processes > 1 else "cpu",
    )
    if accelerator.num_processes > 1:
        counts = accelerator.reduce(counts, reduction="sum")
    target_tokens, audio_s, failures = counts.tolist()
    failed: list[FailedItem] = gather_object([item for batch in window for item in batch.failed]) if failures else []
    if target_tokens == 0:
        named = "\n".join(f"  {item.utterance_id}: {visible(item.reason)}" for item in failed[:MAX_NAMED])
        raise UserError(
            f"none of the {len(failed)} recordings of a global batch could be used:\n{named}\n",
            remedy="check that the storage is there and that the filters fit the data; the checkpoints are intact, so "
            "resume with --checkpoint.resume true",
            same_on_every_rank=True,
        )

    loss_sums = []
    for index, batch in enumerate(window):
        is_last = index == len(window) - 1
        with torch.enable_grad() if is_last else accelerator.no_sync(model):
            loss_sum = _summed_loss(model, batch, label_smoothing=label_smoothing)
            # DDP averages gradients over the ranks: times num_processes turns that into the sum
            accelerator.backward(loss_sum * (accelerator.num_processes / target_tokens))
        loss_sums.append(loss_sum.detach())

    loss_sum = accelerator.reduce(torch.stack(loss_sums).sum(), reduction="sum")
    norm = whole_tensor(accelerator.clip_grad_norm_(model.parameters(), max_grad_norm or math.inf))
    # read together: each reading waits for a GPU to have done all that it was given
    loss, grad_norm = torch.stack([loss_sum, norm.to(loss_sum.dtype)]).tolist()
    loss /= target_tokens
    scaler_decides = accelerator.scaler is not None  # fp16: it skips the step and lowers its scale
    if not math.isfinite(loss) or (not math.isfinite(grad_norm) and not scaler_decides):
        optimizer.zero_grad()
        raise NonFiniteError(_non_finite_message(window, loss_sums, loss=loss, grad_norm=grad_norm))
    optimizer.step()
    optimizer.zero_grad()
    return StepResult(
        loss,
        grad_norm,
        int(target_tokens),
        audio_s,
        # not accelerator.optimizer_step_was_skipped: a fused optimizer is called, and skips the update by itself
        skipped=scaler_decides and not math.isfinite(grad_norm),
        failed=tuple(failed),
    )


def _summed_loss(model: nn.Module, batch: Batch, *, label_smoothing: float) -> torch.Tensor:
    """Forward pass of a `WhisperForTraining`, through its wrapper, to the sum of the batch's token losses."""
    return model(
        **batch.model_inputs(),
        decoder_input_ids=batch.decoder_input_ids,
        use_cache=False,
        target_positions=batch.target_positions,
        target_labels=batch.target_labels,
        row_seeds=batch.row_seeds,
        label_smoothing=label_smoothing,
    ).loss_sum


def _non_finite_message(
    window: Sequence[Batch], loss_sums: Sequence[torch.Tensor], *, loss: float, grad_norm: float
) -> str:
    """Name the micro-batches to blame: those with a loss that is not finite, or else all. A collective."""
    mine = [(batch.utterance_ids, math.isfinite(float(value))) for batch, value in zip(window, loss_sums, strict=True)]
    everyones = gather_object(mine)
    blamed = [ids for ids, finite in everyones if not finite] or [ids for ids, _ in everyones]
    names = ", ".join(utterance_id for ids in blamed for utterance_id in ids)
    return f"loss {loss}, gradient norm {grad_norm}; the utterances of the batch: {names}"
