"""Whisper as it is trained: one subclass, which adds three things to the forward pass and nothing to the weights.

1. Given target positions and labels, the forward pass returns the summed loss of these tokens in place of logits. The
   loss must come out of `forward`, since that is what DDP, FSDP2 and autocast wrap: only there are sharded weights
   whole, is autocast on, and do gradients get synchronised.
2. Given the positions to keep, it merges the padding (`audio_context: merged`).
3. Adapters are told the seeds of the rows, for their dropout (`row_dropout`).

Without targets and with whole windows it is transformers' model: `generate` and evaluation see no difference. Names of
weights are the same, and `save_model_folder` writes an ordinary WhisperForConditionalGeneration.
"""

import functools
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput, ModelOutput
from transformers.models.whisper.modeling_whisper import WhisperDecoder

from accel_asr.model.chunked_loss import summed_token_loss
from accel_asr.model.row_dropout import RowSeeds
from accel_asr.model.silence_merging import KeptPositions, KeyBias, encode_merged

# of the decoder and of `generate`: transformers 5.24 has renamed it
CACHE_ARGUMENT = "cache" if "cache" in inspect.signature(WhisperDecoder.forward).parameters else "past_key_values"


@dataclass
class TokenLoss(ModelOutput):
    """loss_sum: the cross-entropies of all targets, added up in fp32, a scalar."""

    loss_sum: torch.Tensor | None = None


class WhisperForTraining(WhisperForConditionalGeneration):
    """See the module."""

    dropout_seeds: RowSeeds | None = None  # of adapters that have dropout

    @functools.wraps(WhisperForConditionalGeneration.forward)  # `generate` looks at the names of the arguments
    def forward(
        self,
        input_features: torch.Tensor | None = None,
        *others: Any,
        target_positions: torch.Tensor | None = None,
        target_labels: torch.Tensor | None = None,
        row_seeds: torch.Tensor | None = None,
        kept: KeptPositions | None = None,
        label_smoothing: float = 0.0,
        **options: Any,
    ) -> Any:
        """As transformers' own; with targets a `TokenLoss`.

        Args:
            input_features: Log-mel, (batch, mel bins, frames): the whole window, or with `kept` its first part.
            target_positions: (targets,), indices into the flattened (batch x tokens) positions of the decoder.
            target_labels: (targets,), the token at each of them.
            row_seeds: int64, (batch,), which the dropout of adapters depends on.
            kept: Positions to compute, where padding is merged; the features then end soon after the clips.
            label_smoothing: Of their loss, as `summed_token_loss` takes it.
        """
        if self.dropout_seeds is not None:
            self.dropout_seeds.of_batch = row_seeds
        if target_positions is not None or input_features is not None:
            KeyBias.of_model(self).of_batch = None if kept is None else kept.key_bias()
        if input_features is not None and kept is not None:
            encoded = encode_merged(self.get_encoder(), input_features, kept)
            input_features, options["encoder_outputs"] = None, BaseModelOutput(last_hidden_state=encoded)
        if target_positions is None or target_labels is None:
            return super().forward(input_features, *others, **options)
        # given an empty cache, transformers does not search the positions for packed sequences, for which the host
        # would wait until the encoder is done; without `use_cache` it stays empty, and attention needs no mask
        options.setdefault(CACHE_ARGUMENT, DynamicCache())
        hidden = self.model(input_features, *others, **options).last_hidden_state
        targets = hidden.flatten(0, 1)[target_positions]
        loss_sum = summed_token_loss(targets, self.proj_out.weight, target_labels, label_smoothing=label_smoothing)
        return TokenLoss(loss_sum=loss_sum)
