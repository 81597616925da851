"""What a GPU run does to keep its GPU busy, on a CPU: the result of a step is read while the next one is made."""

import pytest

from accel_asr.training.stopping import STOPPED_EXIT_CODE
from tests.integration.tones import RESUME, TOPOLOGIES, TonesJob

FAILED_STEP = 5  # of 12; evaluations are due after 3, 6, 9, checkpoints after 2, 4, 6
NOT_FINITE_AT = 1 + 2 * FAILED_STEP - 1  # the first of the step's two; DDP settles its buckets with one before all
AT_STEP_5 = {"moment": "step", "count": 10, "signal": 15, "rank": 0}  # each step has two micro-batches


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    plan = [
        tones.launch("late", TOPOLOGIES[2], reads_late=True),
        tones.launch("late stop", TOPOLOGIES[1], ends=AT_STEP_5, reads_late=True),
        tones.launch("late stop", TOPOLOGIES[1], *RESUME, reads_late=True),
        tones.launch("late failure", TOPOLOGIES[2], not_finite_at=NOT_FINITE_AT, reads_late=True, grace_s=60),
        tones.launch("failure", TOPOLOGIES[2], not_finite_at=NOT_FINITE_AT, grace_s=60),
        tones.launch("waiting", TOPOLOGIES[1], "--training.optim", "adafactor", not_finite_at=2 * FAILED_STEP),
    ]
    assert tones.run_plan(plan) == [[0, 0], [STOPPED_EXIT_CODE], [0], [2, 2], [2, 2], [2]], tones.logs(plan)
    return tones


def test_weights_and_lines_are_those_of_a_run_that_reads_at_once(job: TonesJob) -> None:
    expected = job.whole_run(TOPOLOGIES[2])
    assert job.metrics("late") == job.metrics(expected)
    job.assert_equal_weights("late", expected)


def test_a_stop_settles_the_step_before_it_saves(job: TonesJob) -> None:
    expected = job.whole_run(TOPOLOGIES[1])
    assert "stopped after step 5 of 12" in job.said("late stop")
    assert job.metrics("late stop") == job.metrics(expected)
    job.assert_equal_weights("late stop", expected)


def test_a_step_that_fails_ends_the_run_with_the_same_words_and_files(job: TonesJob) -> None:
    message = job.said_in_one_line("late failure")
    [trained] = job.ledger("late failure")[FAILED_STEP, 1]
    assert f"step {FAILED_STEP} could not be taken" in message
    assert [utterance in message for utterance in trained] == [True, True, False, False]  # the micro-batch
    assert message.split("error: ")[1] == job.said_in_one_line("failure").split("error: ")[1]
    assert job.metrics("late failure") == job.metrics("failure")
    assert job.metrics("late failure", "train")[-1]["step"] == FAILED_STEP - 1
    checkpoints = [path.name for path in (job.run_dir("late failure") / "checkpoints").iterdir()]
    assert max(checkpoints) == f"step-{FAILED_STEP - 1:08d}"
    assert FAILED_STEP + 1 in {step for step, _ in job.ledger("late failure")}  # it had been started


def test_an_optimizer_that_a_gpu_can_not_stop_fails_with_the_same_words(job: TonesJob) -> None:
    message = job.said_in_one_line("waiting")
    assert f"step {FAILED_STEP} could not be taken: loss inf, gradient norm nan; the utterances of the batch" in message
    assert "Traceback" not in message
    assert job.metrics("waiting", "train")[-1]["step"] == FAILED_STEP - 1
