"""Loss, gradient, weights and learning rates of a few updates, against one process with one batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import gather_object
from torch import nn
from torch.nn import functional as F

from accel_asr.data.loading.batches import TrainingWindows
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import IGNORED_LABEL, Batch, Collator
from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.training.schedule import set_learning_rate
from accel_asr.training.started_step import StepResult
from accel_asr.training.step import train_step
from accel_asr.verification.checks import (
    Check,
    Likeness,
    Tolerances,
    likeness,
    relative_difference,
    same_ids,
)

MOST_OVERFLOWS = 24  # fp16: the loss scale starts at 2^16 and is halved by each


@dataclass(frozen=True)
class ComparedStep:
    """One window: each optimizer group's learning rate by the formula, both losses, the gradients, the rates used."""

    rates: list[float]
    loss: float
    launched_loss: float
    gradients: Likeness
    launched_rates: list[float]


def plan_to_verify(plan: WindowPlan, *, most_utterances: int) -> tuple[WindowPlan, list[str]]:
    """The run's plan, small enough to compare quickly, and notes on what was changed.

    The micro-batch shrinks until the window has at most `most_utterances`, if possible. The batch of one process
    without accumulation is split, or it would be compared with itself.
    """
    notes = []
    if plan.batch_seconds is not None:
        notes.append("training.batch_seconds is left out: the global batch is counted in utterances here")
        plan = replace(plan, batch_seconds=None)
    micro = max(1, min(plan.micro_batch_size, most_utterances // (plan.num_processes * plan.accumulation_steps)))
    if micro < plan.micro_batch_size:
        notes.append(f"micro-batch reduced from {plan.micro_batch_size} to {micro}, to compare few utterances")
    accumulation = plan.accumulation_steps
    if plan.num_processes * accumulation == 1:
        accumulation = next((part for part in range(2, micro + 1) if micro % part == 0), 2)
        notes.append(f"one process without accumulation: its batch of {micro} is split by {accumulation}")
        micro = max(micro // accumulation, 1)
    return replace(plan, micro_batch_size=micro, accumulation_steps=accumulation), notes


def steps_to_verify(plan: WindowPlan, *, warmup_steps: int, last_step: int) -> list[int]:
    """The first step, the first at the peak learning rate, and the last window of an epoch, a short one if any."""
    last_of_epoch = next((step for step in range(last_step, 0, -1) if plan.ends_epoch(step)), last_step)
    return sorted({1, min(max(warmup_steps, 2), last_step), last_of_epoch})


def compare_training(
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    *,
    reference: nn.Module,
    reference_optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    items: ClipItems,
    plan: WindowPlan,
    collator: Collator,
    steps: Sequence[int],
    learning_rate_of: Callable[[int], float],
    label_smoothing: float,
    allowed: Tolerances,
) -> list[Check]:
    """Train both on the windows of `steps`. Every rank must call this.

    Args:
        model: As prepared by Accelerate; `reference` is a copy from before that, with its own optimizer.

    Raises:
        NonFiniteError: loss or gradient of the launched side is not finite; on every rank.
    """
    weights = _trainable(accelerator.unwrap_model(model))
    reference_weights = _trainable(reference)
    start = [weight.detach().clone() for weight in reference_weights]
    alone_plan = plan.in_one_piece()
    updates: list[tuple[Likeness, list[float]]] = []  # (gradients, learning rates) of each update of one step

    def record(inner: torch.optim.Optimizer, *_: object) -> None:
        gradients = likeness(map(_gradient, reference_weights), map(_gradient, weights))
        if math.isfinite(gradients.other_norm):  # else an fp16 overflow, and no update
            updates.append((gradients, [group["lr"] for group in inner.param_groups]))

    hook = optimizer.optimizer.register_step_pre_hook(record)
    compared, expected_ids, ids = [], [], []
    for step in steps:
        [whole] = _window(items, alone_plan, step, rank=0, collator=collator)
        window = _window(items, plan, step, rank=accelerator.process_index, collator=collator)
        expected_ids += [(step, utterance_id) for utterance_id in whole.utterance_ids]
        ids += [(step, utterance_id) for batch in window for utterance_id in batch.utterance_ids]
        learning_rate = learning_rate_of(step)
        set_learning_rate(reference_optimizer, learning_rate)
        set_learning_rate(optimizer, learning_rate)
        reference_optimizer.zero_grad()
        loss = mean_token_loss(reference, whole.to(accelerator.device), label_smoothing=label_smoothing)
        loss.backward()
        updates.clear()
        result = _update(model, optimizer, window, accelerator=accelerator, label_smoothing=label_smoothing)
        assert updates, "train_step made no update"
        reference_optimizer.step()
        rates = [learning_rate * group["rate_multiplier"] for group in reference_optimizer.param_groups]
        launched = [rate for _, group_rates in updates for rate in group_rates]
        compared.append(ComparedStep(rates, float(loss.detach()), result.loss, updates[0][0], launched))
    hook.remove()
    changes = likeness(
        (weight - before for weight, before in zip(reference_weights, start, strict=True)),
        (weight - before for weight, before in zip(weights, start, strict=True)),
    )
    return [
        same_ids("utterances trained", expected_ids, gather_object(ids)),
        *training_checks(compared, changes, allowed=allowed),
    ]


def training_checks(compared: Sequence[ComparedStep], changes: Likeness, *, allowed: Tolerances) -> list[Check]:
    """The checks of one rank; losses and gradients are those of the worst step.

    Args:
        changes: Of all weights by all steps together.
    """
    losses = max(compared, key=lambda step: relative_difference(step.loss, step.launched_loss))
    norms = max((step.gradients for step in compared), key=lambda pair: relative_difference(pair.norm, pair.other_norm))
    turned = max(step.gradients.turned for step in compared)
    rates_off = max(
        max(abs(launched - rate) for rate, launched in zip(step.rates, step.launched_rates, strict=True))
        if len(step.launched_rates) == len(step.rates)  # else a group used none, or more than one
        else math.inf
        for step in compared
    )
    loss, launched_loss = losses.loss, losses.launched_loss
    loss_off, norm_off = relative_difference(loss, launched_loss), relative_difference(norms.norm, norms.other_norm)
    rates = " ".join(f"{step.rates[0]:.3g}" for step in compared)
    launched_rates = " ".join(f"{rate:.3g}" for step in compared for rate in step.launched_rates[:: len(step.rates)])
    weights, launched_weights = f"{changes.norm:.6g}", f"{changes.other_norm:.6g}"
    return [
        Check("loss", f"{loss:.6f}", f"{launched_loss:.6f}", loss_off, allowed.loss),
        Check("gradient norm", f"{norms.norm:.6g}", f"{norms.other_norm:.6g}", norm_off, allowed.norm),
        Check("gradient direction", "cosine 1", f"cosine {1 - turned:.8f}", turned, allowed.direction),
        Check(f"change by {len(compared)} updates", weights, launched_weights, changes.difference, allowed.update),
        Check("learning rates", rates, launched_rates, rates_off, 0),
    ]


def mean_token_loss(model: nn.Module, batch: Batch, *, label_smoothing: float) -> torch.Tensor:
    """The mean cross-entropy of a target token in nats, by torch alone, without the trainer's code."""
    heard = {"input_features": batch.input_features} | ({} if batch.kept is None else {"kept": batch.kept})
    logits = model(**heard, decoder_input_ids=batch.decoder_input_ids, use_cache=False).logits
    return F.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED_LABEL, label_smoothing=label_smoothing
    )


def _update(
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    window: Sequence[Batch],
    *,
    accelerator: Accelerator,
    label_smoothing: float,
) -> StepResult:
    """One update by the trainer, without clipping; in fp16 repeated until the loss scale lets it through."""
    for _ in range(MOST_OVERFLOWS):
        result = train_step(
            model, optimizer, window, accelerator=accelerator, max_grad_norm=0.0, label_smoothing=label_smoothing
        )
        if math.isfinite(result.grad_norm) and not result.skipped:
            break
    return result


def _window(items: ClipItems, plan: WindowPlan, step: int, *, rank: int, collator: Collator) -> list[Batch]:
    [window] = TrainingWindows(items, plan, collator=collator, rank=rank, first_step=step, last_step=step)
    return window


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _gradient(weight: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad
