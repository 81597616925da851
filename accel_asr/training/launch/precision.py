"""The precision of a run: what run and launcher agree on, and what its device can't compute in."""

import os

import torch

from accel_asr.errors import UserError

PRECISION_VARIABLE = "ACCELERATE_MIXED_PRECISION"
BF16_CAPABILITY = (8, 0)  # Ampere; torch.cuda.is_bf16_supported() is also true where bf16 is emulated, as on a T4


def agreed_precision(mixed_precision: str | None) -> str:
    """The run's choice or the launcher's; without a choice the launcher says `no`.

    Raises:
        UserError: they differ.
    """
    launched = os.environ.get(PRECISION_VARIABLE, "no")
    if mixed_precision is None:
        return launched
    if launched not in ("no", mixed_precision):
        raise UserError(
            f"the launcher says {launched}",
            setting="--training.mixed_precision",
            value=mixed_precision,
            remedy="remove this setting, or --mixed_precision of accelerate launch and its configuration file",
        )
    return mixed_precision


def refuse_unfit_precision(precision: str, *, has_accelerator: bool) -> None:
    """Refuse fp16 on a CPU, and bf16 on GPUs that emulate it.

    Raises:
        UserError: names the precision that this machine has.
    """
    if precision == "fp16" and not has_accelerator:
        raise UserError(
            "needs an accelerator: on a CPU Accelerate would train in fp32 and call it fp16",
            setting="--training.mixed_precision",
            value="fp16",
            remedy="use no",
        )
    if precision != "bf16" or not has_accelerator or not torch.cuda.is_available():
        return
    for index in range(int(os.environ.get("LOCAL_WORLD_SIZE", "1"))):  # all of this machine: ranks must agree on it
        capability = torch.cuda.get_device_capability(index)
        if capability < BF16_CAPABILITY:
            raise UserError(
                f"{torch.cuda.get_device_name(index)} (compute capability {'.'.join(map(str, capability))}) can only "
                "emulate bf16, which is slow; 8.0 (Ampere) and newer compute in it",
                setting="--training.mixed_precision",
                value="bf16",
                remedy="use fp16, here or as --mixed_precision of accelerate launch",
                same_on_every_rank=os.environ.get("LOCAL_RANK", "0") != "0",  # said once a machine
            )


def compute_fp32_in_full() -> None:
    """No TF32, which torch uses in cuDNN's convolutions unless told: its 10 bits hide what a comparison looks for."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def emulates_bf16_on_cpu() -> bool:
    """Whether the CPU lacks instructions for products of bf16 numbers; torch has no public way to ask."""
    return not any(getattr(torch.cpu, f"_is_{name}_supported", lambda: False)() for name in ("avx512_bf16", "amx_tile"))
