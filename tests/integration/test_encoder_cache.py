"""`model.cache_encoder_outputs`: training on cached outputs, on two processes and resumed, as on a frozen encoder."""

import pytest

from tests.integration.test_resume import KILL, assert_ends_alike
from tests.integration.tones import RESUME, TonesJob

ONE, TWO = (1, 4, 2), (2, 2, 2)
FROZEN = ("--model.freeze", "[encoder]", "--evaluation.eval_on_start", "false", "--training.max_steps", "6")
CACHED = (*FROZEN, "--model.cache_encoder_outputs", "true")


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """Two ranks fill the cache and train; then one process, whole and killed; and without a cache."""
    # the second micro-batch of step 5: the checkpoint of step 2 is complete, that of step 4 has waited for it
    killed = {"moment": "step", "rank": 0, **KILL, "count": 10}
    plan = [
        tones.launch("cached2", TWO, *CACHED),
        tones.launch("cached1", ONE, *CACHED),
        tones.launch("cached-killed", ONE, *CACHED, ends=killed),
        tones.launch("cached-killed", ONE, *CACHED, *RESUME),
        tones.launch("frozen", ONE, *FROZEN),
        tones.launch("cached-killed", ONE, *FROZEN, *RESUME),
    ]
    codes = tones.run_plan(plan)
    assert codes == [[0, 0], [0], [-KILL["signal"]], [0], [0], [2]], tones.said("cached-killed")
    return tones


def test_the_cache_is_filled_by_the_first_run_and_used_by_the_next(job: TonesJob) -> None:
    assert "GB in " in job.said("cached2")
    # not a number: the other rank may have begun to fill it when the first one looks
    assert " of 27 clips are there, the others are computed before training" in job.said("cached2")
    assert "(float16), 27 of 27 clips are there" in job.said("cached1")


@pytest.mark.parametrize("name", ["cached1", "cached2"])
def test_losses_and_scores_are_those_of_the_frozen_encoder(job: TonesJob, name: str) -> None:
    for kind in ("train", "eval"):
        for line, expected in zip(job.metrics(name, kind), job.metrics("frozen", kind), strict=True):
            assert line["loss"] == pytest.approx(expected["loss"], abs=1e-4)  # float16 rounding; 2e-6 seen


def test_one_process_and_two_train_alike(job: TonesJob) -> None:
    job.assert_close_weights("cached2", "cached1")


def test_a_resumed_run_ends_as_one_that_was_never_stopped(job: TonesJob) -> None:
    assert "resumed after step" in job.said("cached-killed")
    assert_ends_alike(job, "cached-killed", "cached1")


def test_a_run_is_not_resumed_without_its_cache(job: TonesJob) -> None:
    assert "training data (checksum): " in job.said_in_one_line("cached-killed")
