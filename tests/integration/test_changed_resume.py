"""Resumed with other settings: refused or allowed, longer, by another yardstick; and a run whose weights are ruined."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.tones import TonesJob

ONE = (1, 4, 2)
SHORT = ("--evaluation.eval_steps", "2", "--training.lr_scheduler_type", "linear", "--training.max_steps")
RESUME = ("--checkpoint.resume", "true")
ALLOWED = (*RESUME, "--checkpoint.allow_changes", "true")
RUINOUS = ("--training.learning_rate", "1", "--training.weight_decay", "1e39", "--training.warmup_steps", "0")
CACHED = (
    "--model.freeze_encoder",
    "true",
    "--model.cache_encoder_outputs",
    "true",
    "--evaluation.eval_on_start",
    "false",
)


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """Two steps; then, each time from there, another way to go on."""
    first = tones.launch("changed", ONE, *SHORT, "2")
    assert tones.run_plan([first]) == [[0]]
    ways = {
        "longer": (*SHORT, "4", *RESUME),
        "over": (*SHORT, "1", *RESUME),
        "refused": (*SHORT, "4", *RESUME, *RUINOUS, "--evaluation.normalizer", "none"),
        "ruined": (*SHORT, "4", *ALLOWED, *RUINOUS),
        "measured": (*SHORT, "4", *ALLOWED, "--evaluation.normalizer", "none"),
        "finished": (*SHORT, "2", *ALLOWED, "--evaluation.normalizer", "none"),
        "ruined-cached": (*SHORT, "2", *CACHED, *RUINOUS),
    }
    plan = []
    for name, settings in ways.items():
        plan.append(tones.launch(name, ONE, *settings))
        if "cached" not in name:
            shutil.copytree(tones.run_dir("changed"), tones.run_dir(name))
    codes = tones.run_plan(plan)
    assert dict(zip(ways, codes, strict=True)) == {
        "longer": [0],
        "over": [2],
        "refused": [2],
        "ruined": [2],
        "measured": [0],
        "finished": [0],
        "ruined-cached": [2],
    }, tones.logs(plan)
    # nothing has changed since, but its best model is gone
    shutil.copytree(tones.run_dir("finished"), tones.run_dir("best lost"))
    shutil.rmtree(tones.run_dir("best lost") / "best")
    lost = tones.launch("best lost", ONE, *SHORT, "2", *RESUME, "--evaluation.normalizer", "none")
    assert tones.run_plan([lost]) == [[0]], tones.logs([lost])
    return tones


def said(job: TonesJob, name: str) -> str:
    return " ".join(job.said(name).split())


def test_a_run_made_longer_goes_on_and_says_what_becomes_of_the_learning_rate(job: TonesJob) -> None:
    assert "the run is made longer: it ends at step 4, and was to end at 2" in said(job, "longer")
    # warmup ends at step 3: in neither plan has the fall begun; step 3 is the peak, and step 4 half of it
    assert "resumed after step 2 of 4" in said(job, "longer")
    rates = [line["learning_rate"] for line in job.metrics("longer", "train")]
    assert rates == pytest.approx([1e-4 / 3, 2e-4 / 3, 1e-4, 5e-5])
    assert json.loads((job.run_dir("longer") / "summary.json").read_text())["last"]["step"] == 4


def test_a_run_made_shorter_than_it_is_already_is_refused(job: TonesJob) -> None:
    assert "--training.max_steps 1: ends the run at step 1" in said(job, "over")
    assert "already after step 2" in said(job, "over")


def test_all_changes_are_refused_in_one_message_and_nothing_is_lost(job: TonesJob) -> None:
    told = said(job, "refused")
    for line in (
        "training.learning_rate: 0.0001 -> 1",
        "training.weight_decay: 0.0 -> 1e+39",
        "training.warmup_steps: 3 -> 0",
        "evaluation.normalizer: basic -> none",
        "--checkpoint.allow_changes true",
    ):
        assert line in told
    assert "Traceback" not in told
    assert job.metrics("refused") == job.metrics("changed")


@pytest.mark.parametrize("name", ["ruined", "ruined-cached"])
def test_weights_that_are_not_finite_are_neither_scored_nor_kept(job: TonesJob, name: str) -> None:
    told = said(job, name)
    # found by the next loss, or, where an evaluation comes first, by looking
    assert f"the weights are not finite after the update of step {3 if name == 'ruined' else 1}" in told
    assert "--training.learning_rate (now 1)" in told
    assert "--training.weight_decay (now 1e+39)" in told
    assert "Traceback" not in told
    assert [line["step"] for line in job.metrics(name, "eval")] == ([0, 2] if name == "ruined" else [])
    checkpoints = sorted(path.name for path in (job.run_dir(name) / "checkpoints").glob("*"))
    if name == "ruined":
        assert "resume from 'run/checkpoints/step-00000002'" in told
        assert checkpoints == ["step-00000002"]
        for folder in ("best", "last"):  # those of the first two steps
            weights = load_file(job.run_dir(name) / folder / "model.safetensors")
            assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())
    else:
        assert "there is no checkpoint before it" in told
        assert checkpoints == []
        assert not (job.run_dir(name) / "best").exists()
        assert not (job.run_dir(name) / "last").exists()


def test_scores_of_two_yardsticks_never_stand_side_by_side(job: TonesJob) -> None:
    told = said(job, "measured")
    assert "allowed: evaluation.normalizer: basic -> none" in told
    assert "best/ is chosen anew" in told
    summary = json.loads((job.run_dir("measured") / "summary.json").read_text())
    steps = {name: record["step"] for name, record in summary.items()}
    assert (set(steps), steps["last"]) == ({"best", "last"}, 4)  # no baseline, and a best of the two that are alike
    evaluated = [line["step"] for line in job.metrics("measured", "eval")]
    assert evaluated == [0, 2, 2, 4]  # that of step 2 again, as it is measured now


def test_a_finished_run_that_is_measured_otherwise_is_saved_so(job: TonesJob) -> None:
    assert [line["step"] for line in job.metrics("finished", "eval")] == [0, 2, 2]
    told = said(job, "best lost")  # begun from it, and with no leave to change anything
    assert "resumed after step 2 of 2" in told
    assert "normalizer" not in told


def test_a_best_model_that_is_lost_is_chosen_anew(job: TonesJob) -> None:
    assert "the best model so far, of step 2, is lost" in said(job, "best lost")
    assert (job.run_dir("best lost") / "best" / "model.safetensors").is_file()
    assert json.loads((job.run_dir("best lost") / "summary.json").read_text())["best"]["step"] == 2
