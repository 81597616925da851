"""The quickstart's first 20 steps, as recorded: a change that moves them must be meant, and recorded anew.

`python -m tests.integration.test_recorded_reference` records them.
"""

import json
import sys
import tempfile
from pathlib import Path

import pytest

from tests.integration.launching import launch_training

RECORDED = Path(__file__).with_name("quickstart_first_20_steps.json")
STEPS = 20
SETTINGS = ["--training.max_steps", str(STEPS), "--tracking.logging_steps", "1", "--evaluation.eval_on_start", "false"]
# the schedule falls to zero after the last step: constant, so that 20 steps are the first 20
SETTINGS += ["--training.lr_scheduler_type", "constant_with_warmup"]
COMPARED = ("step", "loss", "grad_norm", "learning_rate", "target_tokens")


def first_steps(folder: Path) -> list[dict[str, float]]:
    launch_training([*SETTINGS, "--output_dir", "run"], cwd=folder)
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in COMPARED} for line in lines if line["kind"] == "train"]


def test_losses_and_gradient_norms_are_as_recorded(tmp_path: Path) -> None:
    """Other processors round otherwise, and Adam amplifies it: 1e-4 and 1e-3 relative. A wrong weight is far off."""
    recorded, steps = json.loads(RECORDED.read_text()), first_steps(tmp_path)
    assert len(recorded) == len(steps) == STEPS
    for step, expected in zip(steps, recorded, strict=True):
        assert (step["step"], step["target_tokens"]) == (expected["step"], expected["target_tokens"])
        assert step["learning_rate"] == pytest.approx(expected["learning_rate"], rel=1e-12)
        assert step["loss"] == pytest.approx(expected["loss"], rel=1e-4), step["step"]
        assert step["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-3), step["step"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        RECORDED.write_text(json.dumps(first_steps(Path(folder)), indent=1) + "\n")
        print(RECORDED, file=sys.stderr)
