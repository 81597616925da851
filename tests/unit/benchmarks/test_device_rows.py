"""The rows about a CUDA device, computed on the CPU as far as possible."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.speed.device_rows import busy_row, busy_rows, ceiling_rows
from benchmarks.speed.material import TINY, Material
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.reference_rows import REFERENCE, JobShape, job_shape, run_job


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    material = Material(tmp_path, TINY, device=torch.device("cpu"))
    return Bench(
        material=material, folder=tmp_path, rounds=2, batch_size=2, fetch_size=3, mixed_precision="no", warmups={}
    )


def test_the_busy_share_is_seconds_of_a_step_over_its_wall_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.device_rows.BUSY_STEPS", 2)
    row = busy_row(bench)
    assert row.ours is not None
    assert row.theirs is not None
    assert row.ratio is not None
    assert 0 < row.ours <= row.theirs < 10
    assert row.ratio <= 1
    assert list(bench.warmups) == ["train step, GPU busy share"]
    [left_out] = busy_rows(bench)  # a CPU is busy all the time
    assert (left_out.note, left_out.verdict) == ("needs a CUDA device", "not measured")


def test_the_share_of_the_ceiling_is_in_the_same_unit_on_both_sides(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.speed.device_rows.SIDES", {"cpu": 64})
    # seconds of each way, in both rounds
    seconds = {"product": 3.0, "ours": 4.0, "product again": 2.0}
    times = SimpleNamespace(warmup_s=seconds, rounds_s={way: [taken, taken] for way, taken in seconds.items()})
    monkeypatch.setattr("benchmarks.speed.device_rows.in_turns", lambda *_, **__: times)
    monkeypatch.setattr("benchmarks.speed.device_rows.train_step_flops", lambda *_, **__: 8 * 64**3)
    [row] = ceiling_rows(bench)
    assert row.theirs == pytest.approx(2 * 64**3 / 2.0 / 1e12)  # of the faster product
    assert row.ours == pytest.approx(8 * 64**3 / 4.0 / 1e12)
    assert row.ratio == pytest.approx(2.0)


def test_the_reference_job_is_whole_on_a_cuda_device_only(bench: Bench) -> None:
    assert job_shape(bench) == JobShape(train_rows=4, validation_rows=1, batch_size=2, epochs=2)
    on_cuda = SimpleNamespace(device=torch.device("cuda"), batch_size=2)
    assert job_shape(on_cuda) == REFERENCE  # type: ignore[arg-type]
    assert REFERENCE.train_rows + REFERENCE.validation_rows == 563  # clips of the reference job


def test_a_package_that_the_job_lacks_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    errors = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'jiwer'\n"
    failed = SimpleNamespace(returncode=1, stdout="", stderr=errors)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ModuleNotFoundError) as caught:
        run_job(bench, JobShape(4, 1, 2, 2), tmp_path / "manifest.jsonl")
    assert caught.value.name == "jiwer"
