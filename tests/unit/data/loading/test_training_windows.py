"""The windows that training gets: whole, repeatable, the same from worker processes."""

import itertools
import multiprocessing
from pathlib import Path

import pytest
import torch

from accel_asr.data.loading import workers
from accel_asr.data.loading.batches import TrainingWindows
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.items import FailedItem
from accel_asr.data.order.epoch_order import WindowPlan

PLAN = WindowPlan(num_rows=7, micro_batch_size=2, accumulation_steps=2, num_processes=1, seed=3, drop_last=False)


@pytest.fixture
def items(clip_items: ClipItems) -> ClipItems:
    return clip_items


def windows(items: ClipItems, collator: Collator, *, num_workers: int = 0, first_step: int = 1) -> list[list[Batch]]:
    return list(
        TrainingWindows(
            items, PLAN, collator=collator, rank=0, first_step=first_step, last_step=4, num_workers=num_workers
        )
    )


def assert_same(ours: list[list[Batch]], theirs: list[list[Batch]]) -> None:
    pairs = zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True)
    for batch, expected in pairs:
        assert (batch.utterance_ids, batch.audio_s) == (expected.utterance_ids, expected.audio_s)
        assert batch.failed == expected.failed
        for name in ("input_features", "decoder_input_ids", "labels"):
            assert torch.equal(getattr(batch, name), getattr(expected, name))


def test_a_window_is_its_micro_batches_of_real_items(items: ClipItems, collator: Collator) -> None:
    loaded = windows(items, collator)
    assert [[len(batch.utterance_ids) for batch in window] for window in loaded] == [[2, 2], [2, 1]] * 2
    for first in (0, 2):
        names = [name for window in loaded[first : first + 2] for batch in window for name in batch.utterance_ids]
        assert sorted(names) == [f"clip-{index}" for index in range(7)]
    label_of = {clip.utterance_id: items.encoder.encode(clip.text).token_ids for clip in items.utterances}
    batch = loaded[0][0]
    labels = [label_of[name] for name in batch.utterance_ids]
    assert batch.labels.shape == (2, max(map(len, labels)) - 1)
    assert batch.labels[0].tolist()[: len(labels[0]) - 1] == list(labels[0][1:])
    assert batch.failed == []


def test_worker_processes_give_the_same_batches(items: ClipItems, collator: Collator) -> None:
    assert_same(windows(items, collator, num_workers=2), windows(items, collator))


def test_worker_processes_that_start_anew_give_the_same_batches(
    items: ClipItems, collator: Collator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as on macOS and Windows: what they are sent is the folder of the index, and they map it for themselves
    expected = windows(items, collator)
    monkeypatch.setattr(workers, "get_context", lambda: multiprocessing.get_context("spawn"))
    assert_same(windows(items, collator, num_workers=1), expected)


def test_a_resumed_loader_gives_the_rest(items: ClipItems, collator: Collator) -> None:
    assert_same(windows(items, collator, first_step=3), windows(items, collator)[2:])


def test_loading_does_not_move_the_generator_that_dropout_draws_from(items: ClipItems, collator: Collator) -> None:
    before = torch.get_rng_state()
    windows(items, collator)
    assert torch.equal(torch.get_rng_state(), before)


# -- recordings that can not be read when their turn comes


def of_epoch(loaded: list[list[Batch]]) -> tuple[list[str], list[FailedItem], list[list[int]]]:
    """Names, failures, and rows of each micro-batch of the first epoch."""
    batches = [batch for window in loaded[:2] for batch in window]
    return (
        sorted(name for batch in batches for name in batch.utterance_ids),
        [failed for batch in batches for failed in batch.failed],
        [[len(batch.utterance_ids) for batch in window] for window in loaded[:2]],
    )


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_file_that_vanishes_after_indexing_makes_its_batch_smaller(
    clip_files: ClipItems, collator: Collator, tmp_path: Path, num_workers: int
) -> None:
    everything, _, sizes = of_epoch(windows(clip_files, collator))
    (tmp_path / "clip-2.wav").unlink()
    loaded = windows(clip_files, collator, num_workers=num_workers)
    names, failed, smaller = of_epoch(loaded)
    assert names == [name for name in everything if name != "clip-2.wav"]
    assert failed == [FailedItem("clip-2.wav", "the file can't be reached (No such file or directory)")]
    assert sum(map(sum, smaller)) == sum(map(sum, sizes)) - 1 == 6
    for batch in itertools.chain(*loaded):
        rows = max(len(batch.utterance_ids), 1)
        assert len(batch.labels) == len(batch.input_features) == len(batch.decoder_input_ids) == rows


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file has changed since it was indexed (from "),
        (None, "the file has changed since it was indexed; start again"),
    ],
    ids=["cut to nothing", "overwritten in place"],
)
def test_a_file_that_is_another_than_was_indexed_is_left_out(
    clip_files: ClipItems, collator: Collator, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "clip-2.wav"
    path.write_bytes(b"x" * path.stat().st_size if content is None else content)
    names, failed, _ = of_epoch(windows(clip_files, collator))
    assert len(names) == 6
    assert [item.utterance_id for item in failed] == ["clip-2.wav"]
    assert failed[0].reason.startswith(reason)


def test_a_batch_of_which_nothing_can_be_read_is_an_empty_one(
    clip_files: ClipItems, collator: Collator, tmp_path: Path
) -> None:
    for path in tmp_path.glob("clip-*.wav"):
        path.unlink()
    for batch in itertools.chain(*windows(clip_files, collator)):
        assert (batch.utterance_ids, batch.audio_s) == ([], 0)
        assert batch.labels.tolist() == collator([]).labels.tolist()
        assert batch.failed
