"""Vocabulary projection and cross-entropy of the target tokens, a piece at a time: all their logits are never there.

The gradients are made in the forward pass: each piece of logits is made once, serves the loss and both gradients, and
gives its memory to the next piece. The backward pass only multiplies them by the gradient of the loss, which they are
linear in. What is kept for it is as large as the hidden states and the weight. (The way of Liger Kernel's fused linear
cross-entropy.) To make the logits once more in the backward pass instead takes no less memory, as the gradient of the
weight comes into being at the same moment, and took 1.4 times as long.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from transformers import WhisperForConditionalGeneration

# Numbers in a piece of logits, or of another result on the way: 34 MB in fp32, 161 targets of Whisper's 51,865 tokens.
# Each piece also goes once over the whole gradient of the weight: on a CPU pieces of 64 targets took 1.2 times as long
# as those of 128 and more. For a GPU a product of some hundred rows is worth a start.
LOGITS_AT_ONCE = 2**23


@contextmanager
def token_loss_as_logits(
    model: WhisperForConditionalGeneration, *, positions: torch.Tensor, labels: torch.Tensor
) -> Iterator[None]:
    """Within it, `model(...).logits` is the summed loss of these positions, a number in fp32.

    It is made in the place of the projection, within the forward pass of what wraps the model: there weights that are
    sharded are whole, and autocast is on, and a gradient goes the way of any other.

    Args:
        model: Unwrapped; it is called through whatever wraps it.
        positions: (targets,), indices into the flattened (batch x tokens) positions of the decoder. On the model's
            device, as are the labels.
        labels: (targets,), the token that each of them is to say.
    """
    projection = model.proj_out
    assert projection.bias is None

    def loss_instead(hidden: torch.Tensor) -> torch.Tensor:
        return summed_token_loss(hidden.flatten(0, 1)[positions], projection.weight, labels)

    projection.forward = loss_instead
    try:
        yield
    finally:
        del projection.forward


def summed_token_loss(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the cross-entropies, in fp32, of `hidden @ weight.T`; the product is made in autocast's precision.

    Args:
        hidden: (targets, width). None is fine: the loss is 0 then, and so are the gradients.
        weight: (vocabulary, width).
        labels: (targets,), each a token of the vocabulary.
    """
    in_training = torch.is_grad_enabled()
    wanted = in_training and hidden.requires_grad, in_training and weight.requires_grad
    return _SummedTokenLoss.apply(hidden, weight, labels, wanted)


class _SummedTokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        wanted: tuple[bool, bool],
    ) -> torch.Tensor:
        loss, *gradients = _loss_and_gradients(hidden, weight, labels, wanted=wanted)
        ctx.save_for_backward(*gradients)
        ctx.dtypes = hidden.dtype, weight.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_loss: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # in place: the graph is gone through once, and autograd refuses a second time as they were changed
        gradients = [
            gradient.mul_(of_loss).to(dtype) if gradient is not None else None
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return *gradients, None, None


def _loss_and_gradients(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, *, wanted: tuple[bool, bool]
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """(loss, its gradient by the hidden states, by the weight), all in fp32; the gradients that are wanted.

    What the loss will be multiplied by is not known yet: the gradient of a logit is a probability here, minus 1 for the
    label. bf16 holds those as well as it holds scaled ones. fp16 would lose those below 6e-8, which a GradScaler
    prevents only for what is scaled before: with it the products that make the gradients are in fp32.
    """
    device_type = hidden.device.type
    dtype = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else hidden.dtype
    gradient_dtype = torch.float32 if dtype == torch.float16 else dtype
    targets, vocabulary = len(labels), len(weight)
    pieces = max(1, math.ceil(targets * vocabulary / LOGITS_AT_ONCE))
    piece = max(1, math.ceil(targets / pieces))  # of one size, so that none is small
    loss = hidden.new_empty(targets, dtype=torch.float32)
    of_hidden = torch.empty_like(hidden, dtype=torch.float32) if wanted[0] else None
    of_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted[1] else None
    logits_memory = hidden.new_empty((piece, vocabulary), dtype=dtype)
    log_probabilities_memory = hidden.new_empty((piece, vocabulary), dtype=torch.float32)
    with torch.autocast(device_type, enabled=False):
        projection = weight.to(dtype)
        gradient_projection = projection if gradient_dtype == dtype else weight.to(gradient_dtype)
        for first in range(0, targets, piece):
            rows = slice(first, first + piece)
            label = labels[rows, None]
            logits = torch.mm(hidden[rows].to(dtype), projection.T, out=logits_memory[: len(label)])
            log_probabilities = torch.log_softmax(logits, 1, torch.float32, out=log_probabilities_memory[: len(label)])
            loss[rows] = -log_probabilities.gather(1, label).squeeze(1)
            if of_hidden is None and of_weight is None:
                continue
            of_logits = log_probabilities.exp_()
            of_logits.scatter_add_(1, label, of_logits.new_full((1, 1), -1.0).expand(len(label), 1))
            if gradient_dtype != torch.float32:
                of_logits = logits.copy_(of_logits)
            if of_hidden is not None:
                of_hidden[rows] = of_logits @ gradient_projection
            if of_weight is not None:
                _add_product(of_weight, of_logits.T, hidden[rows].to(gradient_dtype))
    return loss.sum(), of_hidden, of_weight


def _add_product(total: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> None:
    """total += one @ other; `total`, (vocabulary, width), is in fp32."""
    if one.dtype == total.dtype:
        total.addmm_(one, other)
        return
    # some rows at a time: in half precision the product takes memory, and a CPU once more to add it to fp32. All rows
    # at once took 1.4 times as long
    rows = max(1, LOGITS_AT_ONCE // (2 * total.shape[1]))
    for part, one_part in zip(total.split(rows), one.split(rows), strict=True):
        part.add_(one_part @ other)
