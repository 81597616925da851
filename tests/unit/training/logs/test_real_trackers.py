"""The real wandb and trackio, where they are installed: offline, and read back from what they leave."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration  # starts wandb and trackio
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from accelerate import Accelerator
from accel_asr.training.logs.sample_log import SampleLog
from accel_asr.training.logs.trackers import start_trackers

class Clip:
    utterance_id = "../a/clip 1"
    def samples(self):
        return np.arange(-8000, 8000, dtype=np.int16)

name, run, first_step = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
accelerator = Accelerator(cpu=True)
configuration = {"training": {"learning_rate": 1e-5, "max_steps": None}, "data": {"sources": []}}
start = {"output_dir": run, "first_step": first_step}
start_trackers(accelerator, report_to=[name], project_name="accel_asr", configuration=configuration, **start)
samples = SampleLog(accelerator, [Clip()], sampling_rate_hz=16_000, **start)
accelerator.log({"train/loss": 1.5}, step=first_step)
samples.log(first_step, [("../a/clip 1", "a | b", "<b>")])
samples.close()
accelerator.end_training()
"""


def track(name: str, folder: Path, *, first_step: int = 1) -> Path:
    """Track one step in a process of its own, at a home of its own."""
    pytest.importorskip(name, reason=f"the extra accel-asr[{name}] is not installed")
    run = folder / "run"
    for made in (run, folder / "home"):
        made.mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(run), str(first_step)],
        check=True,
        cwd=folder,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    strays = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(run)]
    assert strays == []
    return run


def test_wandb_offline(tmp_path: Path) -> None:
    run = track("wandb", tmp_path)
    track("wandb", tmp_path, first_step=2)
    folders = sorted((run / "wandb").glob("offline-run-*"))
    assert 1 <= len(folders) <= 2  # of the same second, one
    run_id = (run / "wandb" / "run_id").read_text()
    assert all(folder.name.endswith(f"-{run_id}") for folder in folders)
    (table, *_) = folders[0].rglob("*.table.json")
    assert json.loads(table.read_text()) == {
        "columns": ["utterance", "reference", "hypothesis"],
        "data": [["../a/clip 1", "a | b", "<b>"]],
    }
    (audio, *_) = (folders[0] / "files").rglob("*.wav")
    assert audio.stat().st_size == 44 + 2 * 16_000


def test_trackio_on_this_machine(tmp_path: Path) -> None:
    run = track("trackio", tmp_path)
    track("trackio", tmp_path, first_step=2)
    with sqlite3.connect(run / "trackio" / "accel_asr.db") as database:
        rows = database.execute("select run_id, run_name, step, metrics from metrics order by id").fetchall()
        (configuration,) = database.execute("select config from configs").fetchone()
    assert {row[:2] for row in rows} == {(rows[0][0], "run")}  # one run, gone on with
    values = [(step, json.loads(metrics)) for _, _, step, metrics in rows]
    assert [(step, metrics["train/loss"]) for step, metrics in values if "train/loss" in metrics] == [
        (1, 1.5),
        (2, 1.5),
    ]
    shown = next(metrics["samples/transcripts"] for _, metrics in values if "samples/transcripts" in metrics)
    assert shown["_value"] == [{"utterance": "../a/clip 1", "reference": "a | b", "hypothesis": "<b>"}]
    assert json.loads(configuration)["training.learning_rate"] == 1e-5
    (audio, *_) = (run / "trackio" / "media").rglob("*.wav")
    assert audio.stat().st_size == 44 + 2 * 16_000
