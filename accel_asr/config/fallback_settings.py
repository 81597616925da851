"""`evaluation.long_form_decoding`: how the windows of a long recording are decoded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fallback:
    """When a window of a long recording is decoded again at a higher temperature, or skipped as silence: Whisper's
    heuristics (Radford et al. 2022, section 4.5), with transformers' names and formulas."""

    temperature: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """Tried in this order until a transcript passes; 0 is greedy or beam search, above it samples."""
    compression_ratio_threshold: float | None = 1.35
    """A transcript fails if zlib compresses its token ids by more than this. 1.35 for token ids is about Whisper's 2.4
    for letters. null never fails."""
    logprob_threshold: float | None = -1.0
    """A transcript fails if the mean log-probability of its tokens is lower. null never fails."""
    no_speech_threshold: float | None = 0.6
    """Such a transcript is dropped if the model's probability of silence is higher than this. Needs
    `logprob_threshold`. null never drops."""
    condition_on_prev_tokens: bool = True
    """Give the previous window's text to the decoder, unless it took a high temperature. For models that have a token
    for it."""


WHISPERS_FALLBACK = Fallback()
