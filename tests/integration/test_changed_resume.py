"""Resuming with other settings: refused or allowed, longer, or scored by other rules; and weights that are ruined."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.tones import RESUME, TonesJob

ONE = (1, 4, 2)
SHORT = ("--evaluation.eval_steps", "2", "--training.lr_scheduler_type", "linear", "--training.max_steps")
ALLOWED = (*RESUME, "--checkpoint.allow_changes", "true")
RUINOUS = ("--training.learning_rate", "1", "--training.weight_decay", "1e39", "--training.warmup_steps", "0")
CACHED = (
    "--model.freeze",
    "[encoder]",
    "--model.cache_encoder_outputs",
    "true",
    "--evaluation.eval_on_start",
    "false",
)


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """Two steps; then, from there each time, another way to resume."""
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
    # nothing has changed since, but its best model is missing
    lost = tones.launch("best lost", ONE, *SHORT, "2", *RESUME, "--evaluation.normalizer", "none")
    shutil.copytree(tones.run_dir("finished"), tones.run_dir("best lost"))
    shutil.rmtree(tones.run_dir("best lost") / "best")
    assert tones.run_plan([lost]) == [[0]], tones.logs([lost])
    return tones


def test_a_run_made_longer_goes_on_and_says_what_becomes_of_the_learning_rate(job: TonesJob) -> None:
    assert "the run is made longer: it ends at step 4, and was to end at 2" in job.said_in_one_line("longer")
    # warmup ends at step 3: in neither plan has the fall begun; step 3 is the peak, and step 4 half of it
    assert "resumed after step 2 of 4" in job.said_in_one_line("longer")
    rates = [line["learning_rate"] for line in job.metrics("longer", "train")]
    assert rates == pytest.approx([1e-4 / 3, 2e-4 / 3, 1e-4, 5e-5])
    assert json.loads((job.run_dir("longer") / "summary.json").read_text())["last"]["step"] == 4


def test_a_run_made_shorter_than_it_is_already_is_refused(job: TonesJob) -> None:
    message = job.said_in_one_line("over")
    for words in ("--training.max_steps 1", "at step 1", "after step 2"):
        assert words in message


def test_all_changes_are_refused_in_one_message_and_nothing_is_lost(job: TonesJob) -> None:
    message = job.said_in_one_line("refused")
    for line in (
        "training.learning_rate: 0.0001 -> 1",
        "training.weight_decay: 0.0 -> 1e+39",
        "training.warmup_steps: 3 -> 0",
        "evaluation.normalizer: basic -> none",
        "--checkpoint.allow_changes true",
    ):
        assert line in message
    assert "Traceback" not in message
    assert job.metrics("refused") == job.metrics("changed")


@pytest.mark.parametrize("name", ["ruined", "ruined-cached"])
def test_weights_that_are_not_finite_are_neither_scored_nor_kept(job: TonesJob, name: str) -> None:
    message = job.said_in_one_line(name)
    # detected by the next loss, or by a check where an evaluation comes first
    assert f"the weights are not finite after the update of step {3 if name == 'ruined' else 1}" in message
    assert "--training.learning_rate (now 1)" in message
    assert "--training.weight_decay (now 1e+39)" in message
    assert "Traceback" not in message
    assert [line["step"] for line in job.metrics(name, "eval")] == ([0, 2] if name == "ruined" else [])
    checkpoints = sorted(path.name for path in (job.run_dir(name) / "checkpoints").glob("*"))
    if name == "ruined":
        assert "'run/checkpoints/step-00000002'" in message
        assert checkpoints == ["step-00000002"]
        for folder in ("best", "last"):  # those of the first two steps
            weights = load_file(job.run_dir(name) / folder / "model.safetensors")
            assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())
    else:
        assert "there is no checkpoint before it" in message
        assert checkpoints == []
        assert not (job.run_dir(name) / "best").exists()
        assert not (job.run_dir(name) / "last").exists()


def test_scores_by_different_rules_are_never_compared(job: TonesJob) -> None:
    message = job.said_in_one_line("measured")
    assert "allowed: evaluation.normalizer: basic -> none" in message
    assert "best/ is chosen anew" in message
    summary = json.loads((job.run_dir("measured") / "summary.json").read_text())
    steps = {name: record["step"] for name, record in summary.items()}
    assert (set(steps), steps["last"]) == (
        {"best", "last"},
        4,
    )  # no baseline, and the best of the two by the same rules
    evaluated = [line["step"] for line in job.metrics("measured", "eval")]
    assert evaluated == [0, 2, 2, 4]  # step 2 twice: also by the new rules


def test_a_finished_run_that_is_scored_by_other_rules_is_saved_with_them(job: TonesJob) -> None:
    assert [line["step"] for line in job.metrics("finished", "eval")] == [0, 2, 2]
    message = job.said_in_one_line("best lost")  # resumed from it, with no change allowed
    assert "resumed after step 2 of 2" in message
    assert "normalizer" not in message


def test_a_missing_best_model_is_chosen_anew(job: TonesJob) -> None:
    assert "the best model so far, of step 2, is lost" in job.said_in_one_line("best lost")
    assert (job.run_dir("best lost") / "best" / "model.safetensors").is_file()
    assert json.loads((job.run_dir("best lost") / "summary.json").read_text())["best"]["step"] == 2
