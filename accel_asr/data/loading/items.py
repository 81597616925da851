"""What one row of a batch is made of: a clip with its label, or why it is missing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class ClipSpan:
    """Where one clip begins and ends in the samples of an item, and its `row_seed`."""

    utterance_id: str
    row_seed: int
    first_sample: int
    stop_sample: int

    def later(self, samples: int) -> "ClipSpan":
        """The same clip, moved by so many samples."""
        return replace(self, first_sample=self.first_sample + samples, stop_sample=self.stop_sample + samples)


@dataclass(frozen=True, slots=True)
class Item:
    """One clip with its label, from start-of-transcript to end-of-text.

    `clip` is audio, int16, (samples,); features, float32, (mel bins, frames); or cached encoder outputs, float16,
    (positions, width). The first `prompt_tokens` of the label come before start-of-transcript: the decoder reads them,
    but they are no targets. `row_seed` is that of the row in its epoch. `spans` are the clips of a pack, which has the
    `utterance_id` and `row_seed` of the first; without them all of it is one clip.
    """

    utterance_id: str
    duration_s: float
    clip: np.ndarray
    token_ids: Sequence[int]
    prompt_tokens: int = 0
    spans: tuple[ClipSpan, ...] = ()
    row_seed: int = 0
    after_start: int | None = None  # as that of a `Label`

    def clip_spans(self, sampling_rate_hz: int) -> tuple[ClipSpan, ...]:
        """`spans`, or that of its only clip."""
        samples = len(self.clip) if self.clip.ndim == 1 else round(self.duration_s * sampling_rate_hz)
        return self.spans or (ClipSpan(self.utterance_id, self.row_seed, 0, samples),)


@dataclass(frozen=True, slots=True)
class FailedItem:
    """A clip that is missing from its batch: it could not be decoded or, in a stream, a setting filters it out."""

    utterance_id: str
    reason: str
    is_filtered: bool = False
