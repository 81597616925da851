"""Windows of mixtures, of like lengths and of seconds: the same on any topology, nothing lost, any step at once."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accel_asr.data.order import epoch_order
from accel_asr.data.order.epoch_order import WindowPlan, rows_of_each_part
from tests.refusals import refused

ROWS = 61
DURATIONS_S = np.random.default_rng(8).uniform(0.3, 9.0, ROWS).round(2)
WINDOW_S = 48.0
PARTS, WEIGHTS = (40, 16, 5), (1.0, 2.0, 1.0)
TOPOLOGIES = [(1, 1), (2, 1), (1, 4), (2, 2), (4, 2), (3, 1)]  # processes, accumulation steps
ORDERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixture": {"part_sizes": PARTS, "weights": WEIGHTS},
    "by length": {"group_by_length": True},
    "mixture by length": {"part_sizes": PARTS, "weights": WEIGHTS, "group_by_length": True},
    "seconds": {"batch_seconds": WINDOW_S},
    "seconds by length": {"batch_seconds": WINDOW_S, "group_by_length": True},
    "mixture of seconds": {"part_sizes": PARTS, "weights": WEIGHTS, "batch_seconds": WINDOW_S},
}
BY_SECONDS = [name for name, order in ORDERS.items() if "batch_seconds" in order]


def plan(
    name: str = "plain", processes: int = 1, accumulation: int = 1, *, drop_last: bool = False, **more: Any
) -> WindowPlan:
    """Of 24 rows in a window, or of `WINDOW_S` seconds, dealt to so many processes in so many steps."""
    order = {**ORDERS[name], **more}
    if "batch_seconds" in order:
        order["batch_seconds"] /= processes * accumulation
    return WindowPlan(
        **{
            "num_rows": ROWS,
            "micro_batch_size": 24 // (processes * accumulation),
            "seed": 5,
            "durations_s": DURATIONS_S,
            **order,
        },
        accumulation_steps=accumulation,
        num_processes=processes,
        drop_last=drop_last,
    )


def of_epoch(a_plan: WindowPlan, epoch: int) -> list[list[int]]:
    """The windows of an epoch."""
    first = a_plan.last_step(epoch) + 1
    return [a_plan.window(step).tolist() for step in range(first, first + a_plan.steps_in(epoch))]


def rows_of(windows: list[list[int]]) -> list[int]:
    return list(itertools.chain(*windows))


def seconds_of(rows: list[int]) -> float:
    return float(DURATIONS_S[rows].sum())


# -- all orders


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("drop_last", [False, True])
def test_windows_are_the_same_on_every_topology_and_dealt_out_whole(name: str, drop_last: bool) -> None:
    topologies = [topology for topology in TOPOLOGIES if name not in BY_SECONDS or np.prod(topology) <= 4]
    plans = [plan(name, *topology, drop_last=drop_last) for topology in topologies]
    last_step = plans[0].last_step(3)
    for a_plan in plans:
        assert a_plan.last_step(3) == last_step
        assert a_plan.order_checksum == plans[0].order_checksum
        for step in range(1, last_step + 1):
            expected = plans[0].window(step).tolist()
            assert a_plan.window(step).tolist() == expected
            assert a_plan.in_one_piece().window(step).tolist() == expected
            dealt = [a_plan.micro_batches(step, rank) for rank in range(a_plan.num_processes)]
            assert [len(mine) for mine in dealt] == [a_plan.accumulation_steps] * a_plan.num_processes
            keys = [key for mine in dealt for micro_batch in mine for key in micro_batch]
            assert sorted(row for _, row in keys) == sorted(expected)
            assert {epoch for epoch, _ in keys} == {a_plan.epoch_of(step)}


@pytest.mark.parametrize("name", ORDERS)
def test_a_step_is_the_same_whether_others_were_asked_for_before_it_or_not(name: str) -> None:
    in_order = plan(name, 2, 2)
    last_step = in_order.last_step(6)
    expected = {step: in_order.micro_batches(step, 1) for step in range(1, last_step + 1)}
    backwards = plan(name, 2, 2)
    for step in range(last_step, 0, -1):
        assert backwards.micro_batches(step, 1) == expected[step]
    for step in (1, last_step // 2, last_step):  # as after a resume
        assert plan(name, 2, 2).micro_batches(step, 1) == expected[step]


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("drop_last", [False, True])
def test_steps_and_epochs_are_counted_alike_everywhere(name: str, drop_last: bool) -> None:
    a_plan = plan(name, drop_last=drop_last)
    step = 0
    assert a_plan.epochs_at(0) == 0.0
    for epoch in range(5):
        assert a_plan.last_step(epoch) == step
        for window in range(a_plan.steps_in(epoch)):
            step += 1
            is_last = window + 1 == a_plan.steps_in(epoch)
            assert a_plan.locate(step) == (epoch, window)
            assert a_plan.epoch_of(step) == epoch
            assert a_plan.ends_epoch(step) == is_last
            assert a_plan.epochs_at(step) == pytest.approx(epoch + (window + 1) / a_plan.steps_in(epoch))
        assert a_plan.epochs_at(step) == epoch + 1
    assert a_plan.steps_per_epoch == a_plan.steps_in(0)


@pytest.mark.parametrize("name", [name for name in ORDERS if "mixture" not in name])
def test_each_row_comes_once_an_epoch_in_an_order_of_its_own(name: str) -> None:
    epochs = [rows_of(of_epoch(plan(name), epoch)) for epoch in range(3)]
    assert all(sorted(rows) == list(range(ROWS)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 3
    assert rows_of(of_epoch(plan(name, seed=6), 0)) != epochs[0]


def test_each_order_and_each_setting_of_it_has_a_checksum_of_its_own() -> None:
    plans = [plan(name) for name in ORDERS]
    plans += [plan(drop_last=True), plan("mixture", weights=(2.0, 2.0, 1.0)), plan("mixture", part_sizes=(41, 15, 5))]
    assert len({a_plan.order_checksum for a_plan in plans}) == len(plans)
    assert plan(part_sizes=PARTS).order_checksum == plan().order_checksum  # without weights they mean nothing


# -- mixtures


def counts_of(rows: list[int], parts: tuple[int, ...]) -> list[int]:
    return np.bincount(np.digitize(rows, np.cumsum(parts)), minlength=len(parts)).tolist()


@pytest.mark.parametrize(
    ("sizes", "weights", "counts"),
    [
        ((40, 16, 5), (1, 2, 1), [15, 31, 15]),  # 15.25, 30.5, 15.25: the rest goes to the largest fraction
        ((10, 10), (1, 1), [10, 10]),
        ((10, 10), (3, 1), [15, 5]),
        ((90, 10), (0.5, 0.5), [50, 50]),
        ((1, 1, 1), (1, 1, 1), [1, 1, 1]),
        ((7, 3), (7, 3), [7, 3]),
        ((5, 5), (1e-9, 1), [0, 10]),
    ],
)
def test_an_epoch_is_as_long_as_all_parts_and_shared_by_weight(
    sizes: tuple[int, ...], weights: tuple[float, ...], counts: list[int]
) -> None:
    assert rows_of_each_part(sizes, weights) == counts


@pytest.mark.parametrize("name", ["mixture", "mixture by length", "mixture of seconds"])
def test_each_epoch_holds_as_many_rows_of_each_part_as_its_weight_says(name: str) -> None:
    for epoch in range(8):
        rows = rows_of(of_epoch(plan(name), epoch))
        assert len(rows) == ROWS
        assert counts_of(rows, PARTS) == rows_of_each_part(PARTS, WEIGHTS) == [15, 31, 15]
        assert np.bincount(rows, minlength=ROWS)[:40].max() == 1  # 15 of 40
        assert set(np.bincount(rows, minlength=ROWS)[40:56]) == {1, 2}  # 31 of 16
        assert set(np.bincount(rows, minlength=ROWS)[56:]) == {3}  # 15 of 5


def test_epochs_take_turns_through_a_part_that_is_larger_than_its_share() -> None:
    taken = [set(rows_of(of_epoch(plan("mixture"), epoch))) & set(range(40)) for epoch in range(12)]
    for first in range(0, 12, 2):  # 15 of 40: two epochs to a turn
        assert len(taken[first] | taken[first + 1]) == 30
    assert set.union(*taken) == set(range(40))
    more_than_once = [np.bincount(rows_of(of_epoch(plan("mixture"), epoch)))[40:56] == 2 for epoch in range(8)]
    assert (np.sum(more_than_once, axis=0) > 0).all()  # nor is it the same rows that come once more


def test_parts_are_shuffled_among_each_other() -> None:
    windows = of_epoch(plan("mixture"), 0)
    assert all(min(counts_of(window, PARTS)) > 0 for window in windows[:2])


def test_a_part_whose_share_is_less_than_one_utterance_is_refused_by_number() -> None:
    with refused("--data.sources", "source 3 (weight 0.001)", "61", remedy="more weight"):
        plan("mixture", weights=(1.0, 1.0, 0.001))


# -- windows of like length


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("pair", [("plain", "by length"), ("mixture", "mixture by length")])
def test_grouping_by_length_leaves_out_no_others_than_the_shuffle_does(pair: tuple[str, str], drop_last: bool) -> None:
    # were the rows sorted first, the shortest would be in the last window, and left out, in every epoch
    plain, grouped = (plan(name, drop_last=drop_last, micro_batch_size=8) for name in pair)
    for epoch in range(4):
        assert sorted(rows_of(of_epoch(grouped, epoch))) == sorted(rows_of(of_epoch(plain, epoch)))


def test_grouping_seconds_by_length_leaves_out_other_rows_each_epoch() -> None:
    plans = [plan(name, drop_last=True) for name in ("seconds", "seconds by length")]
    left_out = [
        [frozenset(range(ROWS)) - set(rows_of(of_epoch(a_plan, epoch))) for epoch in range(6)] for a_plan in plans
    ]
    assert left_out[0] == left_out[1]
    assert not frozenset.intersection(*left_out[1])


@pytest.mark.parametrize("name", ["by length", "seconds by length"])
def test_windows_hold_clips_of_like_length_in_no_order_of_length(name: str) -> None:
    grouped = plan(name, drop_last=True, micro_batch_size=6)
    windows = of_epoch(grouped, 0)

    def spread(windows: list[list[int]]) -> float:
        return float(np.mean([np.ptp(DURATIONS_S[window]) for window in windows]))

    assert spread(windows) < 0.3 * spread(of_epoch(plan(name, group_by_length=False, micro_batch_size=6), 0))
    means_s = [DURATIONS_S[window].mean() for window in windows]
    assert sorted(means_s) != means_s != sorted(means_s, reverse=True)
    orders = [np.argsort([DURATIONS_S[window].mean() for window in of_epoch(grouped, epoch)]) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 3


def test_only_so_many_windows_are_sorted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    # else epochs would be alike: a clip would always meet those that are next to it in length
    monkeypatch.setattr(epoch_order, "WINDOWS_SORTED_TOGETHER", 2)
    rows = rows_of(of_epoch(plan(), 0))
    grouped = of_epoch(plan("by length", micro_batch_size=6), 0)
    together = [sorted(rows[first : first + 12], key=lambda row: -DURATIONS_S[row]) for first in range(0, 60, 12)]
    expected = [tuple(piece[first : first + 6]) for piece in together for first in (0, 6)]
    assert {tuple(window) for window in grouped if len(window) == 6} == set(expected)


def test_a_short_last_window_stays_the_last() -> None:
    for epoch in range(6):
        sizes = [len(window) for window in of_epoch(plan("by length"), epoch)]
        assert sizes == [24, 24, 13]
        seconds = [seconds_of(window) for window in of_epoch(plan("seconds by length"), epoch)]
        plain = [seconds_of(window) for window in of_epoch(plan("seconds"), epoch)]
        assert seconds[-1] == pytest.approx(plain[-1])


# -- windows of seconds


@pytest.mark.parametrize("name", BY_SECONDS)
def test_no_window_is_longer_than_its_seconds_and_none_is_cut_short_without_need(name: str) -> None:
    for epoch in range(4):
        windows = of_epoch(plan(name), epoch)
        assert all(seconds_of(window) <= WINDOW_S + 1e-6 for window in windows)
        if name != "seconds by length":  # whose windows change places
            pairs = itertools.pairwise(windows)
            assert all(seconds_of(window) + DURATIONS_S[after[0]] > WINDOW_S for window, after in pairs)


def test_clips_just_as_long_as_a_micro_batch_fill_one_each() -> None:
    a_plan = plan("seconds", 2, 1, num_rows=4, durations_s=np.full(4, WINDOW_S / 2))
    assert [len(window) for window in of_epoch(a_plan, 0)] == [2, 2]
    assert [len(a_plan.micro_batches(1, rank)[0]) for rank in range(2)] == [1, 1]


@pytest.mark.parametrize("topology", [(2, 1), (2, 2), (4, 1)])
def test_micro_batches_are_about_equally_long(topology: tuple[int, int]) -> None:
    a_plan = plan("seconds", *topology)
    for step in range(1, a_plan.steps_in(0) + 1):
        slots = [
            seconds_of([row for _, row in micro_batch])
            for rank in range(a_plan.num_processes)
            for micro_batch in a_plan.micro_batches(step, rank)
        ]
        # the longest-first rule: two differ by no more than one clip
        assert max(slots) - min(slots) <= DURATIONS_S[a_plan.window(step)].max() + 1e-9


def test_the_last_window_is_left_out_or_kept_as_it_is_set() -> None:
    for name in ("seconds", "seconds by length"):
        for epoch in range(4):
            kept, dropped = (rows_of(of_epoch(plan(name, drop_last=drop), epoch)) for drop in (False, True))
            assert dropped == kept[: len(dropped)]
            assert 0 < len(kept) - len(dropped) < ROWS / 4


def test_a_steps_number_costs_no_more_in_a_late_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = epoch_order._make_windows

    def counted(a_plan: WindowPlan, epoch: int) -> epoch_order.EpochWindows:
        made.append(epoch)
        return make(a_plan, epoch)

    monkeypatch.setattr(epoch_order, "_make_windows", counted)
    a_plan = plan("seconds")
    last_step = a_plan.last_step(30)
    made.clear()
    for step in range(last_step - 3, last_step + 1):
        a_plan.micro_batches(step, 0)
        a_plan.ends_epoch(step)
        a_plan.epochs_at(step)
    assert made in ([], [29], [28, 29])


# -- what is refused


@pytest.mark.parametrize(
    ("make", "setting", "words"),
    [
        (lambda: plan("seconds", batch_seconds=5.0), "batch_seconds", ["longest utterance, 8.9"]),
        (
            lambda: plan("seconds", 2, 2, batch_seconds=4000.0, drop_last=True),
            "batch_seconds",
            ["4000 s (2 processes x 2 accumulation steps x 1000 s)", "61 training utterances", "dataloader_drop_last"],
        ),
        (
            lambda: plan("by length", 2, 2, num_rows=20, drop_last=True),
            "per_device_train_batch_size",
            ["24 utterances (2 processes x 2 accumulation"],
        ),
    ],
)
def test_windows_that_the_data_can_not_fill_are_refused(
    make: Callable[[], WindowPlan], setting: str, words: list[str]
) -> None:
    with refused(f"--training.{setting}", *words):
        make()


def test_few_seconds_are_one_short_window_where_the_last_is_kept() -> None:
    assert plan("seconds", batch_seconds=4000.0).steps_per_epoch == 1
    assert plan("seconds by length", batch_seconds=4000.0).steps_per_epoch == 1
    # half of a window is enough to be one
    assert plan("seconds", batch_seconds=1.5 * float(DURATIONS_S.sum()), drop_last=True).steps_per_epoch == 1
