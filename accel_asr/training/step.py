"""One update: a window of micro-batches on every rank -> one token-weighted optimizer step."""

import math
from collections.abc import Sequence

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
from accel_asr.ranks.host_sums import summed_over_ranks
from accel_asr.training.launch.sharding import is_sharded, whole_tensor
from accel_asr.training.random_state import random_state_kept
from accel_asr.training.started_step import DeviceReading, StartedStep, StepResult

MAX_NAMED = 20
DEVICES_THAT_STOP = ("cpu", "cuda")


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


def start_step(
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    window: Sequence[Batch],
    *,
    accelerator: Accelerator,
    max_grad_norm: float,
    label_smoothing: float = 0.0,
    before: StartedStep | None = None,
) -> StartedStep:
    """Update the weights by one window. Every rank must call this, with as many micro-batches as the others.

    loss = sum of token losses / number of target tokens, both over all micro-batches and ranks: the same update
    however the window is split. Averaging per micro-batch or per rank would weigh short labels more than long ones.

    A GPU is handed the work, and the host waits for nothing: whether loss and gradient are finite is for the GPU to
    see, which then leaves the weights as they are, and for the host to read later, in the result. An optimizer that
    can't be stopped so has the host wait before its update.

    Args:
        model: As prepared by Accelerate; called through its wrapper, or gradients would not be synchronised.
        before: The step before, if its result has not been read: if that failed, the weights stay in this one too.

    Raises:
        NonFiniteError: the host has waited, and it is as `StartedStep.result` says.
        UserError: no clip of the window could be decoded, on any rank.
    """
    target_tokens, audio_s, failed = _counted(window, accelerator)
    window = [batch.to(accelerator.device) for batch in window]

    # forward and backward; only the last backward pass synchronises gradients
    loss_sums = []
    for index, batch in enumerate(window):
        is_last = index == len(window) - 1
        with torch.enable_grad() if is_last else accelerator.no_sync(model):
            loss_sum = _summed_loss(model, batch, label_smoothing=label_smoothing)
            # DDP averages gradients over the ranks: times num_processes turns that into the sum
            accelerator.backward(loss_sum * (accelerator.num_processes / target_tokens))
        loss_sums.append(loss_sum.detach())

    # the two numbers that tell whether it may count
    loss_sum = accelerator.reduce(torch.stack(loss_sums).sum(), reduction="sum")
    norm = whole_tensor(accelerator.clip_grad_norm_(model.parameters(), max_grad_norm or math.inf))
    numbers = torch.stack([loss_sum, norm.to(loss_sum.dtype)])
    has_failed = numbers.isfinite().all().logical_not().float()
    if before is not None:
        has_failed = torch.maximum(has_failed, before.has_failed)
    stops_by_itself = _is_stopped_by_device(optimizer, accelerator)
    started = StartedStep(
        numbers=DeviceReading(numbers),
        has_failed=has_failed,
        target_tokens=target_tokens,
        audio_s=audio_s,
        failed=failed,
        utterance_ids=[batch.utterance_ids for batch in window],
        loss_sums=loss_sums,
        is_read=not stops_by_itself,
        # not accelerator.optimizer_step_was_skipped: a fused optimizer is called, and skips the update by itself
        scaler_decides=accelerator.scaler is not None,
    )

    # update
    try:
        if stops_by_itself:
            optimizer.optimizer.found_inf = has_failed
        else:
            started.result()  # or raise, before the weights are touched
        optimizer.step()
    finally:
        optimizer.zero_grad()
    return started


def train_step(
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    window: Sequence[Batch],
    *,
    accelerator: Accelerator,
    max_grad_norm: float,
    label_smoothing: float = 0.0,
) -> StepResult:
    """`start_step`, and the wait for its result.

    Raises:
        NonFiniteError, UserError: as they do.
    """
    started = start_step(
        model,
        optimizer,
        window,
        accelerator=accelerator,
        max_grad_norm=max_grad_norm,
        label_smoothing=label_smoothing,
    )
    return started.result()


def _is_stopped_by_device(optimizer: AcceleratedOptimizer, accelerator: Accelerator) -> bool:
    """Whether the optimizer, a fused one of torch, leaves out an update where the device sees `found_inf`.

    Not where fp16's scaler uses that itself, with sharded weights, or on devices whose kernels may not look at it.
    """
    return (
        getattr(optimizer.optimizer, "_step_supports_amp_scaling", False)
        and accelerator.scaler is None
        and not is_sharded(accelerator)
        and accelerator.device.type in DEVICES_THAT_STOP
    )


def _counted(window: Sequence[Batch], accelerator: Accelerator) -> tuple[int, float, tuple[FailedItem, ...]]:
    """(target tokens, seconds of audio, clips that could not be decoded) of the window on all ranks.

    Raises:
        UserError: there is no target token.
    """
    own = [
        sum(len(batch.target_positions) for batch in window),
        sum(batch.audio_s for batch in window),
        sum(len(batch.failed) for batch in window),
    ]
    target_tokens, audio_s, failures = summed_over_ranks(own, accelerator)
    failed: list[FailedItem] = gather_object([item for batch in window for item in batch.failed]) if failures else []
    if target_tokens == 0:
        named = "\n".join(f"  {item.utterance_id}: {visible(item.reason)}" for item in failed[:MAX_NAMED])
        raise UserError(
            f"none of the {len(failed)} recordings of a global batch could be used:\n{named}\n",
            remedy="check that the storage is there and that the filters fit the data; the checkpoints are intact, so "
            "resume with --checkpoint.resume true",
            same_on_every_rank=True,
        )
    return int(target_tokens), audio_s, tuple(failed)


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
