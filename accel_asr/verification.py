"""One process with one batch against the launched topology: gradients, updates, learning rates, transcripts.

Every rank computes what one process would, redundantly and without waiting for the others, on a copy of the model that
Accelerate has never seen; then all train and evaluate together with the trainer's own code, and each rank compares.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import gather_object
from torch import nn
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.data.collator import IGNORED_LABEL, Batch, Collator
from accel_asr.data.loading import TrainingItems, WindowPlan, evaluation_batches, training_windows
from accel_asr.data.preparation import Utterance
from accel_asr.evaluation.evaluating import evaluate_model
from accel_asr.evaluation.generation import transcribe_batches, whole_table
from accel_asr.evaluation.normalizers import Normalizer
from accel_asr.evaluation.scoring import corpus_score, score_utterance
from accel_asr.training.schedule import set_learning_rate
from accel_asr.training.step import StepResult, train_step

MOST_OVERFLOWS = 24  # fp16: the loss scale starts at 2^16 and is halved by each


@dataclass(frozen=True)
class Tolerances:
    """How far this launch may be from one process in fp32.

    loss, norm, update: relative differences. direction: 1 - cosine.
    """

    loss: float
    norm: float
    direction: float
    update: float


# the reference is always fp32; half precision is compared with it, so its own rounding has to pass
TOLERANCES = {
    "no": Tolerances(loss=1e-5, norm=1e-4, direction=1e-5, update=1e-2),
    "fp16": Tolerances(loss=1e-2, norm=2e-2, direction=1e-3, update=0.5),
    "bf16": Tolerances(loss=2e-2, norm=5e-2, direction=1e-2, update=1.0),
}


@dataclass(frozen=True)
class Check:
    """One line of the result: what one process gives, what this launch gives, how far apart, how far they may be."""

    name: str
    alone: str
    launched: str
    difference: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.allowed  # not so for nan


@dataclass(frozen=True)
class Likeness:
    """Two lists of tensors as two vectors: their norms, 1 - cosine, and |other - one| / |one|."""

    norm: float
    other_norm: float
    turned: float
    difference: float


def likeness(ones: Iterable[torch.Tensor], others: Iterable[torch.Tensor]) -> Likeness:
    """Compare in fp64, tensor by tensor; where a vector is zero, the other one has to be."""
    sums = torch.zeros(4, dtype=torch.float64)
    for one, other in zip(ones, others, strict=True):
        a, b = one.detach().cpu().double(), other.detach().cpu().double()
        sums += torch.stack([(a * a).sum(), (b * b).sum(), (a * b).sum(), (b - a).square().sum()])
    norm, other_norm, product, difference = sums[0].sqrt(), sums[1].sqrt(), sums[2], sums[3].sqrt()
    if not float(norm) or not float(other_norm):
        return Likeness(float(norm), float(other_norm), float(norm != other_norm), float(difference))
    turned = max(float(1 - product / (norm * other_norm)), 0.0) if math.isfinite(float(product)) else math.nan
    return Likeness(float(norm), float(other_norm), turned, float(difference / norm))


def plan_to_verify(plan: WindowPlan, *, most_utterances: int) -> tuple[WindowPlan, list[str]]:
    """The plan of the run, made small enough, and so that there is something to compare; with what was changed.

    The micro-batch shrinks until the window has at most `most_utterances` where that is possible. One process without
    accumulation would be compared with itself: its batch is split.
    """
    notes = []
    micro = max(1, min(plan.micro_batch_size, most_utterances // (plan.num_processes * plan.accumulation_steps)))
    if micro < plan.micro_batch_size:
        notes.append(f"micro-batch of {plan.micro_batch_size} made {micro}, to compare few utterances")
    accumulation = plan.accumulation_steps
    if plan.num_processes * accumulation == 1:
        accumulation = next((part for part in range(2, micro + 1) if micro % part == 0), 2)
        notes.append(f"one process without accumulation: its batch of {micro} is split by {accumulation}")
        micro = max(micro // accumulation, 1)
    return replace(plan, micro_batch_size=micro, accumulation_steps=accumulation), notes


def steps_to_verify(plan: WindowPlan, *, warmup_steps: int, last_step: int) -> list[int]:
    """The first step, the one that comes to the peak learning rate, and the last window of the last whole epoch.

    That window is a short one where the plan has any.
    """
    last_of_epoch = last_step - last_step % plan.steps_per_epoch or last_step
    return sorted({1, min(max(warmup_steps, 2), last_step), last_of_epoch})


def compare_training(
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    *,
    reference: nn.Module,
    reference_optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    items: TrainingItems,
    plan: WindowPlan,
    collator: Collator,
    steps: Sequence[int],
    learning_rate_of: Callable[[int], float],
) -> list[Check]:
    """Train both on the windows of `steps`. Every rank must call this.

    Args:
        model: As prepared by Accelerate; `reference` is a copy made before, with an optimizer of its own.

    Raises:
        NonFiniteError: loss or gradient of the launched side is not finite; on every rank.
    """
    allowed = TOLERANCES[accelerator.mixed_precision]
    weights = _trainable(accelerator.unwrap_model(model))
    reference_weights = _trainable(reference)
    start = [weight.detach().clone() for weight in reference_weights]
    alone_plan = replace(plan, num_processes=1, accumulation_steps=1, micro_batch_size=plan.window_size)
    updates: list[tuple[Likeness, list[float]]] = []  # gradient and learning rates that the optimizer was given

    def look(inner: torch.optim.Optimizer, *_: object) -> None:
        gradients = likeness((_gradient(w) for w in reference_weights), (_gradient(w) for w in weights))
        updates.append((gradients, [group["lr"] for group in inner.param_groups]))

    hook = optimizer.optimizer.register_step_pre_hook(look)
    losses: list[tuple[float, float]] = []
    gradients: list[Likeness] = []
    rates: list[list[float]] = []
    expected_ids: Counter[tuple[int, str]] = Counter()
    ids: list[tuple[int, str]] = []
    for step in steps:
        rate = learning_rate_of(step)
        [whole] = _window(items, alone_plan, step, rank=0, collator=collator)
        window = _window(items, plan, step, rank=accelerator.process_index, collator=collator)
        expected_ids.update((step, utterance_id) for utterance_id in whole.utterance_ids)
        ids += [(step, utterance_id) for batch in window for utterance_id in batch.utterance_ids]

        set_learning_rate(reference_optimizer, rate)
        reference_optimizer.zero_grad()
        loss = mean_token_loss(reference, whole.to(accelerator.device))
        loss.backward()
        set_learning_rate(optimizer, rate)
        updates.clear()
        result = _update(model, optimizer, window, accelerator=accelerator)
        reference_optimizer.step()
        losses.append((float(loss.detach()), result.loss))
        gradients.append(updates[-1][0])
        rates += [group_rates for _, group_rates in updates[-1:]]
    hook.remove()

    ids = gather_object(ids)
    odd_ids = (Counter(ids) - expected_ids) + (expected_ids - Counter(ids))
    worst_loss = max(losses, key=lambda pair: _relative(*pair))
    worst_norm = max(gradients, key=lambda pair: _relative(pair.norm, pair.other_norm))
    worst_turn = max(gradients, key=lambda pair: pair.turned)
    update = likeness(
        (weight - before for weight, before in zip(reference_weights, start, strict=True)),
        (weight - before for weight, before in zip(weights, start, strict=True)),
    )
    expected_rates = [learning_rate_of(step) for step in steps]
    rate_errors = [
        abs(rate - expected) for expected, group in zip(expected_rates, rates, strict=True) for rate in group
    ]
    shown_rates = [f"{group[0]:.3g}" for group in rates]
    return [
        Check("utterances trained on", str(expected_ids.total()), str(len(ids)), odd_ids.total(), 0),
        Check("loss", f"{worst_loss[0]:.6f}", f"{worst_loss[1]:.6f}", _relative(*worst_loss), allowed.loss),
        Check(
            "gradient norm",
            f"{worst_norm.norm:.6f}",
            f"{worst_norm.other_norm:.6f}",
            _relative(worst_norm.norm, worst_norm.other_norm),
            allowed.norm,
        ),
        Check("gradient cosine", "1", f"{1 - worst_turn.turned:.8f}", worst_turn.turned, allowed.direction),
        Check(
            f"change by {len(steps)} updates",
            f"{update.norm:.6g}",
            f"{update.other_norm:.6g}",
            update.difference,
            allowed.update,
        ),
        Check(
            "learning rates",
            " ".join(f"{rate:.3g}" for rate in expected_rates),
            " ".join(shown_rates),
            max(rate_errors),
            0,
        ),
    ]


def compare_evaluation(
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    utterances: Sequence[Utterance],
    *,
    accelerator: Accelerator,
    collator: Collator,
    normalizer: Normalizer,
    batch_size: int,
) -> list[Check]:
    """Transcribe `utterances` on this rank alone, then on all ranks together. Every rank must call this.

    Args:
        model: Unwrapped; the weights of this rank.

    Raises:
        AssertionError: an utterance is missing from the gathered table, or there twice; on every rank.
    """
    batches = evaluation_batches([utterance.duration_s for utterance in utterances], batch_size)
    share = transcribe_batches(model, processor, utterances, batches, accelerator=accelerator, collator=collator)
    alone = whole_table(utterances, share)
    score = corpus_score([score_utterance(transcript, normalizer) for transcript in alone.transcripts])
    together = evaluate_model(
        model,
        processor,
        utterances,
        accelerator=accelerator,
        collator=collator,
        normalizer=normalizer,
        batch_size=batch_size,
    )
    expected_ids = Counter(utterance.utterance_id for utterance in utterances)
    ids = Counter(row.transcript.utterance_id for row in together.scored)
    rows = zip(alone.transcripts, (row.transcript for row in together.scored), strict=True)
    different = sum(one != other for one, other in rows)
    wer, other_wer = score.wer, together.score.wer
    both_undefined = math.isnan(wer) and math.isnan(other_wer)
    loss = TOLERANCES["no"].loss  # the same batches in the same precision on both sides
    return [
        Check(
            "utterances scored",
            str(expected_ids.total()),
            str(ids.total()),
            ((ids - expected_ids) + (expected_ids - ids)).total(),
            0,
        ),
        Check("different transcripts", "0", str(different), different, 0),
        Check("WER", f"{wer:.6f}", f"{other_wer:.6f}", 0.0 if both_undefined else abs(other_wer - wer), 0),
        Check(
            "validation loss", f"{alone.loss:.6f}", f"{together.loss:.6f}", _relative(alone.loss, together.loss), loss
        ),
    ]


def worst_of_ranks(checks: list[Check]) -> list[Check]:
    """Each check as the rank sees it that is farthest off. A collective; every rank gets the same list."""
    return [max(ranks, key=_badness) for ranks in zip(*gather_object([checks]), strict=True)]


def mean_token_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The cross-entropy of a target token in nats, averaged by torch itself: no code of the trainer's."""
    logits = model(
        input_features=batch.input_features, decoder_input_ids=batch.decoder_input_ids, use_cache=False
    ).logits
    return F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED_LABEL)


def _update(
    model: nn.Module, optimizer: AcceleratedOptimizer, window: Sequence[Batch], *, accelerator: Accelerator
) -> StepResult:
    """One update of the trainer, without clipping; in fp16 again until the loss scale lets it through."""
    for _ in range(MOST_OVERFLOWS):
        result = train_step(model, optimizer, window, accelerator=accelerator, max_grad_norm=0.0)
        if math.isfinite(result.grad_norm) and not result.skipped:
            break
    return result


def _window(items: TrainingItems, plan: WindowPlan, step: int, *, rank: int, collator: Collator) -> list[Batch]:
    [window] = training_windows(
        items, plan, collator=collator, rank=rank, first_step=step, last_step=step, num_workers=0, pin_memory=False
    )
    return window


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _gradient(weight: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


def _relative(one: float, other: float) -> float:
    return abs(other - one) / abs(one) if one else abs(other)


def _badness(check: Check) -> tuple[bool, float]:
    return not check.passed, check.difference
