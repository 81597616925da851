"""What a run does in which step, before anything is trained: the order, the learning rate, and what is due when."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from accelerate import Accelerator
from transformers import WhisperForConditionalGeneration

from accel_asr.config.settings import Config
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.data.order.packing import PackPlan
from accel_asr.data.order.plan_protocol import Plan
from accel_asr.data.order.stream_plan import StreamPlan
from accel_asr.data.run_data import RunData
from accel_asr.model.adapter_layers import has_adapters
from accel_asr.model.pretrained import parameter_counts
from accel_asr.run.display import Display
from accel_asr.run.job import Job
from accel_asr.run.micro_batch import settle_batch
from accel_asr.training.early_stopping import EarlyStopping
from accel_asr.training.launch.global_batch import split_global_batch
from accel_asr.training.saving.checkpoints import newest_geometry
from accel_asr.training.schedule import Schedule
from accel_asr.training.size_rates import rate_in_words, suited_adapter_rate, suited_rate


@dataclass(frozen=True)
class Cadence:
    """After which steps a run evaluates and saves.

    Args:
        eval_steps: Every so many; None is at the end of each epoch. The last step is always evaluated.
        save_steps: Every so many; None is after each evaluation. The last step is always saved.
    """

    plan: Plan
    last_step: int
    eval_steps: int | None
    save_steps: int | None

    def evaluates_after(self, step: int) -> bool:
        """Whether an evaluation is due after `step`."""
        if step == self.last_step:
            return True
        return step % self.eval_steps == 0 if self.eval_steps else self.plan.ends_epoch(step)

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due after `step`, and after its evaluation."""
        if step == self.last_step:
            return True
        return self.evaluates_after(step) if self.save_steps is None else step % self.save_steps == 0

    def evaluation_steps(self) -> list[int]:
        """All steps that an evaluation is due after, in order."""
        every = self.eval_steps
        steps = self.plan.epoch_ends(self.last_step) if every is None else range(every, self.last_step, every)
        return [*steps, self.last_step]


@dataclass(frozen=True)
class RunPlan:
    """Everything about a run's steps that is known before the first.

    training: the settings with what was unset or found out filled in: batches and learning rate.
    """

    order: Plan
    last_step: int
    schedule: Schedule
    cadence: Cadence
    early_stopping: EarlyStopping
    training: TrainingConfig


def plan_run(job: Job, config: Config, *, accelerator: Accelerator, display: Display) -> RunPlan:
    """The plan of a run whose model is loaded, and neither sharded nor on its device yet. A collective.

    Raises:
        UserError: the global batch is larger than the data, can't be split as set, or does not fit into memory; or as
            `plan_schedule` raises.
    """
    resumes_from = newest_geometry(Path(str(config.output_dir))) if config.checkpoint.resume else None
    if config.training.batch_size == "auto":  # a global batch that is larger than the data is refused before the probe
        whole_shares = split_global_batch(config.training, accelerator.num_processes)
        plan_training(whole_shares, job.data, num_processes=accelerator.num_processes)
    training = settle_batch(job, config, saved=resumes_from, accelerator=accelerator, say=display.say)
    order, last_step = plan_training(training, job.data, num_processes=accelerator.num_processes)
    schedule = plan_schedule(training, job.model, last_step=last_step, say=display.say)
    return RunPlan(
        order,
        last_step,
        schedule,
        Cadence(order, last_step, config.evaluation.eval_steps, config.checkpoint.save_steps),
        EarlyStopping(training.early_stopping_patience, training.early_stopping_threshold, last_step),
        replace(training, learning_rate=schedule.peak),
    )


def plan_training(training: TrainingConfig, data: RunData, *, num_processes: int) -> tuple[Plan, int]:
    """The order of training, and the last optimizer step.

    Raises:
        UserError: the global batch is larger than the data.
    """
    if data.stream is None:
        return plan_windows(training, data, num_processes=num_processes)
    assert training.max_steps is not None  # check_config saw to it
    plan = StreamPlan(
        micro_batch_size=training.per_device_train_batch_size,
        accumulation_steps=training.gradient_accumulation_steps,
        num_processes=num_processes,
        seed=training.seed,
        block_rows=data.stream.block_rows,
    )
    return plan, training.max_steps


def plan_windows(training: TrainingConfig, data: RunData, *, num_processes: int) -> tuple[WindowPlan, int]:
    """As `plan_training`, of data that is not streamed."""
    by_length = training.group_by_length or training.batch_seconds is not None
    make: Callable[..., WindowPlan] = WindowPlan
    if data.packing is not None:
        make = partial(PackPlan, packing=data.packing)
    plan = make(
        num_rows=sum(data.rows_of_parts()),
        micro_batch_size=training.per_device_train_batch_size,
        accumulation_steps=training.gradient_accumulation_steps,
        num_processes=num_processes,
        seed=training.seed,
        drop_last=training.dataloader_drop_last,
        part_sizes=data.rows_of_parts(),
        weights=data.weights or (),
        durations_s=data.durations_s() if by_length else None,
        group_by_length=training.group_by_length,
        batch_seconds=training.batch_seconds,
    )
    return plan, training.max_steps or plan.last_step(training.num_train_epochs)


def plan_schedule(
    training: TrainingConfig,
    model: WhisperForConditionalGeneration,
    *,
    last_step: int,
    say: Callable[[str], None],
) -> Schedule:
    """The schedule as set; its peak, if unset, suits the model's size. Says so where that is worth a line.

    Args:
        model: Before it is sharded, so that every rank counts the same parameters.

    Raises:
        UserError: the schedule's arguments do not fit the run's length or its peak.
    """
    size = model.config
    if has_adapters(model):
        suited = suited_adapter_rate(d_model=size.d_model)
    else:
        suited = suited_rate(
            d_model=size.d_model,
            encoder_layers=size.encoder_layers,
            decoder_layers=size.decoder_layers,
            num_mel_bins=size.num_mel_bins,
            parameters=parameter_counts(model)[0],
            name=str(size._name_or_path),
        )
    schedule = Schedule.of_settings(
        learning_rate=suited.learning_rate if training.learning_rate is None else training.learning_rate,
        warmup_steps=training.warmup_steps,
        last_step=last_step,
        lr_scheduler_type=training.lr_scheduler_type,
        lr_scheduler_kwargs=training.lr_scheduler_kwargs,
    )
    words = rate_in_words(
        training.learning_rate,
        suited,
        scheduler_type=training.lr_scheduler_type,
        warmup=f"{schedule.warmup_steps:,} of {last_step:,} steps",
    )
    if words is not None:
        say(words)
    return schedule
