"""`evaluation.long_form_decoding`: how the windows of a long recording are decoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from accel_asr.errors import UserError

_TEMPERATURE = "--evaluation.long_form_decoding.temperature"
MOST_TEMPERATURE = 10.0  # every token is then about as likely as any other


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


def fallback_errors(fallback: Fallback) -> Iterator[UserError]:
    """What is wrong with the settings together."""
    temperatures = fallback.temperature
    if not temperatures or not all(0 <= value <= MOST_TEMPERATURE for value in temperatures):
        remedy = f"give a list of numbers between 0 and {MOST_TEMPERATURE:g}, such as [0, 0.4, 0.8]"
        yield UserError("is no list of temperatures", setting=_TEMPERATURE, value=temperatures, remedy=remedy)
    elif any(later <= earlier for earlier, later in pairwise(temperatures)):
        remedy = "write them from low to high: the first is tried first"
        yield UserError("does not rise", setting=_TEMPERATURE, value=temperatures, remedy=remedy)
    if fallback.no_speech_threshold is not None and fallback.logprob_threshold is None:
        yield UserError(
            "needs a logprob_threshold: only improbable transcripts are dropped as silence",
            setting="--evaluation.long_form_decoding.no_speech_threshold",
            value=fallback.no_speech_threshold,
            remedy="set it to null too",
        )
