"""Frozen weights in bf16: half their memory, and not one bit of a training in bf16 changes.

Autocast rounds the weights and biases of linear layers and convolutions to bf16 each time that it uses them. If they
are not trained, they may as well be stored so. Everything that it uses in fp32 stays in fp32: trained weights,
embeddings, layer norms. What is saved is the original, which the main process keeps on the CPU.
"""

import torch
from torch import nn

from accel_asr.errors import UserError

_ROUNDED_BY_AUTOCAST = (nn.Linear, nn.Conv1d)
_ORIGINALS = "accel_asr_originals"


def store_frozen_in_bf16(model: nn.Module, *, keeps_originals: bool) -> int:
    """Store the weights in bf16 that are frozen, and that autocast would round; returns how many numbers that are.

    Call before the model is wrapped, with its weights frozen and its adapters in place.

    Args:
        keeps_originals: For `originals`; costs no memory where the model is on a CPU.

    Raises:
        UserError: there are none.
    """
    looked_up = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Embedding)}
    kept: dict[str, torch.Tensor] = {}
    count = 0
    for name, layer in model.named_modules():
        if not isinstance(layer, _ROUNDED_BY_AUTOCAST):
            continue
        for key, parameter in layer.named_parameters(recurse=False):
            if not parameter.requires_grad and id(parameter) not in looked_up:
                if keeps_originals:
                    kept[f"{name}.{key}"] = parameter.detach().cpu()
                parameter.data = parameter.data.bfloat16()
                count += parameter.numel()
    if not count:
        raise UserError(
            "no linear layer and no convolution is frozen",
            setting="--model.frozen_dtype",
            value="bfloat16",
            remedy="freeze some, such as --model.freeze [encoder], or leave it out",
            same_on_every_rank=True,
        )
    vars(model)[_ORIGINALS] = kept
    return count


def originals(model: nn.Module) -> dict[str, torch.Tensor]:
    """Name -> what a weight was in fp32, on the CPU, of all that `store_frozen_in_bf16` rounded; else empty."""
    kept: dict[str, torch.Tensor] = vars(model).get(_ORIGINALS, {})
    return kept


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all weights as they are stored."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
