"""Merge the padding of Whisper's window: an encoder that hears the same and computes far less.

Whisper pads every clip to its window (30 s), and its encoder spends as much on the padding as on the speech. To cut the
padding off makes another model, one that loops. Here it stays, but neighbouring positions of it are stood for by one at
their centre, which every attention over the encoder's positions counts as often as it stands for others: log(k) is
added to its scores. This is the proportional attention of token merging (Bolya et al., "Token Merging: Your ViT But
Faster", 2023), used on what is known beforehand to be alike. Where nothing is merged it is the model itself.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import WhisperEncoder

MERGE_FACTOR = 4  # positions that one stands for
MARGIN_S = 2.0  # after the clip, kept as it is
END_S = 1.0  # at the end of the window, kept as it is
MOST_KEPT = 0.9  # of the window; above it merging gains too little to be worth any difference
BUCKET = 64  # kept positions come in multiples of it, so that kernels are chosen and compiled few times
# the convolutions reach 3 positions to either side, and the end of the window is 2 positions that differ
_EDGE = 8


@dataclass(frozen=True)
class KeptPositions:
    """Which positions of the window the encoder computes, for each clip of a batch.

    Args:
        positions: int64, (batch, kept), in ascending order: of each group the middle one, or the upper of two.
        log_counts: float32, (batch, kept), the logarithm of how many positions each stands for; -inf is a filler, which
            nothing attends to.
    """

    positions: torch.Tensor
    log_counts: torch.Tensor

    def key_bias(self) -> torch.Tensor:
        """What attention adds to the scores of the keys, (batch, 1, 1, kept): of every head and every query."""
        return self.log_counts[:, None, None, :]

    def of_row(self, row: int) -> "KeptPositions":
        """Those of one clip, as a batch of one."""
        return KeptPositions(self.positions[[row]], self.log_counts[[row]])

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "KeptPositions":
        """A copy on `device`."""
        return KeptPositions(
            *(part.to(device, non_blocking=non_blocking) for part in (self.positions, self.log_counts))
        )

    def pin_memory(self) -> "KeptPositions":
        """A copy in pinned memory."""
        return KeptPositions(self.positions.pin_memory(), self.log_counts.pin_memory())


@dataclass(frozen=True)
class SilenceMerging:
    """What is kept of a clip's window; a function of the clip alone, so that it does not matter which batch it is in.

    Kept are the clip with `margin_s` after it, the middle one of every `factor` neighbours, and the last `end_s` of the
    window. If that is more than MOST_KEPT of the window, all of it is kept.

    Args:
        window_positions: Those of the whole window: 1,500 for OpenAI's models.
        position_s: Seconds of audio of one position: 0.02 for OpenAI's models.
        factor: 1 merges nothing.
    """

    window_positions: int
    position_s: float
    factor: int = MERGE_FACTOR
    margin_s: float = MARGIN_S
    end_s: float = END_S

    @classmethod
    def of_model(cls, model: WhisperForConditionalGeneration, *, window_s: float) -> "SilenceMerging":
        """For a model with a window of `window_s` seconds."""
        positions = model.config.max_source_positions
        return cls(positions, window_s / positions)

    @property
    def _end(self) -> int:
        return math.ceil(self.end_s / self.position_s - 1e-6)

    def kept_count(self, clip_s: float) -> int:
        """How many positions are kept of a clip of `clip_s` seconds, with fillers; a multiple of BUCKET, or all."""
        dense = math.ceil((clip_s + self.margin_s) / self.position_s - 1e-6)
        tail = self.window_positions - self._end - dense
        if tail <= 0:
            return self.window_positions
        kept = -(-(dense + math.ceil(tail / self.factor) + self._end) // BUCKET) * BUCKET
        return kept if kept <= MOST_KEPT * self.window_positions else self.window_positions

    def of_clip(self, clip_s: float) -> tuple[torch.Tensor, torch.Tensor]:
        """(positions, how many each stands for), both (kept,), int64. What a bucket has to spare is kept as it is."""
        window, count = self.window_positions, self.kept_count(clip_s)
        end = window - self._end
        if count == window:
            return torch.arange(window), torch.ones(window, dtype=torch.int64)
        # the most that is kept as it is: `dense` and ceil((end - dense) / factor) groups fill the bucket
        dense = (self.factor * (count - self._end) - end) // (self.factor - 1)
        first = torch.arange(dense, end, self.factor)
        sizes = torch.clamp(end - first, max=self.factor)
        positions = torch.cat([torch.arange(dense), first + sizes // 2, torch.arange(end, window)])
        counts = torch.cat([torch.ones(dense, dtype=torch.int64), sizes, torch.ones(self._end, dtype=torch.int64)])
        return positions, counts

    def of_batch(self, clips_s: list[float]) -> KeptPositions | None:
        """Those of a batch, with fillers after the shorter ones; None where a clip needs the whole window and no other
        needs less, which is then the model's own forward pass."""
        kept = [self.of_clip(clip_s) for clip_s in clips_s]
        length = max(len(positions) for positions, _ in kept)
        if all(len(positions) == self.window_positions for positions, _ in kept):
            return None
        positions = torch.full((len(kept), length), self.window_positions - 1)
        log_counts = torch.full((len(kept), length), -math.inf)
        for row, (of_clip, counts) in enumerate(kept):
            positions[row, : len(of_clip)] = of_clip
            log_counts[row, : len(of_clip)] = counts.log()
        return KeptPositions(positions, log_counts)

    def frames_of(self, clips_s: list[float]) -> int:
        """How many of the window's features differ from the padding after them: two frames a position."""
        longest = math.ceil(max(clips_s) / self.position_s - 1e-6)
        return 2 * min(longest + _EDGE, self.window_positions)


def encode_merged(encoder: WhisperEncoder, input_features: torch.Tensor, kept: KeptPositions) -> torch.Tensor:
    """Encode the kept positions: (batch, kept, width). The operations of `WhisperEncoder.forward` in the same order.

    Args:
        input_features: Log-mel, (batch, mel bins, frames), where all frames from 16 before the last are padding.
    """
    hidden = nn.functional.gelu(encoder.conv1(input_features))
    hidden = nn.functional.gelu(encoder.conv2(hidden)).permute(0, 2, 1)
    # padding is constant: its convolutions are alike, but for the last two positions of the window, so those that the
    # features do not reach are found three before their end
    here, window = hidden.shape[1], encoder.embed_positions.num_embeddings
    inner = here - 3
    sources = torch.where(kept.positions <= inner, kept.positions, (kept.positions - (window - here)).clamp(min=inner))
    hidden = hidden.gather(1, sources[..., None].expand(-1, -1, hidden.shape[-1]))
    hidden = hidden + _centre_embeddings(encoder.embed_positions, kept)
    hidden = nn.functional.dropout(hidden, p=encoder.dropout, training=encoder.training)
    bias = kept.key_bias().to(hidden.dtype)
    for layer in encoder.layers:
        dropped = encoder.training and encoder.layerdrop > 0.0 and torch.rand([]) < encoder.layerdrop
        if not dropped:
            hidden = layer(hidden, bias)
    return encoder.layer_norm(hidden)


def _centre_embeddings(embed: nn.Embedding, kept: KeptPositions) -> torch.Tensor:
    """The embedding of the centre of each group, (batch, kept, width): the mean of the two middle ones of an even one.

    Whisper hears the half position that the upper one alone is off by: the next token's probabilities are then 1.4
    (tiny.en) and 1.7 times (base) as far from the whole window's (benchmarks/results/2026-11-30-merging.md). To the bit
    the embedding of a group of one.
    """
    is_even = kept.log_counts.exp().round().long() % 2 == 0
    return (embed(kept.positions) + embed(kept.positions - is_even.long())) / 2


def encode_clips(
    model: WhisperForConditionalGeneration, input_features: torch.Tensor, kept: KeptPositions | None
) -> torch.Tensor:
    """Encode a batch, (batch, positions, width), and have the decoder's cross-attentions weigh the positions.

    Args:
        kept: None encodes the whole window, by the model's own encoder.
    """
    KeyBias.of_model(model).of_batch = None if kept is None else kept.key_bias()
    encoder = model.get_encoder()
    if torch.is_grad_enabled() or input_features.device.type != "cpu":
        return _encode(encoder, input_features, kept)
    # the activations of one clip fit into memory that malloc keeps; those of 16 took 1.3 times as long, in page faults
    rows = range(len(input_features))
    return torch.cat([_encode(encoder, input_features[[row]], kept and kept.of_row(row)) for row in rows])


def _encode(encoder: WhisperEncoder, input_features: torch.Tensor, kept: KeptPositions | None) -> torch.Tensor:
    if kept is None:
        return encoder(input_features).last_hidden_state
    return encode_merged(encoder, input_features, kept)


class KeyBias:
    """What the cross-attentions of one decoder add to the scores of the encoder's positions, of the present batch.

    A value of the model and not an argument: transformers' decoder hands no mask to them. It stays until the next is
    set, since gradient checkpointing computes the layers again in the backward pass.
    """

    def __init__(self) -> None:
        self.of_batch: torch.Tensor | None = None  # (batch, 1, 1, kept)

    @classmethod
    def of_model(cls, model: WhisperForConditionalGeneration) -> "KeyBias":
        """That of `model`, whose cross-attentions read it from now on."""
        known = vars(model).get("key_bias")
        if isinstance(known, cls):
            return known
        bias = cls()
        vars(model)["key_bias"] = bias
        for layer in model.get_decoder().layers:
            layer.encoder_attn.register_forward_pre_hook(bias._add, with_kwargs=True)
        return bias

    def _add(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self.of_batch is None:
            return None
        bias = self.of_batch
        if len(args[0]) != len(bias):  # a beam search hears each clip once for each beam
            bias = bias.repeat_interleave(len(args[0]) // len(bias), dim=0)
        return args, {**kwargs, "attention_mask": bias.to(args[0].dtype)}
