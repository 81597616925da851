"""A small job for tests with many launches: 27 clips of tones to train on, 13 to score, 4 steps an epoch."""

import json
import subprocess
import sys
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from tests.integration.launching import REPOSITORY, offline_environment
from tests.tiny_datasets import make_minds14_like
from tests.tiny_models import make_tiny_whisper

if TYPE_CHECKING:
    import torch

TRAIN_CLIPS, VALIDATION_CLIPS = 27, 13
NO_SPEECH_CLIPS = 3  # beside them, with `every_technique`: a tenth of all
STEPS_PER_EPOCH = 4  # of a global batch of 8; the fourth has 3 clips, or 6
TOPOLOGIES = {1: (1, 4, 2), 2: (2, 2, 2), 4: (4, 2, 1)}  # (processes, micro-batch, accumulation): a global batch of 8
RESUME = ("--checkpoint.resume", "true")
CONFIG = """
model: {name_or_path: MODEL, language: en}
data: {name_or_path: DATA, text_column: english_transcription, train_rows: 27}
training:
  {learning_rate: 1e-4, warmup_steps: 3, lr_scheduler_type: constant_with_warmup,
  num_train_epochs: 3, dataloader_drop_last: false, dataloader_num_workers: 2}
evaluation: {generation_max_length: 12, per_device_eval_batch_size: 5, eval_steps: 3, no_speech: false,
  long_form: none}
checkpoint: {save_steps: 2}
tracking: {logging_steps: 1}
"""


class ForkingProcess:
    """The process of `forked_training`, started with the first launch."""

    def codes(self, launch: dict[str, Any]) -> list[int]:
        """The exit codes of the ranks of one launch."""
        process, errors = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(launch) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()  # comes to an end: each launch has a deadline there
        if not line:
            del self._process  # the next launch starts another
            errors.seek(0)
            raise AssertionError(errors.read()[-6000:])
        return json.loads(line)

    def close(self) -> None:
        if "_process" in self.__dict__:
            self._process[0].communicate(timeout=60)

    @cached_property
    def _process(self) -> tuple[subprocess.Popen[str], Any]:
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        command = [sys.executable, "-m", "tests.integration.forked_training"]
        env = {**offline_environment(), "TOKENIZERS_PARALLELISM": "false"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=env, stdin=pipe, stdout=pipe, stderr=errors, text=True
        ), errors


class TonesJob:
    """Where its files are, and how to run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.forking_process = ForkingProcess()
        model = make_tiny_whisper(folder / "model", max_source_positions=100)
        data = make_minds14_like(folder / "data", rows=TRAIN_CLIPS + VALIDATION_CLIPS, other_rows=0)
        self.data = parquet = next((data / "en-US").glob("*.parquet"))
        self.config = folder / "tones.yaml"
        self.config.write_text(CONFIG.replace("MODEL", str(model)).replace("DATA", str(parquet)))

    def settings(self, micro_batch: int, accumulation: int, *more: str) -> list[str]:
        """The arguments of a run into `run` with that part of the global batch on each process."""
        batch = ["--training.per_device_train_batch_size", str(micro_batch)]
        batch += ["--training.gradient_accumulation_steps", str(accumulation)]
        return ["--config", str(self.config), *batch, *more, "--output_dir", "run"]

    @cached_property
    def every_technique(self) -> list[str]:
        """The settings that switch on whatever changes a step, all together."""
        noise = self.folder / "noise of every technique"
        noise.mkdir()
        soundfile.write(noise / "hiss.wav", np.random.default_rng(1).standard_normal(24_000) / 20, 16_000)
        on = {
            "lora.enabled": "true",
            "lora.r": "4",
            "spec_augment.enabled": "true",
            "spec_augment.mask_time_length": "10",
            "augment.speed_prob": "0.5",
            "augment.noise_prob": "0.5",
            "augment.noise_dir": str(noise),
            "training.gradient_checkpointing": "both",
            "training.lr_scheduler_type": "cosine",
            "training.learning_rate_multipliers": "{encoder: 0.5}",
            "training.label_smoothing_factor": "0.1",
            "training.ema_decay": "0.9",
            "data.no_speech_fraction": "0.1",
        }
        return [part for name, value in on.items() for part in (f"--{name}", value)]

    def launch(
        self,
        name: str,
        topology: tuple[int, int, int],
        *more: str,
        ends: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """A launch of (processes, micro-batch, accumulation) in the folder `name`, for `run_plan`."""
        processes, micro_batch, accumulation = topology
        cwd = self.folder / name
        cwd.mkdir(exist_ok=True)
        settings = self.settings(micro_batch, accumulation, *more)
        return {"settings": settings, "processes": processes, "ends": ends, "cwd": str(cwd), **options}

    def run_plan(self, plan: list[dict[str, Any]]) -> list[list[int]]:
        """Run the launches one after another; the exit codes of their ranks."""
        return [self.forking_process.codes(launch) for launch in plan]

    def whole_run(self, topology: tuple[int, int, int]) -> str:
        """The name of an undisturbed run of all 12 steps, made once a session."""
        name = "whole-{}x{}x{}".format(*topology)
        if not self.run_dir(name).exists():
            plan = [self.launch(name, topology)]
            assert self.run_plan(plan) == [[0] * topology[0]], self.logs(plan)
        return name

    def logs(self, plan: list[dict[str, Any]]) -> str:
        """The last lines that the ranks of the last launch printed."""
        folder = Path(plan[-1]["cwd"])
        return "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in sorted(folder.glob("rank*.log")))

    def run_dir(self, name: str) -> Path:
        return self.folder / name / "run"

    def metrics(self, name: str, kind: str | None = None) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, all or of a kind, without the speed."""
        lines = [json.loads(line) for line in (self.run_dir(name) / "metrics.jsonl").read_text().splitlines()]
        return [
            {**line, "audio_seconds_per_second": 0, "data_wait_share": 0}
            for line in lines
            if kind in (None, line["kind"])
        ]

    def said(self, name: str, rank: int = 0) -> str:
        """What a rank printed, in all launches into that folder."""
        return (self.folder / name / f"rank{rank}.log").read_text()

    def said_in_one_line(self, name: str, rank: int = 0) -> str:
        """The same with its line breaks and indents as single blanks."""
        return " ".join(self.said(name, rank).split())

    def weights(self, name: str) -> dict[str, "torch.Tensor"]:
        """The weights of `last/`."""
        from safetensors.torch import load_file

        return load_file(self.run_dir(name) / "last" / "model.safetensors")

    def assert_equal_weights(self, name: str, expected: str) -> None:
        """Bit for bit."""
        import torch

        weights = self.weights(name)
        assert all(torch.equal(weights[key], weight) for key, weight in self.weights(expected).items())

    def assert_close_weights(self, name: str, expected: str, *, atol: float = 1e-5) -> None:
        import torch

        weights = self.weights(name)
        for key, weight in self.weights(expected).items():
            torch.testing.assert_close(weights[key], weight, rtol=0, atol=atol)

    def assert_close_losses(self, name: str, expected: str) -> None:
        """The same number of steps on as many tokens, with losses within 1e-5."""
        pairs = list(zip(self.metrics(name, "train"), self.metrics(expected, "train"), strict=True))
        assert pairs
        for line, other in pairs:
            assert abs(line["loss"] - other["loss"]) <= 1e-5, line
            assert (line["step"], line["target_tokens"]) == (other["step"], other["target_tokens"])

    def ledger(self, name: str) -> dict[tuple[int, int], set[tuple[str, ...]]]:
        """(step, rank) -> the distinct lists of utterances that it was ever trained on."""
        trained: dict[tuple[int, int], set[tuple[str, ...]]] = {}
        for line in (self.folder / name / "ledger.jsonl").read_text().splitlines():
            entry = json.loads(line)
            trained.setdefault((entry["step"], entry["rank"]), set()).add(tuple(entry["ids"]))
        return trained
