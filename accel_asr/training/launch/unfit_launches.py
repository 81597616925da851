"""Launches that would train something else than the settings say, die later, or not start: refused at once."""

import os

import torch
from accelerate.utils import parse_flag_from_env

from accel_asr.console.printing import counted
from accel_asr.errors import UserError

DYNAMO_VARIABLE = "ACCELERATE_DYNAMO_BACKEND"


def refuse_unfit_engine(*, has_accelerator: bool) -> None:
    """Refuse engines that would not train what the settings say: DeepSpeed, torch dynamo, and FSDP on a CPU.

    Raises:
        UserError: the launcher asks for one of them.
    """
    if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        raise UserError(
            "the launcher asks for DeepSpeed, whose engine clips and updates within each backward pass: each "
            "micro-batch would be an update, with no check before it",
            setting="distributed_type",
            value="DEEPSPEED",
            remedy="launch with launch_configs/fsdp2.yaml, which shards weights, gradients and optimizer state",
            same_on_every_rank=True,
        )
    if parse_flag_from_env("ACCELERATE_USE_FSDP") and not has_accelerator:
        raise UserError(
            "the launcher asks for FSDP, which needs GPUs: on a CPU Accelerate would train with DDP and call it FSDP",
            setting="distributed_type",
            value="FSDP",
            remedy="launch with launch_configs/cpu_2_processes.yaml",
            same_on_every_rank=True,
        )
    backend = os.environ.get(DYNAMO_VARIABLE) or "no"
    if backend.lower() != "no":
        raise UserError(
            "the launcher asks for torch dynamo, which compiles the whole model: anew for each length of label, and "
            "the first evaluation fails",
            setting="dynamo_backend",
            value=backend.lower(),
            remedy="answer NO to dynamo in `accelerate config`, or launch with --dynamo_backend no; "
            "--training.compile encoder_layers compiles what gains by it",
            same_on_every_rank=True,
        )


def refuse_more_processes_than_devices() -> None:
    """Refuse a launch with more processes on this machine than accelerators. Not for runs on a CPU.

    Raises:
        UserError: names both numbers.
    """
    processes, devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.accelerator.device_count()
    if processes > max(devices, 1):
        raise UserError(
            f"the launcher started so many processes on this machine, and {counted(devices, 'GPU is', 'GPUs are')} "
            "visible: each process needs its own",
            setting="--num_processes",
            value=processes,
            remedy=f"launch with --num_processes {devices} for each machine, and more "
            "--training.gradient_accumulation_steps for the same global batch; or let CUDA_VISIBLE_DEVICES show more "
            "GPUs, or none, to train on the CPU",
            same_on_every_rank=os.environ.get("LOCAL_RANK", "0") != "0",  # said once a machine
        )
