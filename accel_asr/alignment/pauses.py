"""The pauses of a recording, by the energy of its sound."""

from dataclasses import dataclass

import numpy as np

FRAME_S = 0.01
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

    def longest(self, begin_s: float, end_s: float) -> tuple[float, float]:
        """(begin, end) of the longest pause within these seconds; without one, the quietest moment twice."""
        first = round(begin_s / FRAME_S)
        stop = max(min(round(end_s / FRAME_S), len(self.is_quiet)), first + 1)
        quiet = np.concatenate([[False], self.is_quiet[first:stop], [False]])
        edges = np.flatnonzero(quiet[1:] != quiet[:-1])
        begins, ends = edges[::2], edges[1::2]
        if not len(begins):
            levels = self.level_db[first:stop]
            moment = (first + int(levels.argmin()) + 0.5) * FRAME_S if len(levels) else begin_s
            return moment, moment
        longest = int((ends - begins).argmax())
        return (first + int(begins[longest])) * FRAME_S, (first + int(ends[longest])) * FRAME_S
