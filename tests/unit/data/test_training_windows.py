"""The windows that training gets from the DataLoader: whole, repeatable, the same from worker processes."""

import itertools

import pytest
import torch

from accel_asr.data.collator import Batch, Collator
from accel_asr.data.loading import TrainingItems, WindowPlan, training_windows
from accel_asr.data.preparation import LabelEncoder

PLAN = WindowPlan(num_rows=7, micro_batch_size=2, accumulation_steps=2, num_processes=1, seed=3, drop_last=False)


@pytest.fixture
def items(utterances, model_and_processor) -> TrainingItems:
    processor = model_and_processor[1]
    return TrainingItems(
        utterances, feature_extractor=processor.feature_extractor, encoder=LabelEncoder(processor.tokenizer)
    )


def windows(
    items: TrainingItems, collator: Collator, *, num_workers: int = 0, first_step: int = 1
) -> list[list[Batch]]:
    return list(
        training_windows(
            items,
            PLAN,
            collator=collator,
            rank=0,
            first_step=first_step,
            last_step=4,
            num_workers=num_workers,
            pin_memory=False,
        )
    )


def assert_same(ours: list[list[Batch]], theirs: list[list[Batch]]) -> None:
    pairs = zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True)
    for one, other in pairs:
        assert (one.utterance_ids, one.audio_s) == (other.utterance_ids, other.audio_s)
        for name in ("input_features", "decoder_input_ids", "labels"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_a_window_is_its_micro_batches_of_real_items(items: TrainingItems, collator: Collator) -> None:
    got = windows(items, collator)
    assert [[len(batch.utterance_ids) for batch in window] for window in got] == [[2, 2], [2, 1]] * 2
    for first in (0, 2):
        names = [name for window in got[first : first + 2] for batch in window for name in batch.utterance_ids]
        assert sorted(names) == [f"clip-{index}" for index in range(7)]
    known = {utterance.utterance_id: utterance for utterance in items.utterances}
    batch = got[0][0]
    longest = max(len(known[name].token_ids) for name in batch.utterance_ids)
    assert batch.labels.shape == (2, longest - 1)
    assert batch.labels[0].tolist()[: len(known[batch.utterance_ids[0]].token_ids) - 1] == list(
        known[batch.utterance_ids[0]].token_ids[1:]
    )


def test_worker_processes_give_the_same_batches(items: TrainingItems, collator: Collator) -> None:
    assert_same(windows(items, collator, num_workers=2), windows(items, collator))


def test_a_resumed_loader_gives_the_rest(items: TrainingItems, collator: Collator) -> None:
    assert_same(windows(items, collator, first_step=3), windows(items, collator)[2:])


def test_loading_does_not_move_the_generator_that_dropout_draws_from(items: TrainingItems, collator: Collator) -> None:
    # a DataLoader takes its base seed there unless it is given a generator: once more in a run that was resumed
    before = torch.get_rng_state()
    windows(items, collator)
    assert torch.equal(torch.get_rng_state(), before)


# -- timestamps


def timed_share(items: TrainingItems, probability: float, *, seed: int = 0) -> list[bool]:
    timed = TrainingItems(
        items.utterances,
        feature_extractor=items.feature_extractor,
        encoder=items.encoder,
        timestamps_probability=probability,
        seed=seed,
    )
    keys = [(epoch, row) for epoch in range(20) for row in range(7)]
    return [items.encoder.first_timestamp_id in timed[key].token_ids for key in keys]


def test_a_share_of_the_labels_is_timed_and_drawn_anew_each_epoch(items: TrainingItems) -> None:
    assert not any(timed_share(items, 0.0))
    assert all(timed_share(items, 1.0))
    half = timed_share(items, 0.5)
    assert 50 < sum(half) < 90  # of 140: 70 expected, standard deviation 5.9
    assert len({tuple(half[first : first + 7]) for first in range(0, 140, 7)}) > 10
    assert timed_share(items, 0.5) == half
    assert timed_share(items, 0.5, seed=1) != half
