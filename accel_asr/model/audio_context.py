"""Audio context: how much of its window a Whisper encoder gets, all of it or the speech and a margin.

Whisper pads every clip to its window (30 s), and its encoder spends as much on the padding as on the speech. A shorter
context is cheaper (a step on 10 s clips 2.7 times), but the model was trained on padding and reacts to its absence. So
a run on short contexts mixes in longer ones, ends with the full window, and picks the best model at the full window.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import WhisperEncoder

MARGIN_S = 1.0  # at least, after the longest clip
BUCKET_POSITIONS = 128  # few lengths, so that kernels are planned and compiled few times
LONGER_SHARE = 1 / 8  # of the steps before the last tenth get a longer context than the speech needs
FULL_SHARE = 1 / 10  # of all steps, the last ones, get the whole window


@dataclass(frozen=True)
class SpeechContext:
    """How many of the encoder's positions the speech of a batch needs.

    Args:
        full_positions: Those of the whole window: 1,500 for OpenAI's models.
        position_s: Seconds of audio of one position: 0.02 for OpenAI's models.
    """

    full_positions: int
    position_s: float

    @classmethod
    def of_model(cls, model: WhisperForConditionalGeneration, *, window_s: float) -> "SpeechContext":
        """For a model with a window of `window_s` seconds."""
        positions = model.config.max_source_positions
        return cls(positions, window_s / positions)

    def positions_for(self, longest_s: float) -> int:
        """Positions that hold `longest_s` seconds and MARGIN_S more, in whole buckets, or those of the whole window."""
        needed = math.ceil((longest_s + MARGIN_S) / self.position_s - 1e-6)
        return min(-(-needed // BUCKET_POSITIONS) * BUCKET_POSITIONS, self.full_positions)

    def positions_at(self, step: int, longest_s: float, *, last_step: int, seed: int) -> int:
        """Positions in optimizer step `step`, from 1: a pure function, the same on every rank and after any restart.

        Args:
            longest_s: The longest clip of the global batch, so that the split into micro-batches changes nothing.
        """
        shortest = self.positions_for(longest_s)
        if step >= self.first_full_step(last_step):
            return self.full_positions
        draws = np.random.default_rng((seed, step, 2))  # 2: apart from the other draws of this seed
        longer = [*range(shortest + BUCKET_POSITIONS, self.full_positions, BUCKET_POSITIONS), self.full_positions]
        return int(draws.choice(longer)) if draws.random() < LONGER_SHARE else shortest

    def first_full_step(self, last_step: int) -> int:
        """The first of the last steps, which all get the whole window; there is always at least one."""
        return last_step - math.ceil(last_step * FULL_SHARE) + 1


def encode(encoder: WhisperEncoder, input_features: torch.Tensor) -> torch.Tensor:
    """Encode features (batch, mel bins, 2 x positions) of any length up to the window: (batch, positions, width).

    The operations of `WhisperEncoder.forward` in the same order, with as many position embeddings as there is audio
    for. transformers' own refuses any length but the window's; of a whole window this is equal to it, bit for bit.
    """
    hidden = nn.functional.gelu(encoder.conv1(input_features))
    hidden = nn.functional.gelu(encoder.conv2(hidden)).permute(0, 2, 1)
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    hidden = hidden + encoder.embed_positions(positions)
    hidden = nn.functional.dropout(hidden, p=encoder.dropout, training=encoder.training)
    for layer in encoder.layers:
        dropped = encoder.training and encoder.layerdrop > 0.0 and torch.rand([]) < encoder.layerdrop
        if not dropped:
            hidden = layer(hidden, None)
    return encoder.layer_norm(hidden)
