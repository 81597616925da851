"""Which rows are in which batch: each once an epoch, the same window on any topology, any step at once."""

import itertools
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import ClipItems, EvaluationBatch, evaluation_batches, micro_batches
from accel_asr.data.order.window_plan import WindowPlan, epoch_order
from accel_asr.data.selection.utterances import Utterance
from accel_asr.errors import UserError

GEOMETRIES = [  # processes, accumulation steps, micro-batch; all with a global batch of 8
    (1, 1, 8),
    (1, 2, 4),
    (2, 1, 4),
    (2, 2, 2),
    (2, 4, 1),
    (8, 1, 1),
    (1, 8, 1),
]


def plan(
    rows: int, processes: int = 1, accumulation: int = 1, micro: int = 8, *, drop_last: bool = False, seed: int = 3
) -> WindowPlan:
    return WindowPlan(
        num_rows=rows,
        micro_batch_size=micro,
        accumulation_steps=accumulation,
        num_processes=processes,
        seed=seed,
        drop_last=drop_last,
    )


def rows_of_step(a_plan: WindowPlan, step: int) -> list[int]:
    return [
        row
        for rank in range(a_plan.num_processes)
        for micro_batch in a_plan.micro_batches(step, rank)
        for _, row in micro_batch
    ]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("rows", [8, 9, 15, 16, 50])
def test_every_row_is_trained_on_exactly_once_an_epoch(rows: int, geometry: tuple[int, int, int]) -> None:
    a_plan = plan(rows, *geometry)
    assert a_plan.steps_per_epoch == -(-rows // 8)
    for epoch in range(3):
        steps = range(epoch * a_plan.steps_per_epoch + 1, (epoch + 1) * a_plan.steps_per_epoch + 1)
        assert sorted(itertools.chain(*(rows_of_step(a_plan, step) for step in steps))) == list(range(rows))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_dropping_the_last_window_leaves_out_other_rows_each_epoch(geometry: tuple[int, int, int]) -> None:
    a_plan = plan(19, *geometry, drop_last=True)
    assert a_plan.steps_per_epoch == 2
    left_out = []
    for epoch in range(4):
        trained = rows_of_step(a_plan, 2 * epoch + 1) + rows_of_step(a_plan, 2 * epoch + 2)
        assert len(trained) == len(set(trained)) == 16
        left_out.append(frozenset(range(19)) - set(trained))
    assert len(set(left_out)) > 1


def test_a_window_is_the_same_rows_however_it_is_dealt_out() -> None:
    for step in range(1, 15):  # two epochs of 50 rows, with a short last window
        windows = {tuple(sorted(rows_of_step(plan(50, *geometry), step))) for geometry in GEOMETRIES}
        assert len(windows) == 1
        assert len(windows.pop()) == (2 if step % 7 == 0 else 8)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_rank_makes_the_same_number_of_passes_even_when_rows_run_out(geometry: tuple[int, int, int]) -> None:
    processes, accumulation, micro = geometry
    a_plan = plan(9, *geometry)
    for step in (1, 2):
        dealt = [a_plan.micro_batches(step, rank) for rank in range(processes)]
        assert [len(micro_batches) for micro_batches in dealt] == [accumulation] * processes
        assert all(len(micro_batch) <= micro for micro_batches in dealt for micro_batch in micro_batches)


def test_the_reference_job_has_thirty_steps_an_epoch() -> None:
    reference = plan(450, 1, 1, 15, drop_last=True)
    assert (reference.window_size, reference.steps_per_epoch) == (15, 30)
    assert [reference.epoch_of(step) for step in (1, 30, 31, 60, 61, 900)] == [0, 0, 1, 1, 2, 29]


def test_a_global_batch_larger_than_the_data_is_explained() -> None:
    with pytest.raises(UserError) as caught:
        plan(63, 2, 4, 8, drop_last=True)
    told = str(caught.value)
    assert told.startswith("training.per_device_train_batch_size: the global batch of 64 utterances")
    assert "(2 processes x 4 accumulation steps x 8) is larger than the 63 training utterances" in told
    assert plan(63, 2, 4, 8, drop_last=False).steps_per_epoch == 1


# -- the shuffle


def test_epochs_are_different_permutations_and_seeds_different_runs() -> None:
    orders = [tuple(epoch_order(40, seed, epoch)) for seed in (0, 1) for epoch in range(3)]
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert len(set(orders)) == 6
    assert tuple(epoch_order(40, 0, 0)) == orders[0]


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


def test_starting_anywhere_costs_nothing() -> None:
    a_plan = plan(50)
    far = 10**12
    started_s = time.perf_counter()
    (micro_batch,) = micro_batches(a_plan, rank=0, first_step=far, last_step=far)
    assert time.perf_counter() - started_s < 1.0
    assert {epoch for epoch, _ in micro_batch} == {(far - 1) // 7}


def test_nothing_is_left_when_all_steps_are_done() -> None:
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


def test_ranks_take_the_same_batches_in_turn(batches_of) -> None:
    batches = rows_of(batches_of([float(row % 5) for row in range(23)], 4))
    for processes in (1, 2, 3, 8):
        dealt = [batches[rank::processes] for rank in range(processes)]
        assert sorted(itertools.chain(*dealt)) == sorted(batches)


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
