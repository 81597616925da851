"""A run of trained parts, rates by part, a cosine, smoothed labels, early stopping and guards: killed, it ends as a
whole one.

On two ranks; once with weights sharded by FSDP2.
"""

import json

import pytest

from tests.integration.test_resume import KILL, assert_ends_alike
from tests.integration.tones import RESUME, TOPOLOGIES, TonesJob

# evaluated after steps 3, 6, 9 of 12: no gain is large enough, so the second and third are without one
RULE = ("--training.early_stopping_patience", "2", "--training.early_stopping_threshold", "50")
TECHNIQUES = (
    *("--model.freeze", "[encoder_layers: 1, embeddings]"),
    *("--training.learning_rate_multipliers", "{encoder: 0.5}"),
    *("--training.lr_scheduler_type", "cosine", "--training.lr_scheduler_kwargs", "{num_cycles: 0.4}"),
    *("--training.label_smoothing_factor", "0.1", "--training.ema_decay", "0.9"),
    *RULE,
)
TWO = TOPOLOGIES[2]


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """Whole; killed in step 8, after the checkpoint of step 6, and resumed twice; sharded."""
    guard = f"{{name: tones, name_or_path: {tones.data}, split: 'train[27:31]', margin: 100}}"
    guards = ("--evaluation.guards", f"[{guard}]", "--evaluation.guard_every", "2", "--evaluation.long_form", "joined")
    killed = {"moment": "step", "rank": -1, **KILL, "count": 16}
    plan = [
        tones.launch("early-whole", TWO, *TECHNIQUES, *guards),
        tones.launch("early", TWO, *TECHNIQUES, *guards, ends=killed),
        tones.launch("early", TWO, *TECHNIQUES, *guards, *RESUME),
        tones.launch("early", TWO, *TECHNIQUES, *guards, *RESUME),
        tones.launch("early-sharded", TWO, *TECHNIQUES, fsdp=True),
    ]
    codes = tones.run_plan(plan)
    assert codes == [[0, 0], [-KILL["signal"]] * 2, [0, 0], [0, 0], [0, 0]], tones.logs(plan)
    return tones


def test_a_killed_run_ends_at_the_same_step_as_a_whole_one_bit_for_bit(job: TonesJob) -> None:
    assert_ends_alike(job, "early", "early-whole")
    [line] = job.metrics("early", "early_stop")
    assert (line["step"], line["last_step"], line["evaluations"], line["threshold"]) == (9, 12, 2, 50)
    assert max(path.name for path in (job.run_dir("early") / "checkpoints").iterdir()) == "step-00000009"
    assert json.loads((job.run_dir("early") / "summary.json").read_text())["last"]["step"] == 9


def test_guards_are_held_against_the_untouched_model_after_a_resume_too(job: TonesJob) -> None:
    whole, resumed = (job.metrics(name, "eval") for name in ("early-whole", "early"))
    assert ["guards" in line for line in whole] == [True, False, True, False]  # steps 0, 3, 6, 9
    assert [line.get("guards") for line in resumed] == [line.get("guards") for line in whole]
    guard = whole[2]["guards"]["tones"]
    assert guard["utterances"] == 4
    assert guard["change"] == pytest.approx(guard["rate"] - whole[0]["guards"]["tones"]["rate"])
    assert all(bound is not None for bound in guard["change_interval"])  # paired with transcripts of before the kill
    files = sorted(path.name for path in (job.run_dir("early") / "guards" / "tones").iterdir())
    assert files == ["ema.jsonl", "step-00000000.jsonl", "step-00000006.jsonl"]


def test_long_recordings_are_examined_before_training_and_at_the_end(job: TonesJob) -> None:
    for name in ("early-whole", "early"):
        summary = json.loads((job.run_dir(name) / "summary.json").read_text())
        skipped = [summary[record]["long_form"]["skipped"] for record in ("baseline", "best")]
        assert skipped == ["the model's window of 2 s is too short for whole sentences"] * 2
    assert "long recordings: not transcribed" in job.said_in_one_line("early")


def test_sharded_weights_train_alike(job: TonesJob) -> None:
    job.assert_close_losses("early-sharded", "early-whole")
    job.assert_close_weights("early-sharded", "early-whole")
    rates, expected = (
        [line["learning_rate"] for line in job.metrics(name, "train")] for name in ("early-sharded", "early-whole")
    )
    assert rates == expected
    assert rates[2] == 1e-4 > rates[3] > rates[8] > 3e-5  # on the way of the 12 steps that were planned


def test_frozen_parts_are_those_of_the_model_before(job: TonesJob) -> None:
    from safetensors.torch import load_file

    before, after = load_file(job.folder / "model" / "model.safetensors"), job.weights("early-sharded")
    frozen = ("model.encoder.layers.0.", "model.encoder.conv", "model.decoder.embed_")
    same = {name for name, weight in before.items() if weight.equal(after[name])}
    assert same == {name for name in before if name.startswith((*frozen, "model.encoder.embed_positions"))}


def test_the_moving_average_is_scored_where_it_ends_and_only_once(job: TonesJob) -> None:
    assert [line["step"] for line in job.metrics("early", "eval_ema")] == [9]
    assert json.loads((job.run_dir("early") / "summary.json").read_text())["ema"]["step"] == 9


def test_the_console_says_why_it_ended_and_how_much_is_trained(job: TonesJob) -> None:
    said = job.said_in_one_line("early")
    assert said.count("stopped early, after step 9 of 12") == 2  # and again when it was resumed with nothing to do
    assert "resumed after step 9 of 12" in said
    parts = json.loads((job.run_dir("early-sharded") / "environment.json").read_text())["parameters"]
    assert parts == json.loads((job.run_dir("early-whole") / "environment.json").read_text())["parameters"]
    assert parts["embeddings"]["trained"] == 0
