"""Compiled encoder layers: torch compiles each layer by itself, for training steps.

All layers share one compiled function, which stands in the place of `forward`: names of weights and hooks (FSDP's too)
stay as they are, gradient checkpointing goes around it, and evaluations run the layers as they are. What differs from
batch to batch (rows, and the length where padding is merged) is dynamic from the first call on: few graphs serve all
batches, and which one a batch gets does not depend on those before it, or a resumed run would round otherwise than the
unbroken one.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import MethodType
from typing import Any

import torch
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

from accel_asr.console.printing import say
from accel_asr.console.public_text import shortened
from accel_asr.errors import UserError
from accel_asr.model.whisper_for_training import WhisperForTraining

SETTING = "--training.compile"
# of one row or more, with a mask or none, in a layer that is trained, frozen, or the first that is trained: 12
MOST_GRAPHS = 16


def compile_encoder_layers(
    model: WhisperForTraining, *, device: torch.device, backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Have the encoder's layers compiled at their next training step. Call when the model is wrapped.

    Args:
        model: Without its wrapper.

    Raises:
        UserError: nothing can be compiled here, such as without a C++ compiler.
    """
    torch.compiler.reset()  # the graphs of an earlier model of this process count too
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_GRAPHS)
    with compiler_errors_explained():
        torch.compile(_anything, backend=backend)(torch.ones(8, device=device))
    layers = CompiledLayers(model, backend)
    for layer in model.get_encoder().layers:
        layer.forward = MethodType(layers, layer)  # a deep copy of the layer has it bound to itself


class CompiledLayers:
    """The one function that is compiled for all encoder layers of a model."""

    def __init__(self, model: WhisperForTraining, backend: str | Callable[..., Any]) -> None:
        # Inductor's kernels are otherwise chosen by their times, so that another process might round otherwise
        options: dict[str, Any] | None = {"deterministic": True} if backend == "inductor" else None
        # unwrapped of transformers' gradient checkpointing. fullgraph: raise where torch would go on uncompiled
        uncompiled = inspect.unwrap(WhisperEncoderLayer.forward)
        self._compiled = torch.compile(uncompiled, backend=backend, options=options, fullgraph=True)
        self._seeds = model.dropout_seeds
        self._has_given_up = False

    def __call__(
        self,
        layer: WhisperEncoderLayer,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """The layer's forward pass.

        Args:
            hidden_states: (batch, positions, width).
            attention_mask: Added to the scores, (batch, 1, 1, positions).
            options: Transformers' for other outputs of the attention, which training has no use for.
        """
        if not layer.training or self._has_given_up:
            outputs: torch.Tensor = type(layer).forward(layer, hidden_states, attention_mask, **options)
            return outputs
        run = partial(self._run, layer)
        if layer.gradient_checkpointing:
            run = partial(layer._gradient_checkpointing_func, run)
        return run(hidden_states, attention_mask)

    def _run(self, layer: WhisperEncoderLayer, hidden_states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        torch._dynamo.maybe_mark_dynamic(hidden_states, 0)
        if mask is None:
            torch._dynamo.mark_static(hidden_states, 1)
        else:  # padding is merged: each batch has its own length
            torch._dynamo.maybe_mark_dynamic(hidden_states, 1)
            torch._dynamo.maybe_mark_dynamic(mask, (0, 3))
        if self._seeds is not None and self._seeds.of_batch is not None:
            torch._dynamo.maybe_mark_dynamic(self._seeds.of_batch, 0)
        try:
            with compiler_errors_explained():
                outputs: torch.Tensor = self._compiled(layer, hidden_states, mask)
            return outputs
        except torch._dynamo.exc.FailOnRecompileLimitHit:
            self._has_given_up = True
            say(
                f"note: training.compile: {torch._dynamo.config.recompile_limit} graphs are not enough for the batches "
                "of this run, so the encoder goes on uncompiled: slower, and rounded as without",
                to_stderr=True,
            )
            outputs = inspect.unwrap(WhisperEncoderLayer.forward)(layer, hidden_states, mask)
            return outputs


@contextmanager
def compiler_errors_explained() -> Iterator[None]:
    """Around a call of what torch compiles.

    Raises:
        UserError: it can't be compiled.
    """
    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        cause = getattr(error, "inner_exception", error)
        reason = " ".join(str(cause).split())
        raise UserError(
            f"torch can't compile the encoder's layers here ({shortened(reason, 300)})",
            setting=SETTING,
            value="encoder_layers",
            remedy="leave it out, or install a C++ compiler such as g++ if that is what is missing",
            same_on_every_rank=True,
        ) from error


def _anything(numbers: torch.Tensor) -> torch.Tensor:
    """Something to compile."""
    return numbers.sin() + 1
