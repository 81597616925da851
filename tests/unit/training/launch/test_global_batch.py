"""The split of the global batch: by hand-counted numbers, and what can't be split."""

from dataclasses import replace

import pytest

from accel_asr.config.training_settings import TrainingConfig
from accel_asr.training.launch.global_batch import divisors, split_global_batch
from tests.refusals import refused

GLOBAL = TrainingConfig(global_batch_size=96, per_device_train_batch_size=8)


def split(training: TrainingConfig, processes: int) -> tuple[int, int]:
    """(micro-batch, accumulation)."""
    result = split_global_batch(training, processes)
    return result.per_device_train_batch_size, result.gradient_accumulation_steps


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 12), (2, 6), (4, 3), (12, 1)])
def test_accumulation_follows_from_the_global_batch(processes: int, accumulation: int) -> None:
    assert split(GLOBAL, processes) == (8, accumulation)
    assert split(replace(GLOBAL, gradient_accumulation_steps=accumulation), processes) == (8, accumulation)


def test_nothing_changes_without_one() -> None:
    training = TrainingConfig(per_device_train_batch_size=5, gradient_accumulation_steps=3)
    assert split_global_batch(training, 7) is training


def test_auto_begins_with_the_whole_share_of_a_process() -> None:
    assert split(TrainingConfig(batch_size="auto", global_batch_size=96), 4) == (24, 1)
    by_the_others = TrainingConfig(batch_size="auto", per_device_train_batch_size=5, gradient_accumulation_steps=3)
    assert split(by_the_others, 4) == (15, 1)


@pytest.mark.parametrize(
    ("training", "processes", "nearest"),
    [
        (GLOBAL, 5, "give 80 or 120"),
        (GLOBAL, 13, "give 104"),
        (TrainingConfig(batch_size="auto", global_batch_size=96), 7, "give 91 or 98"),
    ],
)
def test_what_can_not_be_divided_names_the_nearest_that_can(
    training: TrainingConfig, processes: int, nearest: str
) -> None:
    with refused("--training.global_batch_size", f"{processes} processes", value=96, remedy=nearest) as caught:
        split_global_batch(training, processes)
    assert "keep it" not in str(caught.value)  # no micro-batch would


@pytest.mark.parametrize(("processes", "micro", "kept"), [(4, 16, 12), (2, 64, 48), (1, 17, 16), (96, 2, 1)])
def test_a_micro_batch_that_keeps_the_global_batch_is_named_first(processes: int, micro: int, kept: int) -> None:
    training = replace(GLOBAL, per_device_train_batch_size=micro)
    remedy = f"keep it with --training.per_device_train_batch_size {kept}, or give "
    with refused("--training.global_batch_size", value=96, remedy=remedy):
        split_global_batch(training, processes)
    split_global_batch(replace(training, per_device_train_batch_size=kept), processes)


def test_accumulation_that_disagrees_is_refused() -> None:
    training = replace(GLOBAL, gradient_accumulation_steps=4)
    with refused("--training.gradient_accumulation_steps", "2 processes x 4 x 8 = 64", value=4, remedy="is 6 here"):
        split_global_batch(training, 2)


def test_divisors_are_ascending() -> None:
    assert [divisors(number) for number in (1, 12, 17)] == [[1], [1, 2, 3, 4, 6, 12], [1, 17]]
