"""From a loaded model to a model that Accelerate has prepared for training."""

from functools import partial

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import gather_object
from torch import nn

from accel_asr.config.settings import Config
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.console.bars import Bar
from accel_asr.data.loading.worker_count import num_workers_of_rank
from accel_asr.model.compiled_layers import compile_encoder_layers
from accel_asr.model.frozen_weights import store_frozen_in_bf16
from accel_asr.model.gradient_checkpointing import checkpoint_layers
from accel_asr.model.whisper_for_training import WhisperForTraining
from accel_asr.run.display import Display
from accel_asr.run.forecast import gigabytes
from accel_asr.run.job import Job
from accel_asr.training.encoder_filling import fill_encoder_cache
from accel_asr.training.optimizers import optimizer_of_run
from accel_asr.training.step import settle_gradient_buckets


def prepare_model(
    job: Job, config: Config, *, learning_rate: float, accelerator: Accelerator, display: Display
) -> tuple[nn.Module, AcceleratedOptimizer]:
    """The model on its device and the optimizer, both prepared. A collective.

    With `model.cache_encoder_outputs`, the encoder encodes the training clips now.

    Raises:
        UserError: an encoder output does not fit into its cache; or nothing is frozen that could be in bf16; or nothing
            can be compiled here.
    """
    training = config.training
    if config.model.frozen_dtype == "bfloat16":
        count = store_frozen_in_bf16(job.model, keeps_originals=accelerator.is_main_process)
        display.say(f"model.frozen_dtype: bfloat16: {count:,} frozen weights take {gigabytes(2 * count)} less")
    job.model.to(accelerator.device)
    _fill_encoder_cache(job, training, accelerator=accelerator, display=display)
    optimizer = optimizer_for_steps(job.model, training, learning_rate=learning_rate)
    # the schedule is not prepared: Accelerate would step it num_processes times
    model, optimizer = accelerator.prepare(job.model, optimizer)
    settle_gradient_buckets(model, job.train_collator([]), accelerator=accelerator)
    if training.compile == "encoder_layers":
        display.say("training.compile: encoder_layers: the first step of each kind of batch waits for the compiler")
        compile_encoder_layers(accelerator.unwrap_model(model), device=accelerator.device)
    return model, optimizer


def optimizer_for_steps(
    model: WhisperForTraining, training: TrainingConfig, *, learning_rate: float
) -> torch.optim.Optimizer:
    """The optimizer of a model that is on its device, and not wrapped; the model is changed as its steps need it."""
    checkpoint_layers(model, training.gradient_checkpointing)
    return optimizer_of_run(model, training, learning_rate=learning_rate)


def _fill_encoder_cache(job: Job, training: TrainingConfig, *, accelerator: Accelerator, display: Display) -> None:
    cache = job.train_items.encoder_cache
    if cache is None:
        return
    with display.filling_bar(len(job.data.train)) as bar:
        renewed = fill_encoder_cache(
            job.model,
            cache,
            job.data.train,
            feature_extractor=job.processor.feature_extractor,
            rank=accelerator.process_index,
            num_processes=accelerator.num_processes,
            num_workers=num_workers_of_rank(training.dataloader_num_workers, device=accelerator.device),
            on_progress=partial(_move_to, bar),
        )
    renewed = sum(gather_object([renewed]))
    if renewed:
        display.say(f"model.cache_encoder_outputs: {renewed:,} damaged clips of the cache have been computed again")


def _move_to(bar: Bar, done: int) -> None:
    bar.update(done - bar.n)
