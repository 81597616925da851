"""Micro-batches by what memory holds: the update, the run and its resumption are those of the numbers given by hand."""

import signal

import pytest
import yaml

from tests.integration.tones import RESUME, TonesJob

BY_HAND = (2, 2, 2)  # (processes, micro-batch, accumulation)
ONE_MICRO_BATCH = (2, 4, 1)
AUTO = ("--training.batch_size", "auto")
STOP = {"moment": "step", "count": 9, "signal": int(signal.SIGTERM), "rank": 1}  # in the fifth of 12 steps


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """A run whose second rank holds 3 rows, stopped, and resumed where both hold 4."""
    plan = [
        tones.launch("auto", ONE_MICRO_BATCH, *AUTO, fits=[4, 3], ends=STOP),
        tones.launch("auto", ONE_MICRO_BATCH, *AUTO, *RESUME, fits=[4, 4]),
    ]
    assert tones.run_plan(plan) == [[75, 75], [0, 0]], tones.logs(plan)
    return tones


def test_a_found_micro_batch_trains_bit_for_bit_as_one_given_by_hand(job: TonesJob) -> None:
    by_hand = job.whole_run(BY_HAND)
    assert job.metrics("auto") == job.metrics(by_hand)
    job.assert_equal_weights("auto", by_hand)
    assert job.ledger("auto") == job.ledger(by_hand)


def test_what_was_found_is_said_and_recorded(job: TonesJob) -> None:
    said = job.said_in_one_line("auto")
    assert said.count("training.batch_size: auto: 2 processes x 2 x 2 = 8") == 2
    assert "bit for bit" not in said  # the resumed run has the split of its checkpoint
    training = yaml.safe_load((job.run_dir("auto") / "config.yaml").read_text())["training"]
    found = ("batch_size", "per_device_train_batch_size", "gradient_accumulation_steps")
    assert [training[name] for name in found] == [None, 2, 2]
