"""The micro-batch of a run: as set, or with `training.batch_size: auto` the largest that fits the device."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from accelerate import Accelerator
from accelerate.utils import gather_object

from accel_asr.audio.log_mel import features_shape
from accel_asr.config.settings import Config
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.console.printing import counted
from accel_asr.data.selection.preparation import label_lengths
from accel_asr.errors import UserError
from accel_asr.model.frozen_weights import store_frozen_in_bf16
from accel_asr.model.pretrained import parameter_counts
from accel_asr.run.forecast import gigabytes
from accel_asr.run.job import Job
from accel_asr.run.prepared_model import optimizer_for_steps
from accel_asr.training.launch.global_batch import divisors, split_global_batch
from accel_asr.training.memory_probe import Fitting, MemoryProbe
from accel_asr.training.saving.checkpoint_state import Geometry

TIMESTAMPS_OF_LABEL = 2  # what timestamps may add to a label


def settle_batch(
    job: Job,
    config: Config,
    *,
    saved: Geometry | None,
    accelerator: Accelerator,
    say: Callable[[str], None],
) -> TrainingConfig:
    """`per_device_train_batch_size` and `gradient_accumulation_steps` as the run has them. A collective.

    With `batch_size: auto`, every rank makes steps on copies of the model, and all take what the smallest of them has
    memory for. The settings returned say what was found in place of `auto`, so that they repeat the run.

    Args:
        job: With a model that is on no device yet.
        saved: Of the checkpoint that the run resumes from: its micro-batch is kept where it fits, since only the same
            one gives the same result bit for bit.

    Raises:
        UserError: the global batch can't be split so, or not even one utterance fits.
    """
    training = config.training
    split = split_global_batch(training, accelerator.num_processes)
    if training.batch_size != "auto":
        return split
    share, processes = split.per_device_train_batch_size, accelerator.num_processes
    candidates, origin = divisors(share), ""
    if saved is not None and (saved.num_processes, saved.accumulation_steps * saved.micro_batch_size) == (
        processes,
        share,
    ):
        candidates = [size for size in candidates if size <= saved.micro_batch_size]
        origin = ", and the checkpoint has no more" if candidates[-1] < share else ""
    probe = probe_of_run(job, config, accelerator=accelerator)
    by_rank: list[Fitting] = gather_object([probe.largest(candidates)])
    tightest = min(by_rank, key=lambda fitting: fitting.micro_batch)
    worst = f"the longest label, {probe.label_positions} tokens, and the whole audio window"
    if not tightest.micro_batch:
        needs = gigabytes(tightest.needed) if tightest.needed else "more"
        raise UserError(
            f"not even one utterance fits: with {worst} a step needs {needs}, and "
            f"{gigabytes(tightest.limit)} may be used on {accelerator.device.type}",
            setting="--training.batch_size",
            value="auto",
            remedy="use a smaller model, or a device with more memory",
            same_on_every_rank=True,
        )
    micro, accumulation = tightest.micro_batch, share // tightest.micro_batch
    needs = f"needs {gigabytes(tightest.needed)} of" if tightest.needed else "fits into"
    say(
        f"training.batch_size: auto: {counted(processes, 'process', 'processes')} x {accumulation} x {micro} = "
        f"{micro * accumulation * processes}; a step of {micro} with {worst}, "
        f"{needs} {gigabytes(tightest.limit)}{origin}"
    )
    return replace(split, batch_size=None, per_device_train_batch_size=micro, gradient_accumulation_steps=accumulation)


def probe_of_run(job: Job, config: Config, *, accelerator: Accelerator) -> MemoryProbe:
    """A probe that makes the steps of a run."""
    model, training = job.model, config.training
    if config.model.frozen_dtype == "bfloat16":
        model = copy.deepcopy(model)
        store_frozen_in_bf16(model, keeps_originals=False)
    encoder, collator, train = job.train_items.encoder, job.train_collator, job.data.train
    longest = encoder.max_label_tokens
    has_known_labels = job.data.stream is None and job.data.packing is None
    if has_known_labels and not any(part.index.has_any("prompt") for part in train.parts):
        lengths = train.numbers(lambda part: label_lengths(part, encoder))
        longest = min(longest, int(lengths.max()) + TIMESTAMPS_OF_LABEL)
    trained = parameter_counts(job.model)[1]
    reserved = 4 * trained * (accelerator.num_processes > 1)  # the buckets in which gradients are summed
    averages = 4 * trained * (training.ema_decay is not None)
    reserved += averages
    if accelerator.device.type == "cpu":
        # `Snapshot` holds the optimizer's state and the average once more; its weights are the probe's copy
        reserved += 8 * trained + averages
    return MemoryProbe(
        model=model,
        build_optimizer=partial(optimizer_for_steps, training=training, learning_rate=1e-5),
        clip_shape=collator.encoded_shape or features_shape(collator.feature_extractor),
        is_encoded=collator.encoded_shape is not None,
        label_positions=longest,
        accelerator=accelerator,
        reserved_bytes=reserved,
    )
