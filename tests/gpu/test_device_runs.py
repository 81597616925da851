"""Whole runs on the device: two resumes from the same checkpoint end alike, and as the run that never stopped."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from accel_asr import after_training
from accel_asr.train import main
from tests.gpu.conftest import Start
from tests.tiny_datasets import make_minds14_like

pytestmark = pytest.mark.integration  # three runs: ten seconds or more on a CPU

SETTINGS = {
    "model.language": "en",
    "data.text_column": "english_transcription",
    "data.train_rows": 12,
    "training.max_steps": 4,
    "training.per_device_train_batch_size": 2,
    "training.gradient_accumulation_steps": 2,
    "evaluation.generation_max_length": 12,
    "evaluation.eval_on_start": False,
    "checkpoint.save_steps": 2,
    "tracking.logging_steps": 1,
    "tracking.report_to": "[]",
}
Train = Callable[..., Path]


@pytest.fixture
def train(
    start: Start, device: torch.device, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Train:
    """`train(folder, **settings)`: a run in this process, four steps; returns the folder."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", str(device.type == "cpu").lower())
    monkeypatch.setattr(after_training, "report_finished_run", lambda *_, **__: None)
    data = make_minds14_like(tmp_path / "data", rows=16, other_rows=0)
    source = {"model.name_or_path": tiny_folder, "data.name_or_path": next((data / "en-US").glob("*.parquet"))}

    def run(folder: Path, **more: Any) -> Path:
        settings = {**source, **SETTINGS, **more, "output_dir": folder}
        assert main([part for name, value in settings.items() for part in (f"--{name}", str(value))]) == 0
        return folder

    return run


def losses(folder: Path) -> list[float]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [record["loss"] for record in records if record["kind"] == "train"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last" / "model.safetensors")


def stopped_after_two_steps(run: Path, copy: Path) -> Path:
    """A copy of a run of four steps, with nothing in it of the last two but the records, which a resume cuts."""
    shutil.copytree(run, copy)
    newest = max((copy / "checkpoints").iterdir())
    shutil.rmtree(newest)
    shutil.rmtree(copy / "last")
    return copy


@pytest.mark.parametrize("is_deterministic", [True, pytest.param(False, marks=pytest.mark.gpu)])
def test_two_resumes_end_alike(train: Train, tmp_path: Path, device: torch.device, is_deterministic: bool) -> None:
    if device.type == "cpu" and not is_deterministic:
        pytest.skip("on a CPU the setting changes nothing")
    settings = {"training.deterministic": is_deterministic}
    unbroken = train(tmp_path / "unbroken", **settings)
    resumed = [
        train(stopped_after_two_steps(unbroken, tmp_path / name), **settings, **{"checkpoint.resume": True})
        for name in ("first", "second")
    ]
    assert len(losses(unbroken)) == 4
    bounds = {"rtol": 0, "atol": 0} if is_deterministic else {"rtol": 1e-3, "atol": 1e-4}
    for folder in resumed:
        assert losses(folder) == (losses(unbroken) if is_deterministic else pytest.approx(losses(unbroken), rel=1e-4))
        for name, weight in weights(folder).items():
            torch.testing.assert_close(weight, weights(unbroken)[name], **bounds)
