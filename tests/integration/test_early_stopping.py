"""Early stopping on two ranks: killed in between, it ends where it should, as a whole run does, and stays ended."""

import json

import pytest

from tests.integration.test_resume import KILL
from tests.integration.tones import RESUME, TOPOLOGIES, TonesJob

# evaluated after steps 3, 6, 9 of 12: no gain is large enough, so the second and third are without one
RULE = ("--training.early_stopping_patience", "2", "--training.early_stopping_threshold", "50")


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """Killed in step 8, with the checkpoint of step 6 behind it; resumed; and resumed once more."""
    killed = {"moment": "step", "rank": -1, **KILL, "count": 16}
    plan = [tones.launch("early", TOPOLOGIES[2], *RULE, ends=killed)]
    plan += [tones.launch("early", TOPOLOGIES[2], *RULE, *RESUME)] * 2
    assert tones.run_plan(plan) == [[-KILL["signal"]] * 2, [0, 0], [0, 0]], tones.logs(plan)
    return tones


def test_it_ends_after_two_evaluations_without_a_gain_and_has_trained_as_ever_until_then(job: TonesJob) -> None:
    whole = job.whole_run(TOPOLOGIES[2])
    for kind, expected in (("train", 9), ("eval", 4)):  # with the baseline
        assert job.metrics("early", kind) == job.metrics(whole, kind)[:expected]
    [line] = job.metrics("early", "early_stop")
    assert (line["step"], line["last_step"], line["evaluations"], line["threshold"]) == (9, 12, 2, 50)
    assert max(path.name for path in (job.run_dir("early") / "checkpoints").iterdir()) == "step-00000009"
    assert json.loads((job.run_dir("early") / "summary.json").read_text())["last"]["step"] == 9
    assert (job.run_dir("early") / "last").is_dir()


def test_the_console_says_so(job: TonesJob) -> None:
    said = job.said_in_one_line("early")
    assert said.count("stopped early, after step 9 of 12") == 2  # and again when it was resumed with nothing to do
    assert "resumed after step 9 of 12" in said
