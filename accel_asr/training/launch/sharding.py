"""FSDP2: weights, gradients and optimizer state sharded over the ranks, and gathered where whole tensors are needed.

Evaluations, model folders and checkpoints all work on whole tensors. So a sharded run transcribes as any other does,
each rank its own batches at its own pace, and its checkpoints are those of an unsharded run, by name and content.
"""

from collections.abc import Iterator, Mapping

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import WhisperForConditionalGeneration

from accel_asr.errors import UserError
from accel_asr.model.adapter_layers import without_weights

SHARDABLE_OPTIMIZERS = ("adamw_torch_fused",)


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether the launcher asked for FSDP, and Accelerate does it."""
    return accelerator.distributed_type == DistributedType.FSDP


def settle_sharding(accelerator: Accelerator) -> None:
    """Refuse the settings of FSDP that are not proven here, and have gradients summed in fp32 as DDP does.

    Raises:
        UserError: the launcher's `fsdp_config` is another than that of launch_configs/fsdp2.yaml in what counts.
    """
    if not is_sharded(accelerator):
        return
    plugin = accelerator.state.fsdp_plugin
    asked = {
        "fsdp_version: 2": plugin.fsdp_version == 2,
        "fsdp_offload_params: false": not isinstance(plugin.cpu_offload, CPUOffloadPolicy),
        "fsdp_cpu_ram_efficient_loading: false": not plugin.cpu_ram_efficient_loading,
        "fsdp_activation_checkpointing: false": not plugin.activation_checkpointing,
        "mixed_precision: bf16, or no": accelerator.mixed_precision in ("bf16", "no"),
    }
    missing = [setting for setting, stands in asked.items() if not stands]
    if missing:
        raise UserError(
            "the launcher's configuration asks for an FSDP set-up that this trainer does not support",
            setting="fsdp_config",
            remedy=f"set {'; '.join(missing)}, as in launch_configs/fsdp2.yaml",
            same_on_every_rank=True,
        )
    if accelerator.mixed_precision == "bf16":  # Accelerate's own choice also sums gradients in bf16
        plugin.mixed_precision_policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


def require_shardable_optimizer(accelerator: Accelerator, optim: str) -> None:
    """Refuse an optimizer whose state or update does not come in shards.

    Raises:
        UserError: the launcher asked for FSDP.
    """
    if is_sharded(accelerator) and optim not in SHARDABLE_OPTIMIZERS:
        raise UserError(
            "works on whole weights, and FSDP shards them",
            setting="--training.optim",
            value=optim,
            remedy=f"use {' or '.join(SHARDABLE_OPTIMIZERS)}, or launch without FSDP (launch_configs/)",
            same_on_every_rank=True,
        )


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, or put together where it is sharded. A collective."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_tensors(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor), each put together as its turn comes if it is sharded: every rank must go through all of them."""
    for name, tensor in tensors.items():
        yield name, whole_tensor(tensor)


def whole_model(accelerator: Accelerator, model: nn.Module) -> WhisperForConditionalGeneration:
    """The model without its wrapper; of a sharded one an ordinary copy with whole weights. A collective.

    The copy takes the memory of the fp32 weights for as long as it is used. `generate` on the sharded model would
    gather all weights anew for each token, and hang where the ranks have different numbers of batches.
    """
    unwrapped = accelerator.unwrap_model(model)
    if not is_sharded(accelerator):
        return unwrapped
    whole = without_weights(unwrapped).to_empty(device=accelerator.device)
    whole.tie_weights()
    sharded = unwrapped.state_dict()
    with torch.no_grad():
        for name, tensor in whole.named_parameters():
            tensor.copy_(whole_tensor(sharded[name]))
    return whole.train(unwrapped.training)


def sharded_like(like: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """`whole`, sharded if `like` is. No collective: every rank holds all of `whole` and takes its part."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
