"""Chunked cross-entropy: projection and loss of the target tokens in chunks, never the full logits tensor.

Gradients are computed in the forward pass, as Liger Kernel's fused linear cross-entropy does: each chunk of logits is
computed once, serves the loss and both gradients, and its memory is reused. The backward pass only scales the stored
gradients, which are as large as the hidden states and the weight. Recomputing the logits in the backward pass needs as
much memory, since the weight's gradient appears at the same moment, and took 1.4 times as long. Liger itself needs
Triton, so a GPU.
"""

import math
from typing import Any

import torch
from torch.autograd.function import once_differentiable

# Numbers in a chunk of logits or of an intermediate result: 34 MB in fp32, 161 targets of Whisper's 51,865 tokens.
# Each chunk also passes over the weight's whole gradient: on a CPU chunks of 64 targets took 1.2 times as long as those
# of 128 and more.
CHUNK_NUMBERS = 2**23
# 1,293 targets, so a micro-batch of 32 sentences is one chunk: a product of few rows leaves most of a GPU idle, and
# each chunk is a dozen kernels to launch. 268 MB in fp32, and half of it in bf16.
CUDA_CHUNK_NUMBERS = 2**26


def summed_token_loss(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, *, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Summed cross-entropy in fp32 of the logits `hidden @ weight.T`, which are in autocast's precision.

    Args:
        hidden: (targets, width); of no targets the loss and the gradients are 0.
        weight: (vocabulary, width).
        labels: (targets,), token ids.
        label_smoothing: As torch's `cross_entropy` has it: this share of the target probability is spread evenly over
            the vocabulary.
    """
    in_training = torch.is_grad_enabled()
    wanted = in_training and hidden.requires_grad, in_training and weight.requires_grad
    return _SummedTokenLoss.apply(hidden, weight, labels, wanted, label_smoothing)


class _SummedTokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - `apply` takes no keywords
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        wanted: tuple[bool, bool],
        label_smoothing: float,
    ) -> torch.Tensor:
        loss, *gradients = _loss_and_gradients(hidden, weight, labels, wanted=wanted, label_smoothing=label_smoothing)
        ctx.save_for_backward(*gradients)
        ctx.dtypes = hidden.dtype, weight.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # in place: autograd refuses a second backward pass, as they have changed
        gradients = [
            gradient.mul_(loss_gradient).to(dtype) if gradient is not None else None
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return *gradients, None, None, None


def _loss_and_gradients(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    *,
    wanted: tuple[bool, bool],
    label_smoothing: float,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """(loss, its gradient by the hidden states, by the weight), in fp32; only the gradients that are wanted.

    What the loss will be multiplied by is not known yet, so the gradient of a logit is its probability, minus that of
    the target: 1 for the label, or what smoothing makes of it. bf16 holds these as well as scaled ones. fp16 would lose
    those below 6e-8, which a GradScaler prevents only for what was scaled before: so with fp16 the gradients are
    computed in fp32.
    """
    device_type = hidden.device.type
    dtype = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else hidden.dtype
    gradient_dtype = torch.float32 if dtype == torch.float16 else dtype
    targets, vocabulary = len(labels), len(weight)
    chunks = max(1, math.ceil(targets * vocabulary / chunk_numbers(device_type)))
    chunk = max(1, math.ceil(targets / chunks))  # of equal size, so that none is small
    loss = hidden.new_empty(targets, dtype=torch.float32)
    hidden_gradient = torch.empty_like(hidden, dtype=torch.float32) if wanted[0] else None
    weight_gradient = torch.zeros_like(weight, dtype=torch.float32) if wanted[1] else None
    logits_memory = hidden.new_empty((chunk, vocabulary), dtype=dtype)
    log_probabilities_memory = hidden.new_empty((chunk, vocabulary), dtype=torch.float32)
    with torch.autocast(device_type, enabled=False):
        projection = weight.to(dtype)
        gradient_projection = projection if gradient_dtype == dtype else weight.to(gradient_dtype)
        for first in range(0, targets, chunk):
            rows = slice(first, first + chunk)
            label = labels[rows, None]
            logits = torch.mm(hidden[rows].to(dtype), projection.T, out=logits_memory[: len(label)])
            log_probabilities = torch.log_softmax(logits, 1, torch.float32, out=log_probabilities_memory[: len(label)])
            loss[rows] = -log_probabilities.gather(1, label).squeeze(1)
            if label_smoothing:
                loss[rows] = (1 - label_smoothing) * loss[rows] - label_smoothing * log_probabilities.mean(1)
            if hidden_gradient is None and weight_gradient is None:
                continue
            logit_gradient = log_probabilities.exp_()
            if label_smoothing:
                logit_gradient.sub_(label_smoothing / vocabulary)
            label_gradient = logit_gradient.new_full((1, 1), label_smoothing - 1.0)
            logit_gradient.scatter_add_(1, label, label_gradient.expand(len(label), 1))
            if gradient_dtype != torch.float32:
                logit_gradient = logits.copy_(logit_gradient)
            if hidden_gradient is not None:
                hidden_gradient[rows] = logit_gradient @ gradient_projection
            if weight_gradient is not None:
                _add_product(weight_gradient, logit_gradient.T, hidden[rows].to(gradient_dtype))
    return loss.sum(), hidden_gradient, weight_gradient


def chunk_numbers(device_type: str) -> int:
    """How many numbers a chunk has there; on a CPU few, where it is as fast."""
    return CUDA_CHUNK_NUMBERS if device_type == "cuda" else CHUNK_NUMBERS


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """total += left @ right; `total`, (vocabulary, width), is in fp32."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
        return
    # in slices: in half precision the product takes memory, and a CPU needs more to add it to fp32; at once it took 1.4
    # times as long
    rows = max(1, chunk_numbers(total.device.type) // (2 * total.shape[1]))
    for part, left_part in zip(total.split(rows), left.split(rows), strict=True):
        part.add_(left_part @ right)
