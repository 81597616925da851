"""bf16 on a CPU, and what an fp16 step that the scaler skips does to the schedule. fp16 itself needs a GPU."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.launching import run
from tests.integration.tones import TonesJob

# the second update is reported as skipped, as on a GPU when the loss scale was too high
ONE_SKIPPED = """
import sys
from dataclasses import replace
from accel_asr.training import step
start_step, calls = step.start_step, 0
def skipping(*arguments, **options):
    global calls
    calls += 1
    started, is_second = start_step(*arguments, **options), calls == 2
    result = started.result()
    started.result = lambda: replace(result, skipped=is_second)
    return started
step.start_step = skipping
from accel_asr.train import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_skipped_update_is_counted_and_does_not_advance_the_schedule(tones: TonesJob) -> None:
    folder = tones.folder / "skipped"
    folder.mkdir()
    settings = tones.settings(8, 1, "--training.max_steps", "5", "--evaluation.eval_on_start", "false")
    finished = run([sys.executable, "-c", ONE_SKIPPED, *settings], cwd=folder)
    assert finished.code == 0, finished.err[-3000:]
    lines = tones.metrics("skipped", "train")
    assert [line["learning_rate"] for line in lines] == pytest.approx([1e-4 / 3, 2e-4 / 3, 2e-4 / 3, 1e-4, 1e-4])
    assert [line["skipped_steps"] for line in lines] == [0, 1, 1, 1, 1]
    newest = sorted((tones.run_dir("skipped") / "checkpoints").iterdir())[-1]
    assert json.loads((newest / "state.json").read_text())["progress"]["skipped_steps"] == 1


def test_bf16_computes_in_bf16_and_keeps_weights_optimizer_and_loss_in_fp32(tones: TonesJob) -> None:
    fp32 = tones.whole_run((1, 8, 1))
    plan = [tones.launch("bf16", (1, 8, 1), "--training.mixed_precision", "bf16")]
    assert tones.run_plan(plan) == [[0]], tones.logs(plan)
    losses, expected = ([line["loss"] for line in tones.metrics(name, "train")] for name in ("bf16", fp32))
    assert losses != expected  # it did compute in another precision
    assert losses == pytest.approx(expected, rel=2e-2)
    checkpoint = sorted((tones.run_dir("bf16") / "checkpoints").iterdir())[-1]
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert {tensor.dtype for tensor in load_file(checkpoint / name).values()} == {torch.float32}
    assert json.loads((tones.run_dir("bf16") / "environment.json").read_text())["mixed_precision"] == "bf16"
