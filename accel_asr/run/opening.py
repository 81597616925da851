"""What a run says before its first step: how much is to come, and what it needs."""

from accelerate import Accelerator
from torch import nn

from accel_asr.config.settings import CheckpointConfig
from accel_asr.model.adapter_layers import has_adapters
from accel_asr.model.frozen_weights import weight_bytes
from accel_asr.model.pretrained import parameter_counts
from accel_asr.run.alphas import FIRST_ALPHAS, MORE_ALPHAS
from accel_asr.run.display import Display
from accel_asr.run.forecast import RunForecast, opening_lines, warmup_note
from accel_asr.run.job import Job
from accel_asr.run.training_plan import RunPlan
from accel_asr.training.optimizers import state_bytes
from accel_asr.training.saving.checkpoint_state import Progress


def say_what_is_to_come(
    display: Display,
    plan: RunPlan,
    job: Job,
    progress: Progress,
    *,
    model: nn.Module,
    optim: str,
    window_sum: str,
    evaluates_first: bool,
    saving: CheckpointConfig,
    accelerator: Accelerator,
) -> None:
    """Say what is to come, and let the display foresee how long it takes.

    Args:
        window_sum: How the global batch comes about, as `Geometry.window_sum` words it.
        evaluates_first: A new run begins with the baseline.
        saving: Says what is scored at the end.
    """
    schedule, order = plan.schedule, plan.order
    at_the_end = (plan.training.ema_decay is not None) + (saving.average_last is not None)
    at_the_end += (len(FIRST_ALPHAS) + MORE_ALPHAS) * saving.interpolate
    forecast = RunForecast(
        first_step=progress.step + 1,
        last_step=plan.last_step,
        evaluation_steps=plan.cadence.evaluation_steps() + [plan.last_step] * at_the_end,
        device=accelerator.device,
    )
    display.forecast = forecast
    unwrapped = accelerator.unwrap_model(model)
    parameters, trainable = parameter_counts(unwrapped)
    lines = opening_lines(
        forecast,
        parameters=parameters,
        trainable=trainable,
        weight_bytes=weight_bytes(unwrapped),
        copied=trainable if has_adapters(unwrapped) else parameters,
        optimizer_bytes=state_bytes(model, optim),
        has_moving_average=plan.training.ema_decay is not None,
        epochs=order.epochs_at(plan.last_step),
        window_sum=window_sum,
        unit="seconds of audio" if order.batch_seconds else order.unit,
        validation_utterances=len(job.data.validation),
        evaluates_first=evaluates_first,
        is_main_process=accelerator.is_main_process,
    )
    precision = {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)
    for line in [*lines, f"device: {accelerator.device.type}, {precision}"]:
        display.say(line)
    note = warmup_note(warmup_steps=schedule.warmup_steps, last_step=plan.last_step, learning_rate=schedule.peak)
    if note is not None:
        display.say(note)
