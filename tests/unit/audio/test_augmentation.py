"""Which effects a clip gets: drawn from the seed of its row, whatever else is drawn anywhere."""

import random

import numpy as np
import pytest

from accel_asr.audio.augmentation import Augmentation
from accel_asr.config.augmentation_settings import EFFECT_PROBABILITIES, AugmentConfig

RATE_HZ, WINDOW = 16_000, 32_000
CLIP = (8_000 * np.sin(np.arange(16_000) / 8)).astype(np.int16)


def hiss(samples: int, rate_hz: int, draws: np.random.Generator) -> tuple[np.ndarray, str]:
    return draws.standard_normal(samples).astype(np.float32), "hiss"


def augmentation(**settings: float) -> Augmentation:
    return Augmentation(AugmentConfig(**settings), RATE_HZ, hiss)  # type: ignore[arg-type]


def heard(row_seed: int = 1, clip: np.ndarray = CLIP, most_samples: int = WINDOW, **settings: float) -> np.ndarray:
    changed = augmentation(**settings)
    samples = changed.clip(clip, row_seed=row_seed, most_samples=most_samples).samples
    return changed.shifted(samples, row_seed=row_seed, most_samples=most_samples)[0]


EFFECTS = [name for name in EFFECT_PROBABILITIES if name != "pitch_prob"]


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_is_a_pure_function_of_the_seed(name: str) -> None:
    first = heard(**{name: 1.0})
    random.seed(3)
    np.random.seed(3)
    state = random.getstate(), np.random.get_state()[1].tolist()
    assert np.array_equal(first, heard(**{name: 1.0}))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state
    assert first.dtype == np.int16
    if name != "band_limit_prob":  # which has nothing to draw
        others = [heard(row_seed, **{name: 1.0}) for row_seed in range(2, 6)]
        assert any(not np.array_equal(first, other) for other in others)


def test_an_effect_is_drawn_as_often_as_its_probability_says() -> None:
    changed = augmentation(gain_prob=0.3)
    count = sum(bool(changed.clip(CLIP[:10], row_seed=seed, most_samples=WINDOW).applied) for seed in range(2_000))
    assert count / 2_000 == pytest.approx(0.3, abs=0.04)


def test_a_clip_without_effects_is_the_same_object() -> None:
    assert augmentation(gain_prob=0.0).clip(CLIP, row_seed=1, most_samples=WINDOW).samples is CLIP
    assert augmentation(gain_prob=1e-9).clip(CLIP, row_seed=1, most_samples=WINDOW).samples is CLIP


def test_another_effect_does_not_move_the_draws_of_the_first() -> None:
    alone = augmentation(speed_prob=1.0).clip(CLIP, row_seed=4, most_samples=WINDOW)
    both = augmentation(speed_prob=1.0, gain_prob=1.0).clip(CLIP, row_seed=4, most_samples=WINDOW)
    assert alone.rate == both.rate != 1.0
    assert both.applied[0] == alone.applied[0]


def test_speed_is_limited_by_the_room_that_there_is() -> None:
    slow = augmentation(speed_prob=1.0, min_rate=0.5, max_rate=0.5)
    free = slow.clip(CLIP, row_seed=1, most_samples=WINDOW)
    assert (len(free.samples), free.rate) == (WINDOW, 0.5)
    tight = slow.clip(CLIP, row_seed=1, most_samples=20_000)
    assert (len(tight.samples), tight.rate) == (20_000, 0.8)
    full = slow.clip(CLIP, row_seed=1, most_samples=len(CLIP))
    assert (len(full.samples), full.rate) == (len(CLIP), 1.0)


def test_silence_comes_before_the_clip_and_both_fit() -> None:
    shifted = augmentation(shift_prob=1.0)
    begins = []
    for seed in range(200):
        samples, silence = shifted.shifted(CLIP, row_seed=seed, most_samples=WINDOW)
        assert np.array_equal(samples[silence:], CLIP)
        assert not samples[:silence].any()
        begins.append(len(samples))
    assert max(begins) <= WINDOW
    assert max(begins) > 0.95 * WINDOW
    limited = augmentation(shift_prob=1.0, max_shift_s=0.1)
    assert {len(limited.shifted(CLIP, row_seed=seed, most_samples=WINDOW)[0]) <= 17_600 for seed in range(50)} == {True}
    assert limited.shifted(CLIP, row_seed=1, most_samples=len(CLIP)) == (pytest.approx(CLIP), 0)


def test_nothing_clips_and_that_is_said() -> None:
    loud = (32_000 * np.sign(np.sin(np.arange(16_000) / 8))).astype(np.int16)
    changed = augmentation(gain_prob=1.0, min_gain_db=12.0, max_gain_db=12.0)
    clip = changed.clip(loud, row_seed=1, most_samples=WINDOW)
    assert int(np.abs(clip.samples.astype(int)).max()) == 32_767
    assert clip.applied == ("gain +12.0 dB", "made 11.8 dB softer, not to clip")
    # a clipped sum of speech and noise would have runs of equal samples at full scale
    noisy = heard(clip=loud, noise_prob=1.0, min_snr_db=0.0, max_snr_db=0.0)
    assert int((np.abs(noisy.astype(int)) >= 32_767).sum()) == 1


def test_no_samples_stay_none() -> None:
    assert len(heard(clip=np.zeros(0, dtype=np.int16), **dict.fromkeys(EFFECTS[:-1], 1.0))) == 0
