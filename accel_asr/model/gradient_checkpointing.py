"""Gradient checkpointing: a layer keeps its input only, and the backward pass computes the rest once more.

Gradients are the same bit for bit: the second pass draws what the first one drew. It takes place in training mode only,
so that generation and evaluation keep their key/value cache.
"""

from collections.abc import Iterable
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import WhisperForConditionalGeneration


def checkpoint_layers(model: WhisperForConditionalGeneration, which: str) -> list[nn.Module]:
    """Have the layers of `which` checkpointed, one by one, and return them.

    Call before the model is wrapped. It sets what transformers' `gradient_checkpointing_enable` sets, but of one half
    of the model, and without the warning about that name, which transformers 6 will not have.

    Args:
        which: `none`, `encoder`, `decoder` or `both`.
    """
    halves = {"encoder": model.get_encoder(), "decoder": model.get_decoder()}
    layers = [layer for name, half in halves.items() if which in (name, "both") for layer in half.layers]
    for layer in layers:
        # not reentrant: that needs inputs with gradients, which a frozen encoder does not hand on, and breaks DDP
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        layer.gradient_checkpointing = True
    return layers


def train_without_chance(layers: Iterable[nn.Module]) -> None:
    """Have layers of a model in evaluation mode do what they do in training, but draw nothing at random."""
    for layer in layers:
        layer.training = True  # itself, without its parts
        for name in ("dropout", "activation_dropout"):
            setattr(layer, name, 0.0)
