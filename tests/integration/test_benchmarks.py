"""Every benchmark runs, at a tiny size, and ends with the JSON line that its results are kept from."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.speed.results import Row, page_table, with_page_table
from benchmarks.speed.timing import Ratio, in_turns, ratio

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE_S = 540  # against a hang; they take a minute on two idle cores
TINY_SPEED = ["--size", "tiny", "--rounds", "1", "--batch_size", "2", "--fetch_size", "3"]
WITHOUT_PACKAGES = """
import sys

class Without:
    '''A finder that finds no package named on the command line.'''
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

HIDDEN = sys.argv[1].split(",")
sys.meta_path = [Without(finder) for finder in sys.meta_path]
sys.argv = sys.argv[1:]
import runpy
runpy.run_module("benchmarks.speed", run_name="__main__", alter_sys=True)
"""


def speed(*rows: str, start: tuple[str, ...] = ("-m", "benchmarks.speed")) -> dict[tuple[str, str], dict]:
    """The rows found, by what and against whom."""
    command = [sys.executable, *start, *TINY_SPEED, "--rows", *rows]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("| what | against | unit | ours | theirs | ratio | ")
    return {(row["row"], row["against"]): row for row in json.loads(done.stdout.splitlines()[-1])["rows"]}


def test_the_start_up_of_the_data_layer() -> None:
    command = [sys.executable, "-m", "benchmarks.data_startup", "--rows", "300", "--rounds", "1", "--batches", "20"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    [result] = json.loads(done.stdout.splitlines()[-1])["results"]
    assert result["rows"] == 300
    assert all(value > 0 for value in result.values())
    assert done.stdout.startswith("| rows | cold_s | ")


def test_the_speed_beside_other_trainers() -> None:
    speech = "speech_step", "speech_evaluation", "speech_epoch"
    whole = (
        "fetch",
        "mel",
        "batch_mel",
        "step",
        "head",
        "gradients",
        "evaluation",
        "epoch",
        "checkpoint",
        "communication",
    )
    rows = speed(*whole, *speech, "packing", "cached_step", "compiled_evaluation")
    assert {against for _, against in rows} >= {"seed", "trainer", "formula"}
    assert all(row["ratio"] > 0 and row["ours"] > 0 and row["theirs"] > 0 for row in rows.values())
    # what is counted is right at any size; what is timed is too little for a verdict
    assert rows["gradient norm of 2x4, ours", "1x8, ours"]["ratio"] == pytest.approx(1, abs=1e-4)
    assert rows["gradient norm of 2x4, trainer", "1x8, trainer"]["ratio"] == pytest.approx(2, abs=0.1)
    received = rows["bytes of a step, two ranks", "formula"]
    assert received["ratio"] == pytest.approx(
        1, abs=0.05
    )  # a tiny model's gradient is hardly more than what else is said
    assert rows["bytes of a step, two ranks", "seed"]["ratio"] == pytest.approx(0.5, abs=0.05)
    assert rows["packed epoch", "unpacked"]["note"] == "10 clips of 0.2 s in 2 windows of 2 s, in place of 10"
    assert "; first call " in rows["evaluation, compiled decoding", "ours, as it is"]["note"]
    assert rows["train step", "trainer"]["verdict"] == "no verdict: fewer than 5 rounds"


def test_the_step_is_measured_without_the_packages_that_bare_machines_lack() -> None:
    start = ("-c", WITHOUT_PACKAGES, "datasets,librosa,soundfile,jiwer,evaluate")
    rows = speed("step", "head", "gradients", "ceiling", "busy", "fetch", start=start)
    assert rows["train step", "trainer"]["ratio"] > 0
    assert rows["head", "seed"]["ratio"] > 0
    assert rows["gradient norm of 2x4, seed", "1x8, seed"]["ratio"] > 0
    assert rows["train step, share of matrix-multiply ceiling", "ceiling"]["ratio"] > 0
    assert rows["train step, GPU busy share", "wall time"]["note"] == "needs a CUDA device"
    assert rows["fetch", ""]["note"] == "needs soundfile, which is not installed"
    assert rows["fetch", ""]["verdict"] == "not measured"


def test_the_reference_job_cut_down() -> None:
    rows = speed("job")
    assert set(rows) == {("reference job, cut down", "after imports"), ("reference epoch, cut down", "seed")}
    job, epoch = rows.values()
    assert job["note"].startswith("2 epochs of 4 clips in batches of 2, 1 clips scored 3 times")
    assert 0 < epoch["ours"] < job["ours"]
    assert epoch["ratio"] == pytest.approx(epoch["theirs"] / epoch["ours"], rel=1e-3)
    assert (job["ratio"], job["target"], job["verdict"]) == (None, "", "")


def test_a_cuda_device_that_is_not_there_is_said_to_be_missing() -> None:
    command = [sys.executable, "-m", "benchmarks.speed", "--device", "cuda"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 2
    assert done.stderr.endswith("torch finds no CUDA device; leave --device out to measure the CPU\n")


@pytest.mark.slow
def test_the_start_up_beside_other_trainers() -> None:
    rows = speed("startup", "memory")
    assert len(rows) == 6
    assert all(row["ratio"] > 0 for row in rows.values())
    assert rows["memory at first step", "seed"]["theirs"] != rows["memory at first step", "trainer"]["theirs"]


def test_the_ways_take_turns_in_both_orders() -> None:
    called: list[str] = []
    ways = {name: lambda name=name: called.append(name) for name in "ab"}
    in_turns(ways, rounds=3, clock=lambda work: float(work() is None))
    assert "".join(called) == "ab" + "abbaab"


def test_a_ratio_is_the_median_over_rounds_with_an_interval_around_it() -> None:
    steady = ratio([2.0, 2.2, 2.1, 2.0, 2.1], [1.0, 1.1, 1.05, 1.0, 1.05])
    assert (steady.low, steady.median, steady.high) == pytest.approx((2, 2, 2))
    shaky = ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert shaky.low < 2 < shaky.median == 3 < 4 < shaky.high
    assert steady.is_certain
    assert not shaky.is_certain
    assert Ratio(1.0, 0.93, 1.07).is_certain
    assert not Ratio(1.0, 0.92, 1.08).is_certain


def test_a_verdict_wants_a_narrow_interval_and_enough_rounds() -> None:
    row = Row("fetch", "seed", "ms CPU", ours=1.0, theirs=9.0, ratio=9.0, low=8.9, high=9.1, rounds=5)
    assert (row.target, row.verdict) == (">= 8x", "met")
    assert replace(row, ratio=7.9, low=7.8, high=8.0).verdict == "missed"
    assert replace(row, low=8.0, high=9.4).verdict == "no verdict: interval wider than 15%"
    assert replace(row, rounds=4).verdict == "no verdict: fewer than 5 rounds"
    assert replace(row, against="trainer").verdict == ""
    share = Row("head, extra memory", "seed", "MB", ours=1.0, theirs=2.0, ratio=0.5, rounds=1)
    assert share.verdict == "met"
    assert replace(share, ratio=0.51).verdict == "missed"
    counted = Row("bytes of a step, two ranks", "formula", "MB", ours=1.0, theirs=1.0, ratio=1.011, rounds=1)
    assert counted.verdict == "missed"
    assert replace(counted, ratio=0.991).verdict == "met"


def test_targets_for_an_h200_are_shown_on_an_h200_only() -> None:
    share = Row("train step, share of matrix-multiply ceiling", "ceiling", "TFLOP/s", 360.0, 720.0, 0.5, 0.49, 0.51, 5)
    assert (share.target, share.verdict) == ("", "")
    on_h200 = replace(share, model="large-v3-turbo", gpu="NVIDIA H200")
    assert (on_h200.target, on_h200.verdict) == (">= 0.45x", "met")
    assert replace(on_h200, ratio=0.44, low=0.43, high=0.45).verdict == "missed"
    for other in (
        replace(on_h200, gpu="NVIDIA A100"),
        replace(on_h200, gpu=""),
        replace(on_h200, model="whisper-tiny"),
    ):
        assert (other.target, other.verdict) == ("", "")
    epoch = Row("reference epoch", "seed", "s", 0.5, 16.0, 32.0, 31.0, 33.0, 5, model="whisper-tiny", gpu="NVIDIA H200")
    assert (epoch.target, epoch.verdict) == (">= 30x", "met")


def test_a_target_in_seconds_has_nobody_to_compare_with() -> None:
    job = Row("reference job", "after imports", "s", 14.0, rounds=5, model="whisper-tiny", gpu="NVIDIA H200 NVL")
    assert (job.target, job.verdict) == ("<= 15 s", "met")
    slow = replace(job, ours=15.5)
    assert slow.verdict == "missed"
    assert replace(job, ours=None).verdict == "not measured"
    assert page_table([slow.record()]).endswith("| reference job | after imports | 15.5 s |  |  | <= 15 s: missed |")


def test_the_page_has_the_table_of_the_newest_results() -> None:
    newest = max((REPOSITORY / "benchmarks" / "results").glob("*-speed.md")).read_text(encoding="utf-8")
    page = (REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8")
    assert with_page_table(page, newest) == page, "run: python -m benchmarks.speed --page docs/speed.md --from ..."
    broken = page.replace("| what | against | ours |", "| what | against | mine |")
    assert broken != page
    assert with_page_table(broken, newest) == page
