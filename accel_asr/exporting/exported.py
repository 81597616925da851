"""What every exported model can do: transcribe one clip, greedily, as `generate` does."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Clip:
    """One utterance as an exported model takes it.

    samples: float32, mono, at the model's rate, not padded.
    features: log-mel, (mel bins, frames), padded to the window.
    start_ids: what the decoder is given: a previous text, if any, start, language, task, no timestamps.
    previous_ids: of these the previous text, without <|startofprev|>.
    language, task: codes, None for an English-only model.
    max_new_tokens: how many tokens may be made after start_ids.
    """

    samples: np.ndarray
    features: np.ndarray
    start_ids: tuple[int, ...]
    previous_ids: tuple[int, ...]
    language: str | None
    task: str | None
    max_new_tokens: int


class ExportedModel(Protocol):
    """A model in another runtime."""

    runtime: str  # by which it is run, with versions, for people to read

    def transcribe(self, clip: Clip) -> tuple[str, list[int]]:
        """(text, token ids without <|endoftext|>) of one clip, with greedy decoding."""
        ...
