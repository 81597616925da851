"""Start Accelerate as the launcher meant it, and refuse what would silently train something else."""

import gc
import os
import socket
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, parse_flag_from_env, set_seed

from accel_asr.config.training_settings import TrainingConfig
from accel_asr.console.printing import say
from accel_asr.errors import UserError
from accel_asr.training.launch.global_batch import split_global_batch
from accel_asr.training.launch.precision import agreed_precision, emulates_bf16_on_cpu, refuse_unfit_precision
from accel_asr.training.launch.sharding import is_sharded, require_shardable_optimizer, settle_sharding
from accel_asr.training.launch.unfit_launches import refuse_more_processes_than_devices, refuse_unfit_engine

ACCUMULATION_VARIABLE = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"


def accelerator_of_run(training: TrainingConfig, *, frozen_dtype: str) -> Accelerator:
    """As `start_accelerator`, with the settings of a run.

    Raises:
        UserError: also if these processes can't share the global batch as set, the optimizer can't be sharded, or
            frozen weights can't be in bf16.
    """
    accelerator = start_accelerator(
        mixed_precision=training.mixed_precision,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        seed=training.seed,
        timeout_s=training.ddp_timeout,
    )
    split_global_batch(training, accelerator.num_processes)
    if training.batch_size == "auto" and is_sharded(accelerator):
        raise UserError(
            "can't be found out for sharded weights, which no rank has whole",
            setting="--training.batch_size",
            value="auto",
            remedy="set --training.per_device_train_batch_size and --training.global_batch_size",
            same_on_every_rank=True,
        )
    require_shardable_optimizer(accelerator, training.optim)
    _check_frozen_dtype(accelerator, frozen_dtype)
    return accelerator


def start_accelerator(
    *,
    mixed_precision: str | None,
    gradient_accumulation_steps: int,
    seed: int,
    timeout_s: int = 1800,
) -> Accelerator:
    """The `Accelerator` of this process, its random number generators seeded.

    Args:
        timeout_s: After so many seconds in a collective that another rank does not join, a rank gives up.

    Raises:
        UserError: launcher and run disagree, the processes do not see each other or outnumber the GPUs, the device
            can't compute in the precision, or DeepSpeed, dynamo, or FSDP on a CPU is asked for.
    """
    precision = agreed_precision(mixed_precision)
    _check_accumulation(gradient_accumulation_steps)
    has_accelerator = torch.accelerator.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
    refuse_unfit_engine(has_accelerator=has_accelerator)
    if has_accelerator:
        refuse_more_processes_than_devices()
    refuse_unfit_precision(precision, has_accelerator=has_accelerator)
    _talk_over_loopback()
    # on Hopper its gradients may be NaN where there is a mask and 64 keys are left over of 128 (pytorch issue 196678)
    torch.backends.cuda.enable_cudnn_sdp(False)
    # without cpu=True, ranks on a machine without an accelerator each believe they are alone
    accelerator = Accelerator(
        cpu=not has_accelerator,
        mixed_precision=precision,
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(seconds=timeout_s), **_backend(has_accelerator=has_accelerator)),
            # gradients lie in the buckets that are sent, not beside them: their size less, and the same numbers
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
        ],
    )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise UserError(
            f"the launcher started {launched} processes, but each sees {accelerator.num_processes}: all would train "
            "alone and write the same folder",
            setting="WORLD_SIZE",
            value=launched,
            remedy="launch with --multi_gpu --num_processes N, or with one of launch_configs/",
        )
    if precision == "bf16" and not has_accelerator and accelerator.is_main_process and emulates_bf16_on_cpu():
        say(
            "note: training.mixed_precision: bf16 is slower than fp32 (4 to 12 times, when it was measured) on a CPU "
            "like this one, without AVX512-BF16 and AMX; use no",
            to_stderr=True,
        )
    settle_sharding(accelerator)
    set_seed(seed)
    return accelerator


def shut_down(accelerator: Accelerator) -> None:
    """Close the trackers and leave the process group; call once nothing refers to the prepared model any more.

    DDP's reducer must be gone before the group is destroyed. As the last owner of a gloo group it would join the
    group's threads while holding Python's lock, for which one of those threads may be waiting: then a rank that
    has finished its work never ends (seen with three ranks and torch 2.13).
    """
    accelerator.free_memory()
    gc.collect()
    accelerator.end_training()


def _backend(*, has_accelerator: bool) -> dict[str, str]:
    """For ranks on GPUs: NCCL, and gloo for what their hosts tell each other, so that they need not wait for the GPUs.

    Elsewhere, and for one process, as Accelerate chooses.
    """
    has_several_gpus = has_accelerator and torch.cuda.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    return {"backend": "cuda:nccl,cpu:gloo"} if has_several_gpus else {}


def _talk_over_loopback() -> None:
    """Let ranks that all run on this machine talk by gloo over loopback, unless the user named an interface.

    gloo would take the one that the machine's host name resolves to, which a container's firewall may not let through.
    """
    if os.environ.get("LOCAL_WORLD_SIZE", "1") == os.environ.get("WORLD_SIZE", "1"):
        loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
        if loopback:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])


def _check_frozen_dtype(accelerator: Accelerator, frozen_dtype: str) -> None:
    if frozen_dtype == "float32" or (accelerator.mixed_precision == "bf16" and not is_sharded(accelerator)):
        return
    problem, remedy = "needs a training in bf16", "add --training.mixed_precision bf16"
    if is_sharded(accelerator):
        problem, remedy = "does not go with FSDP, which shards weights of one precision", "launch with DDP"
    raise UserError(
        problem,
        setting="--model.frozen_dtype",
        value=frozen_dtype,
        remedy=f"{remedy}, or leave it out",
        same_on_every_rank=True,
    )


def _check_accumulation(gradient_accumulation_steps: int) -> None:
    launched = int(os.environ.pop(ACCUMULATION_VARIABLE, "1"))  # Accelerate would divide the loss by it once more
    if launched not in (1, gradient_accumulation_steps):
        raise UserError(
            f"the launcher says {launched}",
            setting="--training.gradient_accumulation_steps",
            value=gradient_accumulation_steps,
            remedy="remove it from the launcher's configuration; the run owns it",
        )
