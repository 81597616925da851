"""What is held out: the last rows, a share, a count, or whole groups; seeded, disjoint, and never all or nothing."""

from collections.abc import Sequence

import numpy as np
import pytest

from accel_asr.data.selection.holdout import count_to_hold_out, split_first, split_groups, split_random
from tests.refusals import refused


def numbers(held: np.ndarray) -> tuple[list[int], list[int]]:
    """The rows that are trained on, and those that are held out."""
    assert held.dtype == bool
    return np.flatnonzero(~held).tolist(), np.flatnonzero(held).tolist()


def split(groups: Sequence[str | None], *, count: int, seed: int) -> tuple[np.ndarray, str]:
    return split_groups(
        groups, lambda: [f"u{row}" for row in range(len(groups))], count=count, seed=seed, column="speaker"
    )


def chosen(groups: Sequence[str | None], mask: np.ndarray) -> list[str | None]:
    return [group for group, is_chosen in zip(groups, mask, strict=True) if is_chosen]


# -- the first rows


def test_the_first_rows_train_and_the_rest_validate() -> None:
    train, validation = numbers(split_first(563, train_rows=450))
    assert (train, validation) == (list(range(450)), list(range(450, 563)))
    assert len(validation) == 113


# -- a share or a count


def test_a_share_is_rounded_and_a_count_taken_as_it_is() -> None:
    assert count_to_hold_out(100, eval_fraction=0.1, eval_rows=None) == 10
    assert count_to_hold_out(7, eval_fraction=0.4, eval_rows=None) == 3  # 2.8
    assert count_to_hold_out(10, eval_fraction=None, eval_rows=9) == 9


@pytest.mark.parametrize("rows", [10, 11])
def test_both_sides_need_something(rows: int) -> None:
    with refused("--data.train_rows", "only 10 utterances remain", value=rows, remedy="data.eval_fraction"):
        split_first(10, train_rows=rows)
    with refused("--data.eval_rows", "nothing to train on", value=rows, remedy="smaller"):
        count_to_hold_out(10, eval_fraction=None, eval_rows=rows)


@pytest.mark.parametrize(("rows", "share"), [(10, 0.01), (3, 0.95), (1, 0.5)])
def test_a_share_leaves_both_sides_something(rows: int, share: float) -> None:
    with refused("--data.eval_fraction", f"of {rows} utterances is ", value=share):
        count_to_hold_out(rows, eval_fraction=share, eval_rows=None)


def test_what_is_held_out_is_disjoint_complete_and_seeded() -> None:
    train, validation = numbers(split_random(100, count=10, seed=7))
    assert (len(train), len(validation)) == (90, 10)
    assert sorted(train + validation) == list(range(100))
    assert validation != list(range(10))
    assert numbers(split_random(100, count=10, seed=7)) == (train, validation)
    assert numbers(split_random(100, count=10, seed=8)) != (train, validation)


# -- whole groups

SPEAKERS = [f"s{index % 10}" for index in range(100)]


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides_and_all_utterances_are_there(seed: int) -> None:
    held, notice = split(SPEAKERS, count=30, seed=seed)
    assert set(chosen(SPEAKERS, ~held)) & set(chosen(SPEAKERS, held)) == set()
    train, validation = numbers(held)
    assert (len(train), len(validation)) == (70, 30)
    assert sorted(train + validation) == list(range(100))
    assert notice.startswith("held out 3 of 10 values of speaker (s")
    assert notice.endswith("): 30 utterances, where 30 were asked for")


def test_the_groups_follow_the_seed_and_not_the_order_of_the_rows() -> None:
    def held(seed: int, speakers: list[str]) -> set[str | None]:
        return set(chosen(speakers, split(speakers, count=30, seed=seed)[0]))

    assert held(1, SPEAKERS) == held(1, SPEAKERS[::-1])
    assert len({frozenset(held(seed, SPEAKERS)) for seed in range(8)}) > 4


@pytest.mark.parametrize("seed", range(8))
def test_groups_of_unequal_sizes_come_near_the_count(seed: int) -> None:
    speakers = ["a"] * 50 + ["b"] * 20 + ["c"] * 12 + ["d"] * 10 + ["e"] * 8
    validation = chosen(speakers, split(speakers, count=20, seed=seed)[0])
    assert 8 < len(validation) < 32
    assert "a" not in validation  # 50 is no nearer to 20 than nothing


@pytest.mark.parametrize("seed", range(4))
def test_groups_all_larger_than_asked_for_give_up_the_smallest(seed: int) -> None:
    speakers = ["a"] * 60 + ["b"] * 30 + ["c"] * 40
    held, notice = split(speakers, count=5, seed=seed)
    assert chosen(speakers, held) == ["b"] * 30
    assert notice == "held out 1 of 3 values of speaker (b): 30 utterances, where 5 were asked for"


@pytest.mark.parametrize("seed", range(4))
def test_a_group_is_always_left_to_train_on(seed: int) -> None:
    train, validation = numbers(split(["a"] + ["b"] * 99, count=90, seed=seed)[0])
    assert sorted([len(train), len(validation)]) == [1, 99]


@pytest.mark.parametrize(
    ("groups", "words"),
    [(["mary"] * 5, "all 5 utterances have the same value (mary)"), (["mary", None, "john"], "1 of 3 utterances (u1)")],
    ids=["one group", "a row without a group"],
)
def test_groups_that_can_not_be_split(groups: list[str | None], words: str) -> None:
    with refused("--data.group_column", *words.split(" "), value="speaker", remedy="leave out data.group_column"):
        split(groups, count=1, seed=0)
