"""The global batch: how many utterances one optimizer step takes, over all processes, and how that is split."""

from dataclasses import replace

from accel_asr.config.training_settings import TrainingConfig
from accel_asr.console.printing import counted
from accel_asr.errors import UserError


def split_global_batch(training: TrainingConfig, num_processes: int) -> TrainingConfig:
    """The same settings with `gradient_accumulation_steps` by `global_batch_size`, where that is set.

    With `batch_size: auto`, each process gets its whole share as one micro-batch, until memory has been looked at.

    Raises:
        UserError: it can't be divided so, or disagrees with `gradient_accumulation_steps`.
    """
    whole, micro, accumulation = (
        training.global_batch_size,
        training.per_device_train_batch_size,
        training.gradient_accumulation_steps,
    )
    is_auto = training.batch_size == "auto"
    if whole is None:
        if is_auto:
            return replace(training, per_device_train_batch_size=micro * accumulation, gradient_accumulation_steps=1)
        return training
    at_once = num_processes * (1 if is_auto else micro)
    processes = counted(num_processes, "process", "processes")
    if whole % at_once:
        below, above = whole // at_once * at_once, -(-whole // at_once) * at_once
        share, no_share = divmod(whole, num_processes)
        keep_it = ""
        if not no_share:  # then smaller micro-batches make the same update
            fitting = next(size for size in range(min(micro, share), 0, -1) if share % size == 0)
            keep_it = f"keep it with --training.per_device_train_batch_size {fitting}, or "
        by = processes if is_auto else f"{processes} x --training.per_device_train_batch_size {micro} = {at_once}"
        raise UserError(
            f"can't be divided by {by}",
            setting="--training.global_batch_size",
            value=whole,
            remedy=f"{keep_it}give {f'{below} or ' if below else ''}{above}",
            same_on_every_rank=True,
        )
    if is_auto:
        return replace(training, per_device_train_batch_size=whole // num_processes, gradient_accumulation_steps=1)
    if accumulation not in (1, whole // at_once):  # 1 is the default
        raise UserError(
            f"makes a global batch of {processes} x {accumulation} x {micro} = {at_once * accumulation}, and "
            f"--training.global_batch_size says {whole}",
            setting="--training.gradient_accumulation_steps",
            value=accumulation,
            remedy=f"leave it out: it follows, and is {whole // at_once} here",
            same_on_every_rank=True,
        )
    return replace(training, gradient_accumulation_steps=whole // at_once)


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [part for part in range(1, number + 1) if number % part == 0]
