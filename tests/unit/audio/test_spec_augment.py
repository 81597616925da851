"""SpecAugment: how many masks, how wide, where, and with what they are filled."""

import numpy as np
import pytest
import torch

from accel_asr.audio.spec_augment import ClipMasks, SpecAugment, mask_features

BINS = 80
DEFAULTS = SpecAugment(mask_time_prob=0.2, mask_time_length=100, mask_feature_prob=0.7, mask_feature_length=27)


def drawn(masks: SpecAugment, frames: int, *, first_frame: int = 0, clips: int = 2_000) -> list[np.ndarray]:
    """The masks of many clips of this length."""
    stop = first_frame + frames
    return [masks.draw(seed, row=0, first_frame=first_frame, stop_frame=stop, bins=BINS).masks for seed in range(clips)]


def over_time(masks: np.ndarray) -> np.ndarray:
    return masks[(masks[:, 2] == 0) & (masks[:, 3] == BINS)]


def over_features(masks: np.ndarray) -> np.ndarray:
    return masks[(masks[:, 2] > 0) | (masks[:, 3] < BINS)]


def test_ten_seconds_have_two_masks_over_time_and_two_over_features() -> None:
    clips = drawn(DEFAULTS, 1_000)
    # one in 101 is of width 0, and one in 28 of those over features: 80 bins x 0.7 / 27 = 2.07
    assert np.mean([len(over_time(masks)) for masks in clips]) == pytest.approx(2 * 100 / 101, abs=0.02)
    assert np.mean([len(over_features(masks)) for masks in clips]) == pytest.approx(2.074 * 27 / 28, abs=0.03)
    widths = np.concatenate([over_time(masks)[:, 1] - over_time(masks)[:, 0] for masks in clips])
    assert (widths.min(), widths.max()) == (1, 100)
    assert widths.mean() == pytest.approx(50.5, abs=1.5)
    heights = np.concatenate([over_features(masks)[:, 3] - over_features(masks)[:, 2] for masks in clips])
    assert (heights.min(), heights.max()) == (1, 27)
    assert heights.mean() == pytest.approx(14, abs=0.5)


def test_the_number_of_masks_is_rounded_at_random() -> None:
    counts = [len(over_time(masks)) for masks in drawn(DEFAULTS, 250)]  # 0.2 x 250 / 100 = 0.5
    assert set(counts) == {0, 1}
    assert np.mean(counts) == pytest.approx(0.5 * 50 / 51, abs=0.04)


def test_masks_stay_within_the_frames_of_the_clip() -> None:
    for masks in drawn(DEFAULTS, 700, first_frame=300):
        assert masks.dtype == np.int16
        assert (masks[:, 0] >= 300).all()
        assert (masks[:, 1] <= 1_000).all()
        features = over_features(masks)
        assert (features[:, :2] == [300, 1_000]).all()  # over all of the clip, and nothing else
        assert (features[:, 3] <= BINS).all()
    begins = np.concatenate([over_time(masks)[:, 0] for masks in drawn(DEFAULTS, 700, first_frame=300)])
    ends = np.concatenate([over_time(masks)[:, 1] for masks in drawn(DEFAULTS, 700, first_frame=300)])
    assert begins.min() < 310
    assert ends.max() > 990


@pytest.mark.parametrize("frames", [0, 1, 4, 37, 100])
def test_a_short_clip_is_not_erased(frames: int) -> None:
    many = SpecAugment(mask_time_prob=1.0, mask_time_length=20, mask_feature_prob=0.0, mask_feature_length=27)
    worst = 0
    for masks in drawn(many, frames, clips=500):
        widths = masks[:, 1] - masks[:, 0]
        assert (widths <= frames / 5).all()
        heard = np.ones(frames, dtype=bool)
        for first, stop, *_ in masks:
            heard[first:stop] = False
        worst = max(worst, frames - int(heard.sum()))
    assert worst <= frames / 2
    assert worst > 0 or frames < 5


def test_the_same_seed_gives_the_same_masks_wherever_the_clip_lies() -> None:
    alone = DEFAULTS.draw(7, row=0, first_frame=0, stop_frame=500, bins=BINS).masks
    np.testing.assert_array_equal(DEFAULTS.draw(7, row=3, first_frame=0, stop_frame=500, bins=BINS).masks, alone)
    in_a_pack = DEFAULTS.draw(7, row=1, first_frame=900, stop_frame=1_400, bins=BINS).masks
    np.testing.assert_array_equal(in_a_pack - [900, 900, 0, 0], alone)
    assert not np.array_equal(DEFAULTS.draw(8, row=0, first_frame=0, stop_frame=500, bins=BINS).masks, alone)


def test_neither_reads_nor_moves_the_global_generators() -> None:
    np.random.seed(1)
    first = drawn(DEFAULTS, 600, clips=1)[0]
    np.random.seed(2)
    expected = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(drawn(DEFAULTS, 600, clips=1)[0], first)
    np.testing.assert_array_equal(np.random.get_state()[1], expected)


def test_a_mask_has_the_mean_of_its_clip_and_nothing_else_changes() -> None:
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(2, BINS, 40)).astype(np.float32))
    before = features.clone()
    time, bins = (5, 9, 0, BINS), (2, 30, 10, 13)
    mask_features(features, (ClipMasks(1, 2, 30, np.array([time, bins], dtype=np.int16)),))
    mean = before[1, :, 2:30].double().mean().float()
    is_masked = torch.zeros(2, BINS, 40, dtype=torch.bool)
    is_masked[1, :, 5:9] = True
    is_masked[1, 10:13, 2:30] = True
    torch.testing.assert_close(features[is_masked], mean.expand(int(is_masked.sum())), rtol=0, atol=1e-7)
    assert torch.equal(features[~is_masked], before[~is_masked])
