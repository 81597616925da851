"""An exported model in its runtime: it transcribes one clip, greedily."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Clip:
    """One utterance as an exported model takes it.

    Args:
        samples: float32, mono, at the model's rate, not padded.
        features: log-mel, (mel bins, frames), padded to the window.
        start_ids: Given to the decoder: a previous text, if any, start, language, task, no timestamps.
        previous_ids: The previous text within these, without <|startofprev|>.
        language, task: Codes, None for an English-only model.
        max_new_tokens: How many tokens may follow start_ids.
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

    runtime: str  # its name and versions, for people to read

    def transcribe(self, clip: Clip) -> tuple[str, list[int]]:
        """(text, token ids without <|endoftext|>) of one clip, with greedy decoding."""
        ...
