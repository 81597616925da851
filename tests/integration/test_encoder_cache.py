"""`model.cache_encoder_outputs`: training on kept outputs, resumed and dealt out, against the frozen encoder."""

import math

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.test_resume import KILL, RESUME, assert_ends_alike
from tests.integration.tones import TonesJob

ONE, TWO = (1, 4, 2), (2, 2, 2)
FROZEN = (
    *("--model.freeze_encoder", "true"),
    *("--evaluation.eval_on_start", "false"),
    *("--training.max_steps", "6"),
)
CACHED = (*FROZEN, "--model.cache_encoder_outputs", "true")


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """Two ranks fill the cache and train; then one process, whole and killed; without a cache; another model."""
    # the second micro-batch of step 5: the checkpoint of step 2 is whole by then, that of step 4 has waited for it
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


def test_losses_and_scores_are_those_of_the_frozen_encoder(job: TonesJob) -> None:
    for name in ("cached1", "cached2"):
        for line, expected in zip(job.metrics(name, "train"), job.metrics("frozen", "train"), strict=True):
            assert line["loss"] == pytest.approx(expected["loss"], abs=1e-4)  # float16 rounding; 2e-6 seen
        for line, expected in zip(job.metrics(name, "eval"), job.metrics("frozen", "eval"), strict=True):
            assert math.isclose(line["loss"], expected["loss"], abs_tol=1e-4)


def test_one_process_and_two_train_alike(job: TonesJob) -> None:
    weights, expected = (load_file(job.run_dir(run) / "last" / "model.safetensors") for run in ("cached2", "cached1"))
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=1e-5)


def test_a_resumed_run_ends_as_one_that_was_never_stopped(job: TonesJob) -> None:
    assert "resumed after step" in job.said("cached-killed")
    assert_ends_alike(job, "cached-killed", "cached1")


def test_a_run_does_not_go_on_without_the_cache_it_was_trained_on(job: TonesJob) -> None:
    assert "training data (checksum): " in " ".join(job.said("cached-killed").split())
