"""Every benchmark runs, at a tiny size, and ends with the JSON line that its results are kept from."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.launching import REPOSITORY

DEADLINE_S = 540  # against a hang; they take a minute on two idle cores
TINY = ["--size", "tiny", "--rounds", "1", "--batch_size", "2", "--fetch_size", "3"]
WITHOUT_PACKAGES = """
import runpy, sys
hidden = sys.argv.pop(1).split(",")
class Without:
    '''Finds none of the hidden packages.'''
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path = [Without(finder) for finder in sys.meta_path]
runpy.run_module("benchmarks.speed", run_name="__main__", alter_sys=True)
"""
SPEED = ["-m", "benchmarks.speed"]
ROWS = [
    *("fetch", "mel", "batch_mel", "step", "head", "gradients", "evaluation", "epoch", "checkpoint", "communication"),
    *("merged_step", "merged_epoch", "packing", "cached_step", "compiled_evaluation", "job"),
]


def benchmark(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def speed(*rows: str, start: list[str] = SPEED) -> dict[tuple[str, str], dict[str, Any]]:
    """The measured rows, by what was measured and against whom."""
    done = benchmark(*start, *TINY, "--rows", *rows)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("| what | against | unit | ours | theirs | ratio | ")
    return {(row["row"], row["against"]): row for row in json.loads(done.stdout.splitlines()[-1])["rows"]}


def test_the_memory_of_a_step() -> None:
    rows = ["full", "LoRA, checkpointing"]
    done = benchmark("-m", "benchmarks.memory", "--size", "tiny", "--batch_size", "2", "--rows", *rows)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])["results"]
    assert [*results] == rows
    full, adapters = results.values()
    assert full["gradients_mb"] == pytest.approx(4e-6 * full["trained_parameters"])
    assert full["optimizer_mb"] == pytest.approx(2 * full["gradients_mb"], rel=0.01)
    assert adapters["weights_mb"] == pytest.approx(full["weights_mb"] + adapters["gradients_mb"])
    assert all(result["peak_mb"] > 0 for result in results.values())


def test_the_start_up_of_the_data_layer() -> None:
    done = benchmark("-m", "benchmarks.data_startup", "--rows", "300", "--rounds", "1", "--batches", "20")
    assert done.returncode == 0, done.stderr[-3000:]
    [result] = json.loads(done.stdout.splitlines()[-1])["results"]
    assert result["rows"] == 300
    assert all(value > 0 for value in result.values())
    assert done.stdout.startswith("| rows | cold_s | ")


def test_the_speed_beside_other_trainers_and_the_reference_job_cut_down() -> None:
    rows = speed(*ROWS)
    assert {against for _, against in rows} >= {"seed", "trainer", "formula"}
    job, epoch = rows.pop(("reference job, cut down", "after imports")), rows["reference epoch, cut down", "seed"]
    assert all(row["ratio"] > 0 and row["ours"] > 0 and row["theirs"] > 0 for row in rows.values())
    # what is counted is right at any size; what is timed is too little for a verdict
    assert rows["gradient norm of 2x4, ours", "1x8, ours"]["ratio"] == pytest.approx(1, abs=1e-4)
    assert rows["gradient norm of 2x4, trainer", "1x8, trainer"]["ratio"] == pytest.approx(2, abs=0.1)
    # a tiny model's gradient is little more than what else is sent
    assert rows["bytes of a step, two ranks", "formula"]["ratio"] == pytest.approx(1, abs=0.05)
    assert rows["bytes of a step, two ranks", "seed"]["ratio"] == pytest.approx(0.5, abs=0.05)
    assert rows["packed epoch", "unpacked"]["note"] == "10 clips of 0.2 s in 2 windows of 2 s, in place of 10"
    assert "; first call " in rows["evaluation, compiled decoding", "ours, as it is"]["note"]
    assert rows["evaluation, merged", "trainer"]["note"].endswith(" transcripts as with the whole window")
    assert rows["train step", "trainer"]["verdict"] == "no verdict: fewer than 5 rounds"
    assert job["note"].startswith("2 epochs of 4 clips in batches of 2, 1 clips scored 3 times")
    assert 0 < epoch["ours"] < job["ours"]
    assert epoch["ratio"] == pytest.approx(epoch["theirs"] / epoch["ours"], rel=1e-3)
    assert (job["ratio"], job["target"], job["verdict"]) == (None, "", "")


def test_the_step_is_measured_without_the_packages_that_bare_machines_lack() -> None:
    start = ["-c", WITHOUT_PACKAGES, "datasets,librosa,soundfile,jiwer,evaluate"]
    rows = speed("step", "head", "gradients", "ceiling", "busy", "fetch", start=start)
    for measured in (
        ("train step", "trainer"),
        ("head", "seed"),
        ("gradient norm of 2x4, seed", "1x8, seed"),
        ("train step, share of matrix-multiply ceiling", "ceiling"),
    ):
        assert rows[measured]["ratio"] > 0
    assert rows["train step, GPU busy share", "wall time"]["note"] == "needs a CUDA device"
    assert rows["fetch", ""]["note"] == "needs soundfile, which is not installed"
    assert rows["fetch", ""]["verdict"] == "not measured"


def test_a_missing_cuda_device_is_named() -> None:
    done = benchmark(*SPEED, "--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "--device cuda" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_start_up_beside_other_trainers() -> None:
    rows = speed("startup", "memory")
    assert len(rows) == 6
    assert all(row["ratio"] > 0 for row in rows.values())
    assert rows["memory at first step", "seed"]["theirs"] != rows["memory at first step", "trainer"]["theirs"]
