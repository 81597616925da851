"""How much of its window a Whisper encoder hears: all of it, or the speech and a little more.

Whisper pads every clip to its window (30 s), and its encoder spends as much on the padding as on the speech. Hearing
less is cheaper (a step on 10 s clips 2.7 times) and not the same: a model hears padding in a way that it was trained
to. So a run that trains on short contexts mixes in longer ones, ends at the full one, and is judged at the full one.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder

MARGIN_S = 1.0  # heard after the longest clip, at least
BUCKET_POSITIONS = 128  # few lengths, so that kernels are planned and compiled few times
LONGER_SHARE = 1 / 8  # of the steps before the last ones: a longer context than the speech needs
FULL_SHARE = 1 / 10  # of all steps, the last ones: the whole window


@dataclass(frozen=True)
class SpeechContext:
    """How many positions of the encoder are for the speech of a batch.

    Args:
        full_positions: Those of the whole window: 1,500 for OpenAI's models.
        position_s: Seconds of audio of one position: 0.02 for OpenAI's models.
    """

    full_positions: int
    position_s: float

    @classmethod
    def of_model(cls, model: WhisperForConditionalGeneration, *, window_s: float) -> "SpeechContext":
        """That of a model whose window is so long."""
        positions = model.config.max_source_positions
        return cls(positions, window_s / positions)

    def positions_for(self, longest_s: float) -> int:
        """Positions that hold `longest_s` seconds and MARGIN_S more, in whole buckets, or those of the whole window."""
        needed = math.ceil((longest_s + MARGIN_S) / self.position_s - 1e-6)
        return min(-(-needed // BUCKET_POSITIONS) * BUCKET_POSITIONS, self.full_positions)

    def positions_at(self, step: int, longest_s: float, *, last_step: int, seed: int) -> int:
        """Positions of optimizer step `step`, from 1: a pure function, the same on every rank and after any restart.

        Args:
            longest_s: The longest clip of the global batch: however it is dealt out, all of it is heard alike.
        """
        shortest = self.positions_for(longest_s)
        if step >= self.first_full_step(last_step):
            return self.full_positions
        draws = np.random.default_rng((seed, step, 2))  # 2: not the numbers of another draw of this seed
        longer = [*range(shortest + BUCKET_POSITIONS, self.full_positions, BUCKET_POSITIONS), self.full_positions]
        return int(draws.choice(longer)) if draws.random() < LONGER_SHARE else shortest

    def first_full_step(self, last_step: int) -> int:
        """The first of the steps at the end that all hear the whole window; there is always one."""
        return last_step - math.ceil(last_step * FULL_SHARE) + 1


class AnyContextEncoder(WhisperEncoder):
    """Whisper's encoder, for features of any even number of frames up to its window; of a whole one, bit for bit it."""

    def forward(self, input_features: torch.Tensor, **kwargs: object) -> BaseModelOutput:
        """Encode log-mel features (batch, mel bins, 2 x positions)."""
        return BaseModelOutput(last_hidden_state=encode(self, input_features))


def hear_any_context(model: WhisperForConditionalGeneration) -> None:
    """Let `model` be called with features shorter than its window; call it before any wrapper sees the model.

    The encoder's weights and names stay, and so does what is saved.
    """
    model.get_encoder().__class__ = AnyContextEncoder


def encode(encoder: WhisperEncoder, input_features: torch.Tensor) -> torch.Tensor:
    """What `encoder` makes of features that need not fill its window.

    The same operations in the same order as `WhisperEncoder.forward`, but with as many of its positions as there is
    audio for.

    Args:
        input_features: (batch, mel bins, 2 x positions), at most the window.

    Returns:
        (batch, positions, width).
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
