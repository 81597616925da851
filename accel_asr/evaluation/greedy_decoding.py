"""Greedy decoding in which rows that have ended cost nothing more.

`GenerationMixin.generate` takes it as `custom_generate` and prepares everything as ever: suppressed tokens, lengths,
ends. Its own loop carries every row along until the last one has ended, and each step reads all their keys and values:
on a CPU that is most of what a step takes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    EncoderDecoderCache,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteriaList,
    WhisperForConditionalGeneration,
)

from accel_asr.model.silence_merging import KeyBias
from accel_asr.model.whisper_for_training import CACHE_ARGUMENT

STEPS_BETWEEN_LOOKS_ON_GPU = 8


def decode_greedily(
    model: WhisperForConditionalGeneration,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    **prepared: Any,
) -> torch.Tensor:
    """The ids that `generate` returns with one beam, (batch, tokens), the given ones first.

    Args:
        input_ids: The given ids, (batch, start tokens).
        prepared: By `generate`. Its cache and the model's `KeyBias` lose the rows that end.
    """
    encoded, cache = prepared["encoder_outputs"].last_hidden_state, prepared[CACHE_ARGUMENT]
    key_bias = KeyBias.of_model(model)
    ids, given, padding = input_ids, input_ids.shape[1], generation_config.pad_token_id
    most = max(stopping_criteria.max_length - given, 1)
    table = torch.cat([ids, ids.new_full((len(ids), most), padding)], dim=1)
    rows, has_ended = torch.arange(len(ids), device=ids.device), ids.new_zeros(len(ids), dtype=torch.bool)
    look_every = steps_between_looks(ids.device)
    unread, step = ids, 0
    while step < most:
        states = model.model.decoder(
            input_ids=unread, encoder_hidden_states=encoded, use_cache=True, **{CACHE_ARGUMENT: cache}
        ).last_hidden_state
        scores = logits_processor(ids, model.proj_out(states[:, -1]).float())
        unread = scores.argmax(-1).masked_fill(has_ended, padding)[:, None]
        ids = torch.cat([ids, unread], dim=1)
        table[rows, given + step] = unread[:, 0]
        has_ended |= stopping_criteria(ids, None)
        step += 1
        if step % look_every == 0 and has_ended.any():
            left = Left.of(has_ended)
            if not left.count:
                break
            encoded = encoded[: left.count]  # after the first step only its shape is read
            ids, unread, rows, has_ended = (left.rows_of(part) for part in (ids, unread, rows, has_ended))
            left.keep_in_cache(cache)
            if key_bias.of_batch is not None:
                key_bias.of_batch = left.rows_of(key_bias.of_batch)
    return table[:, : given + step]


def steps_between_looks(device: torch.device) -> int:
    """How often to look which rows have ended: in every step on a CPU; on a GPU each look waits for it."""
    return 1 if device.type == "cpu" else STEPS_BETWEEN_LOOKS_ON_GPU


@dataclass(frozen=True)
class Left:
    """The rows of a batch that go on: the last of them move, in place, to where others have ended.

    So a row that ends costs a copy of one other row at most.

    Args:
        count: How many go on.
        free: int64, (moves,), the places among the first `count` whose rows have ended.
        moved: int64, (moves,), the rows behind them that go on.
    """

    count: int
    free: torch.Tensor
    moved: torch.Tensor

    @classmethod
    def of(cls, has_ended: torch.Tensor) -> "Left":
        """By a bool for each row."""
        count = int((~has_ended).sum())
        free = has_ended[:count].nonzero()[:, 0]
        return cls(count, free, count + (~has_ended[count:]).nonzero()[:, 0])

    def rows_of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows of `tensor` that go on, a view of its memory, which changes."""
        if len(self.free):
            tensor.index_copy_(0, self.free, tensor.index_select(0, self.moved))
        return tensor[: self.count]

    def keep_in_cache(self, cache: EncoderDecoderCache) -> None:
        """Keep these rows in all layers of a cache that isn't static."""
        for layers in (cache.self_attention_cache.layers, cache.cross_attention_cache.layers):
            for layer in layers:
                if layer.is_initialized:  # not what the encoder's layers outnumber the decoder's by
                    layer.keys, layer.values = self.rows_of(layer.keys), self.rows_of(layer.values)
