"""The pauses of a recording, by the energy of its sound."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from accel_asr.transcription.segments import Word

FRAME_S = 0.01
SHORTEST_S = 0.1  # a shorter silence may lie within a word, before a p or a t
NEAR_S = 0.1
_AROUND_S = 15.0  # what is quiet is judged by so much to either side
_QUIET, _LOUD = 10, 90  # percentiles that stand for background and speech
_SHARE = 0.35  # of the way from background to speech, in decibels; what is below is a pause


@dataclass(frozen=True)
class Pauses:
    """Which frames of 10 ms are quiet, and the level of each in decibels, both (frames,)."""

    is_quiet: np.ndarray
    level_db: np.ndarray

    @classmethod
    def of_samples(cls, samples: np.ndarray, *, sampling_rate_hz: int) -> "Pauses":
        """Those of float32 samples, mono, (samples,)."""
        hop = round(FRAME_S * sampling_rate_hz)
        frames = len(samples) // hop
        power = np.square(samples[: frames * hop].reshape(frames, hop), dtype=np.float32).mean(axis=1)
        smooth = np.convolve(power, np.ones(3) / 3, mode="same")
        level_db = 10 * np.log10(smooth + 1e-10)
        around, step = round(_AROUND_S / FRAME_S), round(1.0 / FRAME_S)
        limits = np.empty(frames)
        for first in range(0, frames, step):
            near = level_db[max(0, first - around) : first + step + around]
            quiet, loud = np.percentile(near, [_QUIET, _LOUD])
            limits[first : first + step] = quiet + _SHARE * (loud - quiet)
        return cls(level_db < limits, level_db)

    def longest(self, begin_s: float, end_s: float) -> tuple[float, float] | None:
        """(begin, end) of the longest pause within these seconds; None if none lasts `SHORTEST_S`."""
        first, stop = self._frames(begin_s, end_s)
        quiet = np.concatenate([[False], self.is_quiet[first:stop], [False]])
        edges = np.flatnonzero(quiet[1:] != quiet[:-1])
        begins, ends = edges[::2], edges[1::2]
        if not len(begins):
            return None
        longest = int((ends - begins).argmax())
        pause = (first + int(begins[longest])) * FRAME_S, (first + int(ends[longest])) * FRAME_S
        return pause if pause[1] - pause[0] > SHORTEST_S - FRAME_S / 2 else None

    def quietest(self, begin_s: float, end_s: float) -> float:
        """The quietest moment within these seconds."""
        first, stop = self._frames(begin_s, end_s)
        levels = self.level_db[first:stop]
        return (first + int(levels.argmin()) + 0.5) * FRAME_S if len(levels) else begin_s

    def _frames(self, begin_s: float, end_s: float) -> tuple[int, int]:
        first = round(begin_s / FRAME_S)
        return first, max(min(round(end_s / FRAME_S), len(self.is_quiet)), first + 1)


def words_around_pauses(words: Sequence[Word], pauses: Pauses, *, begin_s: float, end_s: float) -> list[Word]:
    """The words with each pause between them, and none within: attention gives a pause to the word after it.

    Two words without a pause between them meet in the quietest moment near to where they met.

    Args:
        begin_s, end_s: What the words can't reach beyond.
    """
    gaps: list[tuple[float, float]] = []
    low = begin_s
    for before, word in zip([None, *words], [*words, None], strict=True):
        meet = word.start_s if word else before.end_s if before else begin_s
        # a word that holds a long pause begins after its own middle
        high = word.end_s - min(NEAR_S, (word.end_s - word.start_s) / 2) if word else end_s
        pause = pauses.longest(low, high)
        if pause is None:
            moment = pauses.quietest(max(low, meet - NEAR_S), min(high, meet + NEAR_S))
            moment = max(low, min(moment, high))
            pause = moment, moment
        gaps.append(pause)
        low = (max(pause[1], low) + word.end_s) / 2 if word else end_s
    return [
        replace(word, start_s=round(before[1], 3), end_s=round(after[0], 3))
        for word, before, after in zip(words, gaps, gaps[1:], strict=False)
    ]
