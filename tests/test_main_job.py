"""The README's first command, cut to three steps: it trains, scores every validation clip and leaves a usable run."""

import json
import math
from pathlib import Path
from typing import Any

from tests.integration.launching import launch_training

STEPS = 3
VALIDATION_CLIPS = 113
SHORT = ["--training.max_steps", str(STEPS), "--evaluation.eval_on_start", "false", "--tracking.logging_steps", "1"]
RUN_FOLDER = {
    *(".lock", "best", "checkpoints", "config.yaml", "data_summary.json", "environment.json", "evaluations", "last"),
    *("metrics.jsonl", "plots", "report.html", "summary.json", "tensorboard"),
}


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_main_job_runs_on_a_cpu(tmp_path: Path) -> None:
    finished = launch_training(SHORT, cwd=tmp_path)
    run = tmp_path / "runs" / "quickstart"
    assert {path.name for path in run.iterdir()} == RUN_FOLDER
    losses = {line["step"]: line["loss"] for line in read_lines(run / "metrics.jsonl") if line["kind"] == "train"}
    assert list(losses) == list(range(1, STEPS + 1))
    assert all(0 < loss < math.inf for loss in losses.values())
    rows = read_lines(run / "evaluations" / f"step-{STEPS:08d}.jsonl")
    assert len({row["utterance_id"] for row in rows}) == len(rows) == VALIDATION_CLIPS
    best = json.loads((run / "summary.json").read_text(encoding="utf-8"))["best"]
    assert best["utterances"] == VALIDATION_CLIPS
    assert 0 < best["wer"] < 0.5  # an untrained model says other words in most places
    assert "device: cpu, fp32" in finished.out
    assert f"WER {100 * best['wer']:.2f}% best" in finished.out
    assert (run / "best" / "model.safetensors").is_file()
