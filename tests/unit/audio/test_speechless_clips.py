"""The clips without speech: always the same, at their levels, no longer than asked."""

import numpy as np
import pytest

from accel_asr.audio.speechless_clips import LENGTHS_S, LEVELS_DBFS, speechless_clips


def test_each_kind_has_its_levels_and_lengths() -> None:
    clips = [*speechless_clips(16_000, longest_s=30)]
    assert len({clip.name for clip in clips}) == len(clips) == len(LENGTHS_S) * (1 + 3 * len(LEVELS_DBFS))
    for clip in clips:
        assert clip.samples.shape == (int(16_000 * clip.duration_s),)
        rms = np.sqrt(np.mean(np.square(clip.samples, dtype=np.float64)))
        if clip.level_dbfs is None:
            assert rms == 0
        else:  # peaks of loud ones are clipped
            assert 20 * np.log10(rms) == pytest.approx(clip.level_dbfs, abs=0.6)


def test_they_are_the_same_at_every_call_and_not_longer_than_the_window() -> None:
    first, again = ([*speechless_clips(8_000, longest_s=2)] for _ in range(2))
    assert all(np.array_equal(one.samples, other.samples) for one, other in zip(first, again, strict=True))
    assert {clip.duration_s for clip in first} == {1.0, 2.0}
    sounds = {clip.samples.tobytes() for clip in first if clip.level_dbfs is not None}
    assert len(sounds) == len(first) - 2  # no two alike
