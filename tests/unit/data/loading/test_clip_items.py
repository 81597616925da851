"""Items of clips. `test_augmented_clips.py` tests them with effects, `order/test_packing.py` as packs."""

from accel_asr.data.loading.clip_items import ClipItems


def timed_share(items: ClipItems, probability: float, *, seed: int = 0) -> list[bool]:
    timed = ClipItems(
        items.utterances,
        feature_extractor=items.feature_extractor,
        encoder=items.encoder,
        timestamps_probability=probability,
        seed=seed,
    )
    keys = [(epoch, row) for epoch in range(20) for row in range(7)]
    return [items.encoder.first_timestamp_id in timed[key].token_ids for key in keys]


def test_a_share_of_the_labels_is_timed_and_drawn_anew_each_epoch(clip_items: ClipItems) -> None:
    assert not any(timed_share(clip_items, 0.0))
    assert all(timed_share(clip_items, 1.0))
    half = timed_share(clip_items, 0.5)
    assert 50 < sum(half) < 90  # of 140: 70 expected, standard deviation 5.9
    assert len({tuple(half[first : first + 7]) for first in range(0, 140, 7)}) > 10
    assert timed_share(clip_items, 0.5) == half
    assert timed_share(clip_items, 0.5, seed=1) != half
