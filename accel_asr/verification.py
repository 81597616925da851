"""One process with one batch against the launched topology: gradients, updates, learning rates, transcripts.

Every rank computes what one process would, redundantly and without waiting for the others, on a copy of the model that
Accelerate has never seen; then all train and evaluate together with the trainer's own code, and each rank compares.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
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
from accel_asr.progress import percent
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


# The reference is always fp32. Seen on the quickstart, in this order: 3e-7, 4e-7, 1e-12, 3e-5 in fp32, and 3e-3, 2e-3,
# 1e-4, 4e-2 in bf16, from rounding alone; a larger model rounds more often. fp16 was not run. Adam's first updates go
# by the sign of the gradient, so that weights whose gradient is nearly nothing may go either way.
TOLERANCES = {
    "no": Tolerances(loss=1e-5, norm=1e-4, direction=1e-5, update=1e-2),
    "fp16": Tolerances(loss=1e-2, norm=2e-2, direction=1e-2, update=0.5),
    "bf16": Tolerances(loss=2e-2, norm=5e-2, direction=1e-2, update=0.5),
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
        return self.difference <= self.allowed


@dataclass(frozen=True)
class Likeness:
    """Two lists of tensors as two vectors: their norms, 1 - cosine, and |other - one| / |one|; inf for what is nan."""

    norm: float
    other_norm: float
    turned: float
    difference: float


@dataclass(frozen=True)
class ComparedStep:
    """One window: its learning rate by the formula, both losses, the gradients, the rates of every group used."""

    learning_rate: float
    loss: float
    launched_loss: float
    gradients: Likeness
    launched_rates: list[float]


def likeness(ones: Iterable[torch.Tensor], others: Iterable[torch.Tensor]) -> Likeness:
    """Compare in fp64, tensor by tensor."""
    sums = [0.0, 0.0, 0.0, 0.0]
    for one, other in zip(ones, others, strict=True):
        a, b = one.detach().cpu().double(), other.detach().cpu().double()
        parts = ((a * a).sum(), (b * b).sum(), (a * b).sum(), (b - a).square().sum())
        sums = [total + float(part) for total, part in zip(sums, parts, strict=True)]
    norm, other_norm, difference = math.sqrt(sums[0]), math.sqrt(sums[1]), math.sqrt(sums[3])
    if norm and other_norm:
        turned = max(_inf_for_nan(1 - sums[2] / (norm * other_norm)), 0.0)
    else:
        turned = float(norm != other_norm)
    return Likeness(norm, other_norm, turned, _inf_for_nan(difference / norm if norm else difference))


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
    weights = _trainable(accelerator.unwrap_model(model))
    reference_weights = _trainable(reference)
    start = [weight.detach().clone() for weight in reference_weights]
    alone_plan = replace(plan, num_processes=1, accumulation_steps=1, micro_batch_size=plan.window_size)
    given: list[tuple[Likeness, list[float]]] = []  # (gradients, learning rates) of each update of one step

    def look(inner: torch.optim.Optimizer, *_: object) -> None:
        gradients = likeness(map(_gradient, reference_weights), map(_gradient, weights))
        if math.isfinite(gradients.other_norm):  # fp16: else an overflow, and no update
            given.append((gradients, [group["lr"] for group in inner.param_groups]))

    hook = optimizer.optimizer.register_step_pre_hook(look)
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
        loss = mean_token_loss(reference, whole.to(accelerator.device))
        loss.backward()
        given.clear()
        result = _update(model, optimizer, window, accelerator=accelerator)
        assert given, "train_step made no update"
        reference_optimizer.step()
        rates = [rate for _, group_rates in given for rate in group_rates]
        compared.append(ComparedStep(learning_rate, float(loss.detach()), result.loss, given[0][0], rates))
    hook.remove()
    changes = likeness(
        (weight - before for weight, before in zip(reference_weights, start, strict=True)),
        (weight - before for weight, before in zip(weights, start, strict=True)),
    )
    return [
        _same_ids("utterances trained", expected_ids, gather_object(ids)),
        *training_checks(
            compared,
            changes,
            groups=len(reference_optimizer.param_groups),
            allowed=TOLERANCES[accelerator.mixed_precision],
        ),
    ]


def training_checks(
    compared: Sequence[ComparedStep], changes: Likeness, *, groups: int, allowed: Tolerances
) -> list[Check]:
    """What one rank found: of losses and gradients those of the step that is farthest off.

    Args:
        changes: Of all weights, by all steps together.
        groups: Parameter groups of the optimizer; each has to use each step's learning rate once.
    """
    losses = max(compared, key=lambda step: _relative(step.loss, step.launched_loss))
    norms = max((step.gradients for step in compared), key=lambda pair: _relative(pair.norm, pair.other_norm))
    turned = max(step.gradients.turned for step in compared)
    rates_off = max(
        max(abs(rate - step.learning_rate) for rate in step.launched_rates)
        if len(step.launched_rates) == groups
        else math.inf
        for step in compared
    )
    return [
        Check(
            "loss",
            f"{losses.loss:.6f}",
            f"{losses.launched_loss:.6f}",
            _relative(losses.loss, losses.launched_loss),
            allowed.loss,
        ),
        Check(
            "gradient norm",
            f"{norms.norm:.6g}",
            f"{norms.other_norm:.6g}",
            _relative(norms.norm, norms.other_norm),
            allowed.norm,
        ),
        Check("gradient direction", "cosine 1", f"cosine {1 - turned:.8f}", turned, allowed.direction),
        Check(
            f"change by {len(compared)} updates",
            f"{changes.norm:.6g}",
            f"{changes.other_norm:.6g}",
            changes.difference,
            allowed.update,
        ),
        Check(
            "learning rates",
            " ".join(f"{step.learning_rate:.3g}" for step in compared),
            " ".join(f"{rate:.3g}" for step in compared for rate in step.launched_rates[::groups]),
            rates_off,
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
    transcripts = [row.transcript for row in together.scored]
    different = sum(one != other for one, other in zip(alone.transcripts, transcripts, strict=True))
    wer, other_wer = score.wer, together.score.wer
    both_undefined = math.isnan(wer) and math.isnan(other_wer)
    # the same batches in the same precision on both sides
    loss_allowed = TOLERANCES["no"].loss
    loss_off = _relative(alone.loss, together.loss)
    return [
        _same_ids("utterances scored", [u.utterance_id for u in utterances], [row.utterance_id for row in transcripts]),
        Check("transcripts that differ", "0", str(different), different, 0),
        Check("WER", percent(wer), percent(other_wer), 0.0 if both_undefined else abs(other_wer - wer), 0),
        Check("validation loss", f"{alone.loss:.6f}", f"{together.loss:.6f}", loss_off, loss_allowed),
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


def _same_ids(name: str, expected: Sequence[Hashable], found: Sequence[Hashable]) -> Check:
    """How many utterances are missing, too many, or there more often than they should be."""
    wanted, there = Counter(expected), Counter(found)
    return Check(name, str(len(expected)), str(len(found)), ((there - wanted) + (wanted - there)).total(), 0)


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
    return _inf_for_nan(abs(other - one) / abs(one) if one else abs(other))


def _inf_for_nan(value: float) -> float:
    """A difference that is not a number is the largest there is: `max` must find it."""
    return math.inf if math.isnan(value) else value


def _badness(check: Check) -> tuple[bool, float]:
    return not check.passed, check.difference
