"""A small job for tests with many launches: 27 clips of tones to train on, 13 to score, 4 steps an epoch."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.integration.launching import REPOSITORY, offline_environment, run
from tests.tiny_datasets import make_minds14_like
from tests.tiny_models import make_tiny_whisper

TRAIN_CLIPS, VALIDATION_CLIPS = 27, 13
STEPS_PER_EPOCH = 4  # of a global batch of 8; the fourth has 3 clips
CONFIG = """
model: {name_or_path: MODEL, language: en}
data: {name_or_path: DATA, text_column: english_transcription, train_rows: 27}
training:
  {learning_rate: 1e-4, warmup_steps: 3, lr_scheduler_type: constant_with_warmup,
  num_train_epochs: 3, dataloader_drop_last: false, dataloader_num_workers: 2}
evaluation: {generation_max_length: 12, per_device_eval_batch_size: 5, eval_steps: 3}
checkpoint: {save_steps: 2}
tracking: {logging_steps: 1}
"""


class TonesJob:
    """Where its files are, and how to run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        model = make_tiny_whisper(folder / "model", max_source_positions=100)
        data = make_minds14_like(folder / "data", rows=TRAIN_CLIPS + VALIDATION_CLIPS, other_rows=0)
        parquet = next((data / "en-US").glob("*.parquet"))
        self.config = folder / "tones.yaml"
        self.config.write_text(CONFIG.replace("MODEL", str(model)).replace("DATA", str(parquet)))

    def settings(self, micro_batch: int, accumulation: int, *more: str) -> list[str]:
        """The arguments of a run into `run` with that part of the global batch on each process."""
        batch = ["--training.per_device_train_batch_size", str(micro_batch)]
        batch += ["--training.gradient_accumulation_steps", str(accumulation)]
        return ["--config", str(self.config), *batch, *more, "--output_dir", "run"]

    def launch(
        self,
        name: str,
        topology: tuple[int, int, int],
        *more: str,
        ends: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """One launch of a plan, (processes, micro-batch, accumulation), in the folder `name`."""
        processes, micro_batch, accumulation = topology
        cwd = self.folder / name
        cwd.mkdir(exist_ok=True)
        settings = self.settings(micro_batch, accumulation, *more)
        return {"settings": settings, "processes": processes, "ends": ends, "cwd": str(cwd), **options}

    def run_plan(self, plan: list[dict[str, Any]], *, deadline_s: float = 240.0) -> list[list[int]]:
        """Run the launches one after another, each forked from one process; the exit codes of their ranks."""
        path = self.folder / f"plan-{os.urandom(4).hex()}.json"
        path.write_text(json.dumps(plan))
        command = [sys.executable, "-m", "tests.integration.forked_training", str(path)]
        env = {**offline_environment(), "TOKENIZERS_PARALLELISM": "false"}
        finished = run(command, cwd=REPOSITORY, env=env, deadline_s=deadline_s)
        assert finished.code == 0, finished.err[-6000:] + self.logs(plan)
        return [json.loads(line)["codes"] for line in finished.out.splitlines()]

    def logs(self, plan: list[dict[str, Any]]) -> str:
        """The ends of what the ranks of the last launch printed."""
        folder = Path(plan[-1]["cwd"])
        return "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in sorted(folder.glob("rank*.log")))

    def run_dir(self, name: str) -> Path:
        return self.folder / name / "run"

    def metrics(self, name: str, kind: str | None = None) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, without the speed."""
        lines = [json.loads(line) for line in (self.run_dir(name) / "metrics.jsonl").read_text().splitlines()]
        return [{**line, "audio_seconds_per_second": 0} for line in lines if kind in (None, line["kind"])]

    def said(self, name: str, rank: int = 0) -> str:
        """What a rank printed, in all launches into that folder."""
        return (self.folder / name / f"rank{rank}.log").read_text()

    def ledger(self, name: str) -> dict[tuple[int, int], set[tuple[str, ...]]]:
        """(step, rank) -> the different lists of utterances that it was ever trained on."""
        trained: dict[tuple[int, int], set[tuple[str, ...]]] = {}
        for line in (self.folder / name / "ledger.jsonl").read_text().splitlines():
            entry = json.loads(line)
            trained.setdefault((entry["step"], entry["rank"]), set()).add(tuple(entry["ids"]))
        return trained
