"""Which rows are in which batch of training and evaluation. `order/test_epoch_order.py` tests the plan itself."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import EvaluationBatch, evaluation_batches, micro_batches
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.order.epoch_order import WindowPlan, epoch_order
from accel_asr.data.selection.utterances import Utterance


def plan(
    rows: int, processes: int = 1, accumulation: int = 1, micro: int = 8, *, drop_last: bool = False
) -> WindowPlan:
    return WindowPlan(
        num_rows=rows,
        micro_batch_size=micro,
        accumulation_steps=accumulation,
        num_processes=processes,
        seed=3,
        drop_last=drop_last,
    )


def test_the_reference_job_has_thirty_steps_an_epoch() -> None:
    reference = plan(450, 1, 1, 15, drop_last=True)
    assert (reference.window_size, reference.steps_per_epoch) == (15, 30)
    assert [reference.epoch_of(step) for step in (1, 30, 31, 60, 61, 900)] == [0, 0, 1, 1, 2, 29]


def test_dropping_the_last_window_leaves_out_other_rows_each_epoch() -> None:
    short = plan(19, drop_last=True)
    left_out = [set(range(19)) - {*short.window(step).tolist(), *short.window(step + 1).tolist()} for step in (1, 3, 5)]
    assert [len(rows) for rows in left_out] == [3, 3, 3]
    assert left_out[0] != left_out[1] or left_out[1] != left_out[2]


def test_the_shuffle_neither_reads_nor_moves_the_global_generators() -> None:
    before = epoch_order(40, 5, 5).tolist()
    np.random.seed(1)
    torch.manual_seed(1)
    numbers = np.random.random(), float(torch.rand(()))
    epoch_order.cache_clear()
    np.random.seed(1)
    torch.manual_seed(1)
    assert epoch_order(40, 5, 5).tolist() == before
    assert (np.random.random(), float(torch.rand(()))) == numbers


# -- the micro-batches of a rank


@pytest.mark.parametrize("geometry", [(1, 1, 8), (2, 2, 2)])
@pytest.mark.parametrize("first_step", [2, 7, 8, 13])
def test_starting_late_gives_the_rest_of_what_starting_at_first_gives(
    geometry: tuple[int, int, int], first_step: int
) -> None:
    a_plan = plan(50, *geometry)
    for rank in range(a_plan.num_processes):
        everything = list(micro_batches(a_plan, rank=rank, first_step=1, last_step=14))
        rest = list(micro_batches(a_plan, rank=rank, first_step=first_step, last_step=14))
        assert rest == everything[(first_step - 1) * a_plan.accumulation_steps :]
    assert len(everything) == 14 * a_plan.accumulation_steps


def test_starting_anywhere_costs_nothing_and_nothing_is_left_at_the_end() -> None:
    far = 10**12  # counted up to, it would never end
    (micro_batch,) = micro_batches(plan(50), rank=0, first_step=far, last_step=far)
    assert {epoch for epoch, _ in micro_batch} == {(far - 1) // 7}
    assert list(micro_batches(plan(50), rank=0, first_step=15, last_step=14)) == []


# -- evaluation


@pytest.fixture
def batches_of(encoder: LabelEncoder, model_and_processor):
    """`batches_of(durations_s, batch_size, prompts)`: the batches of an evaluation of utterances that are so long."""

    def make(durations_s: Sequence[float], batch_size: int, prompts: dict[int, str] | None = None):
        utterances = [
            Utterance(f"u{row}", "x", duration_s, Recording(None, 16_000), prompt=(prompts or {}).get(row))
            for row, duration_s in enumerate(durations_s)
        ]
        items = ClipItems(utterances, feature_extractor=model_and_processor[1].feature_extractor, encoder=encoder)
        return evaluation_batches(items, batch_size)

    return make


def rows_of(batches: Sequence[EvaluationBatch]) -> list[list[int]]:
    return [batch.rows for batch in batches]


@pytest.mark.parametrize(("rows", "batch_size"), [(7, 3), (6, 3), (1, 4), (113, 57)])
def test_evaluation_covers_each_row_once_longest_first(batches_of, rows: int, batch_size: int) -> None:
    durations_s = np.random.default_rng(0).integers(1, 5, rows).astype(float).tolist()
    batches = rows_of(batches_of(durations_s, batch_size))
    flat = [row for batch in batches for row in batch]
    assert sorted(flat) == list(range(rows))
    assert [durations_s[row] for row in flat] == sorted(durations_s, reverse=True)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)


def test_clips_of_equal_length_keep_their_order(batches_of) -> None:
    assert rows_of(batches_of([1.0, 2.0, 1.0, 2.0, 1.0], 2)) == [[1, 3], [0, 2], [4]]


def test_a_batch_of_an_evaluation_holds_rows_that_are_given_equally_many_tokens(
    batches_of, encoder: LabelEncoder
) -> None:
    prompts = {1: "pay", 3: "pay the bill", 4: "pay", 5: " "}
    batches = batches_of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, prompts)
    assert sorted(itertools.chain(*rows_of(batches))) == list(range(6))
    for batch in batches:
        for row in batch.rows:
            label = encoder.encode("x", prompt=prompts.get(row))
            assert batch.start_tokens == label.prompt_tokens + 4  # start, language, task, no timestamps
    assert rows_of(batches) == [[5, 2, 0], [4, 1], [3]]
